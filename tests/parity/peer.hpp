#pragma once

#include <cstdint>
#include <string_view>
#include <thread>

#include "outcome.hpp"

namespace sansock::parity {

/// The other end of every connection of a case: a thread of the same process, or a fresh process of the same program.
/// It does what it is told over a Unix socket and answers when it is done, so a case reads as one sequence of steps and
/// its transcript does not depend on who runs first.
class Peer {
public:
    enum class Kind { kThread, kProcess, kPlainProcess /* without the preload library */ };

    explicit Peer(Kind kind);
    ~Peer();
    Peer(const Peer &) = delete;
    Peer &operator=(const Peer &) = delete;

    /// Listens at a free port, which is the result.
    int listen(int family);
    /// Accepts from that listener, or connects; the result names the connection from then on.
    int accept();
    int connect(int family, int port);

    enum class Op : std::int32_t {
        kListen,
        kAccept,
        kConnect,
        kSend,
        kReceive,
        kReceiveUpTo,
        kReceiveToEnd,
        kSendPattern,
        kReceivePattern,
        kExchange,
        kEcho,
        kShutdown,
        kClose,
        kReset,
        kSetOption,
        kUnread,
        kPoll,
        kExit,
    };
    struct Command {
        Op op;
        std::int32_t connection = -1;
        std::int64_t first = 0;
        std::int64_t second = 0;
        std::int64_t third = 0;
    };

    /// Starts a command without waiting for it; finish() waits for the one that was started.
    void start(const Command &command, std::string_view bytes = {});
    Outcome finish();
    Outcome perform(const Command &command, std::string_view bytes = {});

    /// The peer leaves without closing anything first: a process dies by SIGKILL; a thread, which cannot, closes all.
    void kill();

private:
    Kind kind_;
    int control_ = -1;
    int process_ = -1;
    std::thread thread_;
};

/// What the peer does, in its thread or process, until the control socket ends.
void serve(int control);

/// One connection as the peer holds it. Each verb is the system call of that name at the peer's end.
class Remote {
public:
    Remote(Peer &peer, int connection) : peer_(&peer), connection_(connection) {}

    Outcome send(std::string_view bytes, int flags = 0) const;
    [[nodiscard]] Outcome recv(std::size_t max, int flags = 0) const;
    [[nodiscard]] Outcome receive_up_to(std::size_t count) const;
    [[nodiscard]] Outcome receive_to_end() const;
    [[nodiscard]] Outcome send_pattern(std::size_t count, std::uint64_t seed) const;
    [[nodiscard]] Outcome receive_pattern(std::size_t count, std::uint64_t seed) const;
    Outcome shutdown(int how) const;
    Outcome close() const;
    /// close with SO_LINGER 0: a reset.
    Outcome reset() const;
    Outcome set_option(int level, int name, int value) const;
    [[nodiscard]] Outcome unread() const;
    [[nodiscard]] Outcome poll(int events, int timeout_ms) const;

    void start_send(std::string_view bytes) const;
    void start_receive_up_to(std::size_t count) const;
    void start_receive_to_end() const;
    void start_send_pattern(std::size_t count, std::uint64_t seed) const;
    void start_receive_pattern(std::size_t count, std::uint64_t seed) const;
    void start_exchange(std::size_t count, std::uint64_t seed_out, std::uint64_t seed_in) const;
    void start_echo(std::size_t count) const;
    [[nodiscard]] Outcome finish() const;

    [[nodiscard]] Peer &owner() const { return *peer_; }

private:
    Peer *peer_;
    int connection_;
};

}  // namespace sansock::parity
