#include "application.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/point.hpp"

namespace sansock::simulation {
namespace {

constexpr uint64_t kSlack = 48 * 1024;  ///< Sent on top while the fault has not come.
constexpr uint32_t kPieceMax = 16 * 1024;
constexpr uint64_t kPatienceNs = 100'000;

/// Byte i of side s's stream. Bytes a few positions, or a buffer's size, apart differ.
const std::vector<uint8_t> &stream_of(int side) {
    static const auto streams = [] {
        std::array<std::vector<uint8_t>, 2> made;
        for (size_t s = 0; s < 2; ++s) {
            Random random(4711 + s);
            made[s].resize(kBytesMax + kPieceMax);
            for (uint8_t &byte : made[s]) byte = static_cast<uint8_t>(random.next());
        }
        return made;
    }();
    return streams[static_cast<size_t>(side)];
}

}  // namespace

Application::Application(Process &process) : p_(process), world_(process.world), plan_(world_.scenario.side[process.side]) {}

void Application::spawn() {
    const std::string name = fmt::format("{}", p_.side == 0 ? "A" : "B");
    if (plan_.threads) {
        threads_ = 2;
        world_.scheduler.spawn(name + "-writer", p_.side, [this] { write_in_thread(); });
        world_.scheduler.spawn(name + "-reader", p_.side, [this] { read_in_thread(); });
    } else {
        threads_ = 1;
        world_.scheduler.spawn(name + "-poller", p_.side, [this] { poll_in_thread(); });
    }
}

bool Application::has_more_to_send() const {
    if (p_.write_failed) return false;
    // Over TCP a clean end meets whoever is silent, and a reset who writes to a peer that is dead.
    if (world_.scenario.fault == Fault::kIdleKill && world_.warmed_up()) return world_.is_idle();
    if (p_.told < plan_.bytes || !world_.warmed_up()) return p_.told < kBytesMax;
    return !world_.fault_done && p_.told < plan_.bytes + kSlack;
}

/// Between two hosts an end is ready late, when the queue of one that only writes is long, on a slow path longer than it is ever held back
/// (U4).
bool Application::pauses() const {
    return world_.scenario.two_hosts && p_.told > kBytesMin / 4 && p_.state().upgrades.load() == 0 && p_.state().pinned.load() == 0 &&
           p_.phase == Phase::kAttached && world_.tcp.unsent(p_.side) > 0 && !world_.tcp.was_reset(p_.side);
}

bool Application::wants_more_to_read() const {
    if (p_.read_to_end) return false;
    const bool hasty = plan_.ending == Ending::kHasty || plan_.ending == Ending::kAbort;
    return !(hasty && p_.got >= kBytesMin && world_.warmed_up() && !has_more_to_send());
}

bool Application::between_calls(Socket &socket) {
    SANSOCK_POINT("call");
    // Who is to ask for the first STEP may wait for a thread that has lost its processor: the bytes must last until then.
    if (!world_.warmed_up() && std::max(p_.told, p_.got) > kBytesMax / 2) {
        world_.scheduler.sleep({}, world_.scheduler.now_ns() + kPatienceNs);
    }
    if (world_.wants_leave(p_) && !left_) {
        left_ = true;
        world_.cover(p_, Event::kLeave);
        const bool excused = world_.excused;
        const long rc = socket.return_to_kernel(stream::Reason::kExec);
        world_.scheduler.trace("leaves -> %ld", rc);
        const Process &peer = p_.peer();
        if (rc < 0 && peer.finished && peer.alive && !peer.stopped && peer.got == p_.told && !excused &&
            world_.scenario.side[peer.side].ending != Ending::kAbort) {
            world_.fail(fmt::format("side {} was reset as it left, though its peer had read everything and closed", p_.side));
        }
        if (rc < 0) world_.excused = true;  // the peer does not answer; the program goes on none the less, with the bare socket
        if (threads_ == 1 && rc == 0 &&
            !world_.tcp.was_reset(p_.side)) {                   // nobody else reads, so that all counts stand still but the peer's
            const uint64_t sent = peer.state().out.out.load();  // a byte that is sent may not be counted yet
            const uint64_t there = p_.state().in.in.load() + world_.tcp.unread(p_.side) + world_.tcp.unsent(peer.side);
            if (sent > there) world_.fail(fmt::format("side {} left though {} bytes are not with the kernel (S5)", p_.side, sent - there));
        }
        if (threads_ == 1) {
            // As exec does it: whatever comes now comes from a program that knows the socket alone.
            p_.phase = Phase::kTcpOnly;
            p_.native = true;
            if (p_.far != nullptr) p_.far->leave(false);
            world_.scheduler.kill(p_.side, world_.scheduler.running());
            if (p_.far != nullptr) p_.far->die();
        }
        world_.felt();
    }
    if (p_.mute) world_.felt();
    return !p_.mute;
}

void Application::check_bytes(const uint8_t *data, size_t size) {
    const auto &expected = stream_of(1 - p_.side);
    const Process &peer = p_.peer();
    if (p_.got + size > peer.offered)
        return world_.fail(fmt::format("side {} read {} bytes at {}, but only {} were ever offered", p_.side, size, p_.got, peer.offered));
    if (std::memcmp(data, &expected[p_.got], size) == 0) return;
    const size_t at = static_cast<size_t>(std::mismatch(data, data + size, &expected[p_.got]).first - data);
    world_.fail(fmt::format("side {} read a wrong byte at {} (in a call for {} bytes at {})", p_.side, p_.got + at, size, p_.got));
}

void Application::check_end_of_file() {
    if (p_.error_told) return;
    const Process &peer = p_.peer();
    if (p_.error_taken) {
        // Behind the peer's end a reset means nothing to readers, and the sender whose call took it is told by its next one.
        p_.ended_short = p_.got < peer.told || !peer.state().out.fin;
        return;
    }
    if (p_.got < peer.told)
        return world_.fail(fmt::format("side {} reads a clean end at {}, but {} bytes were sent", p_.side, p_.got, peer.told));
    if (peer.alive && !peer.wrote_all)
        return world_.fail(fmt::format("side {} reads a clean end at {}, but the peer still writes", p_.side, p_.got));
    if (p_.unread_at_peers_death) {
        return world_.fail(fmt::format("side {} reads a clean end at {}, but the peer died with bytes of ours unread", p_.side, p_.got));
    }
}

void Application::check_error(const char *call, long error) {
    p_.error_told = true;
    if (error != -ECONNRESET && error != -EPIPE) return world_.fail(fmt::format("side {}: {} answers {}", p_.side, call, error));
    if (!world_.excused) world_.fail(fmt::format("side {}: {} answers {} for no reason", p_.side, call, error));
}

bool Application::read_once(Socket &socket, bool wait) {
    static uint8_t buffers[2][kPieceMax];  // one reader a side, and no stack to spare
    uint8_t *data = buffers[p_.side];
    const size_t size = world_.scheduler.random.skewed(plan_.read_max);
    const bool peek = world_.scheduler.random.chance(plan_.peek_percent);
    world_.cover(p_, peek ? Event::kPeek : Event::kReceive);
    p_.blocked_reading = wait;
    const long got = socket.receive(data, size, peek ? MSG_PEEK : 0, wait);
    p_.blocked_reading = false;
    world_.scheduler.trace("%s(%zu) at %lu -> %ld", peek ? "peek" : "receive", size, p_.got, got);
    if (got == -EAGAIN && !wait) return true;
    if (got < 0) {
        check_error("receive", got);
        p_.read_to_end = true;
        return false;
    }
    if (got == 0) {
        check_end_of_file();
        p_.read_to_end = true;
        return false;
    }
    check_bytes(data, static_cast<size_t>(got));
    if (!peek) p_.got += static_cast<uint64_t>(got);
    world_.progressed();
    return true;
}

bool Application::write_once(Socket &socket, bool wait) {
    const size_t size = std::min<size_t>(world_.scheduler.random.skewed(plan_.write_max), kPieceMax);
    world_.cover(p_, Event::kSend);
    p_.offered = p_.told + size;
    p_.blocked_writing = wait;
    const long sent = socket.send(&stream_of(p_.side)[p_.told], size, wait);
    p_.blocked_writing = false;
    world_.scheduler.trace("send(%zu) at %lu -> %ld", size, p_.told, sent);
    if (sent > 0) p_.told += static_cast<uint64_t>(sent);
    if (sent > 0 && !p_.peer().alive) world_.excused = true;  // over TCP, too, who writes to a dead process is told so
    p_.offered = p_.told;
    if (sent < 0 && !(sent == -EAGAIN && !wait)) {
        check_error("send", sent);
        p_.write_failed = true;
        return false;
    }
    world_.progressed();
    return true;
}

void Application::end_of_writing(Socket &socket) {
    p_.wrote_all = true;
    if (plan_.ending != Ending::kShutdown || p_.write_failed) return;
    world_.cover(p_, Event::kShutdown);
    const long rc = socket.shutdown_write();
    world_.scheduler.trace("shutdown -> %ld", rc);
    if (rc < 0) p_.error_told = true;
    if (rc < 0 && !world_.excused && !left_) world_.fail(fmt::format("side {}: shutdown answers {}", p_.side, rc));
}

void Application::thread_ends(Socket &socket) {
    if (threads_ > 1) {
        --threads_;
        return;
    }
    world_.last_call(p_);
    if (!between_calls(socket)) return;
    const bool abort = plan_.ending == Ending::kAbort;
    if (abort || plan_.ending == Ending::kHasty) world_.excused = true;
    world_.cover(p_, Event::kClose);
    world_.scheduler.trace("closes");
    p_.finished = true;
    const bool exits = p_.far != nullptr && world_.scenario.far.exits[p_.side] && !p_.native;
    if (!exits || abort || world_.scheduler.random.chance(50)) socket.close(abort);
    if (exits) {
        world_.cover(p_, Event::kExit);
        world_.scheduler.trace("exits");
        socket.exit();
    }
    world_.closed(p_);
    SANSOCK_POINT("call");
}

void Application::write_in_thread() {
    Socket socket(p_, kFirstWaker);
    while (has_more_to_send()) {
        if (!between_calls(socket)) return;
        if (world_.is_idle() || pauses()) {
            world_.await_progress();
            continue;
        }
        if (!write_once(socket, true)) break;
    }
    if (!between_calls(socket)) return;
    end_of_writing(socket);
    thread_ends(socket);
}

void Application::read_in_thread() {
    Socket socket(p_, kFirstWaker + 1);
    while (wants_more_to_read()) {
        if (!between_calls(socket)) return;
        if (!read_once(socket, true)) break;
    }
    if (!between_calls(socket)) return;
    thread_ends(socket);
}

void Application::poll_in_thread() {
    Socket socket(p_, kFirstWaker);
    bool writing = true;
    for (;;) {
        if (!between_calls(socket)) return;
        if (writing && !has_more_to_send()) {
            writing = false;
            end_of_writing(socket);
        }
        const bool reading = wants_more_to_read();
        if (!reading && !writing) break;
        if (writing && pauses()) {
            world_.await_progress();
            if (reading) read_once(socket, false);
            continue;
        }
        const bool may_write = writing && !world_.is_idle();
        world_.cover(p_, Event::kPoll);
        p_.blocked_reading = reading;
        p_.blocked_writing = may_write;
        const short ready = socket.poll(static_cast<short>((reading ? POLLIN | POLLRDHUP : 0) | (may_write ? POLLOUT : 0)));
        p_.blocked_reading = p_.blocked_writing = false;
        world_.scheduler.trace("poll -> %x", static_cast<unsigned>(ready));
        if (!between_calls(socket)) return;
        if (reading && (ready & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) != 0) read_once(socket, false);
        if (may_write && (ready & (POLLOUT | POLLHUP | POLLERR)) != 0) write_once(socket, false);
    }
    thread_ends(socket);
}

}  // namespace sansock::simulation
