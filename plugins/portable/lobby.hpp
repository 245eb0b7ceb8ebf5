// Where connections arrive: the one listener of a provider, and who has come in and not yet said whom he wants.
//
// It listens while some endpoint waits, and no longer. Anybody may come in; who does not greet within connect_timeout, with a token that an
// endpoint waits for, is shown out, and at most kVisitorsMax are let in at a time: the oldest goes first, so that silent ones keep nobody
// out. A token opens each way once.
//
// Endpoints of different queues wait here, so this is the one thing of a provider that threads share. Its lock is held for calls that do
// not block, never across a wait. Its descriptor is in the notification set of each queue that has an endpoint waiting.
#pragma once
#include <sansock/sdk/host.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <sansock/sdk/cpp/unique_fd.hpp>
#include <vector>

#include "settings.hpp"
#include "socket.hpp"
#include "wire.hpp"

namespace sansock::portable {

class Queue;

/// What an endpoint waits for. The sockets are the lobby's until forget().
struct Expected {
    Token token{};
    Queue *queue = nullptr;
    std::array<Socket, kWays> arrived;
    std::atomic<unsigned> count{0};  ///< Of those that have arrived.
};

class Lobby {
public:
    Lobby(const sansock_host &host, const Settings &settings);
    ~Lobby();

    // [control]
    /// Waits from now on. Where connections are to be made to.
    void expect(Expected &expected, Card &offer);

    // [progress]
    void forget(Expected &expected) noexcept;
    /// Lets in who is at the door, and looks at what they say.
    void serve() noexcept;
    /// When serve() has something to do without anybody's coming; UINT64_MAX when never.
    [[nodiscard]] std::uint64_t next_due_ns() noexcept;

    /// Readable when serve() has something to do. Valid from the first expect() on.
    [[nodiscard]] int fd() const noexcept { return epoll_.get(); }

private:
    static constexpr std::size_t kVisitorsMax = 32;
    struct Visitor {
        Socket socket;
        std::uint64_t due_ns = 0;
        Greeting said{};
        std::size_t said_bytes = 0;
    };

    void open();
    [[nodiscard]] bool listen_at(std::uint16_t port);
    void close() noexcept;
    void watch(int fd, std::uint64_t what) noexcept;
    void unwatch(int fd) noexcept;
    void let_in() noexcept;
    void listen_to(Visitor &visitor) noexcept;
    void show_in(Visitor &visitor, unsigned way) noexcept;
    void show_out(Visitor &visitor) noexcept;
    void say_refused() noexcept;
    [[nodiscard]] std::uint64_t now_ns() const noexcept { return host_.ops->now_ns(&host_); }

    const sansock_host &host_;
    const Settings &settings_;
    sdk::UniqueFd epoll_;
    std::mutex mutex_;
    std::vector<Expected *> expected_;
    Socket listener_;
    std::uint16_t port_ = 0;
    bool has_six_ = false;
    std::uint64_t paused_until_ns_ = 0;  ///< There was no descriptor for a visitor: the door stays shut; 0: it does not.
    bool is_crowded_ = false;            ///< serve() has left somebody waiting at the door.
    std::array<Visitor, kVisitorsMax> visitors_;
    std::uint64_t refused_ = 0;
    std::uint64_t refused_said_ = 0;
};

}  // namespace sansock::portable
