// A client's connection with many requests in flight. It sends and receives from one thread and never waits for one
// while the other could go on: a client that only sends while the server only replies would stop both for ever.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "block_store/protocol.hpp"
#include "common/network.hpp"

namespace block_store {

class Session {
public:
    /// `payload` is valid during the call.
    using OnReply = std::function<void(const Reply &reply, std::span<const std::byte> payload)>;

    Session(const std::string &host, std::uint16_t port);

    /// Queues a request; progress() sends it.
    void submit(const Request &request, std::span<const std::byte> payload = {});

    /// Waits until something can be sent or has come, moves it, and hands over the replies that are complete.
    void progress(const OnReply &on_reply);

private:
    void send_some();
    void receive_some();
    void deliver(const OnReply &on_reply);

    std::unique_ptr<samples::Connection> connection_;
    std::vector<std::byte> out_;
    std::size_t out_begin_ = 0;  ///< Everything before it is sent.
    std::vector<std::byte> in_;
    std::size_t in_end_ = 0;  ///< Everything before it was received and is not yet delivered.
};

}  // namespace block_store
