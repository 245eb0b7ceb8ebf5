#include <poll.h>
#include <sys/socket.h>

#include "base/cpu.hpp"
#include "base/guarded_copy.hpp"
#include "base/point.hpp"
#include "stream/end.hpp"

namespace sansock::stream {

uint64_t End::peer_window_max() const {
    const memory::ArenaShape &shape = (is_gone() ? m_.peer_arena : m_.path_arena)->shape();
    return uint64_t{shape.buffers} * shape.buffer_size + memory::kInlineSize;
}

WindowReader End::reader() {
    const bool gone = is_gone();
    if (gone && m_.path != m_.peer && !s_.in.direct) {
        s_.in.direct = true;
        // The peer's own list of segments has numbers of its own: look at all that it still holds.
        const uint32_t closed = m_.peer->hot.closed.load(std::memory_order_acquire);
        s_.in.closed_read = closed - std::min(closed, memory::kSegmentsPerSlot);
    }
    return {s_.in, gone ? *m_.peer_arena : *m_.path_arena, gone ? *m_.peer : *m_.path, peer_window_max()};
}

long End::receive(const iovec *parts, int count, int flags) {
    if (__builtin_expect(attention_pending(), 0)) progress();
    long got;
    {
        Guard guard(s_.in.lock);
        SANSOCK_POINT("D2.locked");
        if (__builtin_expect(s_.in.path == Path::kTcp, 0)) {
            if (!arrive_at_switch()) return receive_tcp(parts, count, flags);
        }
        got = receive_provider(parts, count, flags);
    }
    if (got > 0) {
        const memory::HotLine &peer = m_.peer->hot;
        if (peer.parked_out.load(std::memory_order_relaxed) != 0 || peer.want_room.load(std::memory_order_relaxed) != 0) {
            env_.wake_peer_writers();
        }
    }
    return got;
}

long End::receive_provider(const iovec *parts, int count, int flags) {
    InState &in = s_.in;
    if (in.rd_shut && unread() == 0) return 0;
    WindowReader window = reader();
    Parts target(parts, count);
    const uint64_t start = in.in.load(std::memory_order_relaxed);
    uint64_t position = start;
    size_t left = target.total();
    if (left == 0) return unread() > 0 ? 0 : end_of_stream();
    while (left > 0) {
        Run run;
        const auto answer = window.peek(position, run);
        if (answer == WindowReader::Answer::kLie) {
            poison(Reason::kProtocol);
            return -ECONNRESET;
        }
        if (answer == WindowReader::Answer::kEmpty) break;
        SANSOCK_POINT("D2.found");
        size_t copied = 0;
        while (copied < run.size) {
            const auto part = target.next(run.size - copied);
            if (part.size == 0) break;
            // MSG_TRUNC on TCP reads without delivering.
            if ((flags & MSG_TRUNC) == 0 && !guarded_copy(part.data, run.data + copied, part.size)) return -EFAULT;
            copied += part.size;
        }
        if (copied == 0) break;
        position += copied;
        left -= copied;
        if ((flags & MSG_PEEK) == 0) {
            // Only now may the peer write there again.
            SANSOCK_POINT("D2.copied");
            in.in.store(position, std::memory_order_relaxed);
            m_.mine->hot.consumed.store(position, std::memory_order_release);
            SANSOCK_POINT("D2.consumed");
        }
    }
    const long got = static_cast<long>(position - start);
    if (got == 0) return end_of_stream();
    if ((flags & MSG_PEEK) == 0) {
        in.bytes_provider.store(in.bytes_provider.load(std::memory_order_relaxed) + static_cast<uint64_t>(got),
                                std::memory_order_relaxed);
    }
    return got;
}

/// Nothing unread: does the stream end here, and how?
long End::end_of_stream() {
    InState &in = s_.in;
    const memory::ColdWords &peer = m_.peer->cold;
    const uint64_t at = in.in.load(std::memory_order_relaxed);
    const uint32_t ended = s_.tcp_ended.load(std::memory_order_acquire);
    const bool reset = ended == kTcpReset;
    SANSOCK_POINT("E5.seen");
    if (ended != kTcpOpen) {
        // What the peer published before it went lies in the window still: look once more, now that its end is known.
        Run run;
        if (reader().peek(at, run) == WindowReader::Answer::kBytes) return -EAGAIN;
    }
    if (peer.fin.load(std::memory_order_acquire) != 0 && peer.fin_at.load(std::memory_order_relaxed) == at && !reset) return 0;
    if (ended == kTcpOpen) return in.rd_shut ? 0 : -EAGAIN;
    if (reset) {  // the kernel knows whether the error was told already, here or by another call
        uint8_t byte;
        const iovec part{&byte, 1};
        return env_.tcp_receive(&part, 1, MSG_DONTWAIT);
    }
    return error_of_loss() == ECONNRESET && s_.error_told.exchange(1) == 0 ? -ECONNRESET : 0;
}

int End::error_of_loss() const {
    const bool closed = s_.peer_closed.load(std::memory_order_acquire) != 0;
    const bool died = s_.tcp_ended.load(std::memory_order_acquire) == kTcpFin;
    if (__builtin_expect(!closed && !died, 1) || s_.out.path != Path::kProvider) return 0;
    // What it consumed to the last stands in its own slot, told by messages or not.
    const uint64_t consumed = std::max(m_.peer->hot.consumed.load(std::memory_order_acquire), s_.out.switched_at);
    if (s_.out.out.load(std::memory_order_relaxed) == consumed) return 0;
    return closed ? EPIPE : ECONNRESET;
}

int End::take_error_of_loss() {
    const int error = error_of_loss();
    return error != 0 && s_.error_told.exchange(1) == 0 ? error : 0;
}

long End::receive_tcp(const iovec *parts, int count, int flags) {
    InState &in = s_.in;
    const memory::ColdWords &peer = m_.peer->cold;
    if (peer.fin.load(std::memory_order_acquire) != 0 && s_.out.fin == false &&
        peer.fin_at.load(std::memory_order_relaxed) == in.in.load(std::memory_order_relaxed) &&
        peer.stepped.load(std::memory_order_relaxed) != s_.epoch.load(std::memory_order_relaxed) && !in.rd_shut) {
        return 0;
    }
    if (s_.required && env_.tcp_unread() > 0) {
        poison(Reason::kForeignBytes);
        return -ECONNRESET;
    }
    const long got = env_.tcp_receive(parts, count, flags | MSG_DONTWAIT);
    SANSOCK_POINT("D2.from-tcp");
    if (got > 0 && (flags & (MSG_PEEK | MSG_OOB)) == 0) {
        in.in.store(in.in.load(std::memory_order_relaxed) + static_cast<uint64_t>(got), std::memory_order_relaxed);
        m_.mine->hot.consumed.store(in.in.load(std::memory_order_relaxed), std::memory_order_release);
    }
    return got;
}

size_t End::unread() {
    if (s_.in.path != Path::kProvider) return 0;
    return reader().unread();
}

size_t End::unconsumed() const {
    if (s_.out.path != Path::kProvider) return 0;
    const uint64_t consumed = std::max(path().hot.consumed.load(std::memory_order_acquire), s_.out.switched_at);
    return s_.out.out.load(std::memory_order_relaxed) - consumed;
}

bool End::on_provider(bool sending) const { return (sending ? s_.out.path : s_.in.path) == Path::kProvider; }

/// As with a kernel socket, "writable" waits for a third of the space, or a bulk sender would wake for every byte.
bool End::has_room() const {
    const uint64_t kept = unconsumed();
    return !s_.out.stopped && (s_.out.window - std::min(kept, s_.out.window)) * 3 >= s_.out.window;
}

short End::events(short kernel) {
    short events = kernel & POLLERR;
    if (!on_provider(false)) {
        // A peer that has switched will never again make TCP readable: take note before anybody waits for that.
        Guard guard(s_.in.lock);
        if (s_.in.path == Path::kTcp) arrive_at_switch();
    }
    const bool in_provider = on_provider(false);
    const bool out_provider = on_provider(true);
    const uint32_t ended = s_.tcp_ended.load(std::memory_order_acquire);
    const memory::ColdWords &peer = m_.peer->cold;
    const bool reset = ended == kTcpReset;
    bool read_done = false;
    if (in_provider) {
        Guard guard(s_.in.lock);
        const bool finished = peer.fin.load(std::memory_order_acquire) != 0 &&
                              peer.fin_at.load(std::memory_order_relaxed) <= path().hot.tail.load(std::memory_order_acquire);
        read_done = finished || ended != kTcpOpen || reset || s_.in.rd_shut;
        if (read_done || reader().unread() > 0) events |= POLLIN | POLLRDNORM;
        if (read_done) events |= POLLRDHUP;
    } else {
        events |= kernel & (POLLIN | POLLRDNORM | POLLRDHUP | POLLPRI | POLLHUP);
        read_done = (kernel & POLLRDHUP) != 0;
        if (!read_done && peer.fin.load(std::memory_order_acquire) != 0 && !out_provider &&
            peer.fin_at.load(std::memory_order_relaxed) == s_.in.in.load(std::memory_order_relaxed)) {
            events |= POLLIN | POLLRDNORM | POLLRDHUP;
            read_done = true;
        }
    }
    if (out_provider) {
        const bool always = s_.out.fin || ended != kTcpOpen || reset;
        bool writable = always || has_room();
        if (!writable) {
            m_.mine->hot.want_room.store(1, std::memory_order_relaxed);
            full_fence();
            SANSOCK_POINT("D3.want-room");
            writable = has_room();  // it may have come while we were saying so
        }
        if (writable) events |= POLLOUT | POLLWRNORM;
    } else if (!s_.out.stopped && !s_.required) {
        events |= kernel & (POLLOUT | POLLWRNORM | POLLHUP);
    }
    if (reset) events |= POLLHUP | (env_.tcp_has_error() ? POLLERR : 0);
    if (error_of_loss() != 0) events |= POLLHUP | (s_.error_told.load(std::memory_order_relaxed) == 0 ? POLLERR : 0);
    if (s_.out.fin && read_done) events |= POLLHUP;
    return events;
}

}  // namespace sansock::stream
