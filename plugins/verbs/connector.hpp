// Makes and ends connections, in a thread of its own: what librdmacm does takes memory and locks, which is nothing for the threads of an
// application that send and receive. The thread sleeps unless something happens, or has to by a time.
#pragma once
#include <sansock/sdk/host.h>

#include <atomic>
#include <mutex>
#include <sansock/sdk/cpp/unique_fd.hpp>
#include <thread>
#include <vector>

#include "device.hpp"
#include "line.hpp"

namespace sansock::verbs {

class Connector {
public:
    /// Throws sdk::Failure when no thread is to be had.
    Connector(const sansock_host &host, Device &device, const Transport &transport, const Settings &settings);
    ~Connector();
    Connector(const Connector &) = delete;
    Connector &operator=(const Connector &) = delete;

    // [control] functions of endpoints. They throw sdk::Failure.
    void add(Line &line);
    /// It has not been removed.
    void require_device();
    /// Whoever comes with the token of the line's own card is let in once `answer` has said from where.
    void expect(Line &line);
    void answer(Line &line, const Card &peer);
    /// To the end that offers, which `peer` of the line describes.
    void dial(Line &line);
    /// The endpoint has failed by itself.
    void give_up(Line &line, std::int32_t status) noexcept;
    /// After return there is no queue pair.
    void drop(Line &line) noexcept;

    /// A line may end. From any thread.
    void ring() noexcept;
    /// The thread will end, and then says so.
    void begin_to_stop() noexcept;
    [[nodiscard]] bool has_stopped() const noexcept { return has_stopped_.load(); }

private:
    /// What is left of a line. The queue pair goes first.
    struct Grave {
        ConnectionId id;
        std::shared_ptr<const DeviceQueues> queues;
        QueuePair pair;
    };

    void run() noexcept;
    [[nodiscard]] std::uint64_t now_ns() const noexcept { return host_.ops->now_ns(&host_); }
    [[nodiscard]] Line *line_of(const rdma_cm_id *id) const noexcept;
    void log(std::int32_t level, const std::string &text) const noexcept;

    static void end(Line &line) noexcept;
    static void to_error(Line &line) noexcept;
    void bury() noexcept;
    void take_events() noexcept;
    void take(const rdma_cm_event &event) noexcept;
    void lose_device() noexcept;
    void come_in(const rdma_cm_event &event) noexcept;
    void go_on(Line &line, const rdma_cm_event &event, std::unique_lock<std::mutex> &lock);
    void accept(Line &line);
    void establish(Line &line) noexcept;
    void fail(Line &line, std::int32_t status) noexcept;
    [[nodiscard]] std::uint64_t look_at(Line &line, std::uint64_t now) noexcept;
    [[nodiscard]] std::uint64_t look_at_lines() noexcept;
    void check_greeting(const Line &line, const rdma_conn_param &parameters) const;
    [[nodiscard]] rdma_conn_param parameters_for(Line &line, const Greeting &greeting) const noexcept;

    const sansock_host &host_;
    Device &device_;
    const Transport &transport_;
    const Settings &settings_;
    sdk::UniqueFd bell_;
    std::mutex mutex_;
    std::vector<Line *> lines_;
    std::vector<Grave> graves_;
    std::atomic<bool> stops_{false};
    std::atomic<bool> has_stopped_{false};
    std::thread thread_;
};

}  // namespace sansock::verbs
