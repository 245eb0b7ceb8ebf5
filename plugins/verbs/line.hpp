// An endpoint's connection, as the connector sees it, and what the connector's thread and the endpoint tell each other.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "card.hpp"
#include "objects.hpp"

namespace sansock::verbs {

class Queue;

struct Line {
    // Set when the endpoint is made.
    Queue *queue = nullptr;

    // The connector's, under its lock.
    enum class Phase { idle, expected, dialing, accepting, established, ended };
    Phase phase = Phase::idle;
    std::shared_ptr<const DeviceQueues> queues;  ///< Which the queue pair names.
    QueuePair pair;
    ConnectionId id;
    Card own;   ///< The address is that of our device.
    Card peer;  ///< Of the end that offers: once it has the answer.
    bool has_answer = false;
    bool is_calling = false;            ///< The connector's thread is about it, without the lock.
    std::uint64_t due_ns = UINT64_MAX;  ///< When the connection must have come about.

    // From the connector's thread.
    std::atomic<bool> is_established{false};
    std::atomic<std::int32_t> failure{0};  ///< SANSOCK_*; the queue pair is in error by then.
    std::atomic<bool> has_ended{false};    ///< The queue pair is gone, and with it all that the device might have done.

    // From the endpoint.
    std::atomic<bool> may_end{false};  ///< It has failed, and all that had arrived before was taken.
};

}  // namespace sansock::verbs
