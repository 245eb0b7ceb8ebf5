#include <poll.h>
#include <sys/socket.h>

#include <utility>

#include "base/cpu.hpp"
#include "base/guarded_copy.hpp"
#include "base/point.hpp"
#include "stream/end.hpp"

namespace sansock::stream {

uint64_t End::peer_window_max() const {
    const memory::ArenaShape &shape = (reads_peers_memory() ? m_.peer_arena : m_.path_arena)->shape();
    return uint64_t{shape.buffers} * shape.buffer_size + memory::kInlineSize;
}

WindowReader End::reader() {
    const bool gone = reads_peers_memory();
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
    long got = 0;
    bool in_window = true;
    {
        InGuard guard(*this);
        SANSOCK_POINT("D2.locked");
        if (__builtin_expect(s_.in.path != Path::kProvider, 0)) {
            if (has_left()) return -EBADF;
            if (!arrive_at_switch()) {
                got = receive_tcp(parts, count, flags);
                in_window = s_.in.path == Path::kProvider;
            }
        }
        if (in_window) got = receive_provider(parts, count, flags);
    }
    if (in_window && got > 0) {
        const memory::HotLine &peer = m_.peer->hot;
        if (peer.parked_out.load(std::memory_order_relaxed) != 0 || peer.want_room.load(std::memory_order_relaxed) != 0) {
            env_.wake_peer_writers();
        }
    }
    return or_owed(got);
}

/// An error comes before the end of file.
long End::or_owed(long answer) {
    if (__builtin_expect(answer > 0 || answer == -EAGAIN || answer == -EFAULT, 1)) return answer;
    OutGuard guard(*this);  // a sender that has just taken the kernel's error holds it until it has made a note
    const uint32_t owed = s_.error_owed.load(std::memory_order_relaxed);
    return owed != 0 ? -static_cast<long>(owed) : answer;
}

/// The kernel's answer, as TCP would have given it. An error is told once, so whatever is lost beside TCP is told with it.
long End::take_note(long answer) {
    if (answer != -ECONNRESET) return answer;
    const int error = error_of_reset();
    note_end(kTcpReset);  // the kernel has no error to show to whoever looks from now on
    s_.error_told.store(1, std::memory_order_relaxed);
    if (error == ECONNRESET) s_.error_owed.store(ECONNRESET, std::memory_order_relaxed);  // EPIPE is what every sender hears from now on
    return -error;
}

int End::error_of_reset() const {
    if (is_poisoned() || !peer_end_arrived()) return ECONNRESET;
    if (!s_.out.fin) return EPIPE;
    return own_end_arrived() ? 0 : ECONNRESET;  // LAST_ACK or CLOSING
}

/// It was named before the bytes ahead of it were here, where TCP carries those; and where messages do, what a peer on another host has
/// kept goes with it.
bool End::peer_end_arrived() const {
    if (!peer_finished()) return false;
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    const memory::ColdWords &peer = m_.peer->cold;
    const uint64_t x = peer.switched_at.load(std::memory_order_relaxed), end = peer.fin_at.load(std::memory_order_relaxed);
    const bool in_window = s_.in.path == Path::kProvider;
    const bool rest_in_window = in_window || (peer.switched.load(std::memory_order_acquire) == epoch && !stepping());
    if (m_.far && rest_in_window && std::max(x, m_.path->hot.tail.load(std::memory_order_acquire)) < end) return false;
    if (in_window) return true;
    const long unread = env_.tcp_unread();
    return s_.in.in.load(std::memory_order_relaxed) + static_cast<uint64_t>(std::max(unread, 0L)) >= (rest_in_window ? x : end);
}

bool End::own_end_arrived() const { return s_.out.path == Path::kProvider ? unacknowledged() == 0 : env_.tcp_unsent() <= 0; }

int End::take_error(int kernel) {
    if (kernel == 0) return take_error_of_loss();
    if (kernel != ECONNRESET && kernel != EPIPE) return kernel;
    note_end(kTcpReset);
    s_.error_told.store(1, std::memory_order_relaxed);
    return kernel == ECONNRESET ? error_of_reset() : kernel;
}

long End::receive_provider(const iovec *parts, int count, int flags) {
    InState &in = s_.in;
    if (in.rd_shut && s_.tcp_ended.load(std::memory_order_acquire) == kTcpOpen && unread() == 0) return 0;
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
        if (SANSOCK_MUTATE("FREE_BEFORE_CONSUMED", false, true))
            m_.mine->hot.consumed.store(position + std::min(left, run.size), std::memory_order_release);
        size_t copied = 0;
        while (copied < run.size) {
            const auto part = target.next(run.size - copied);
            if (part.size == 0) break;
            // MSG_TRUNC on TCP reads without delivering.
            if ((flags & MSG_TRUNC) == 0 && !guarded_copy(part.data, run.data + copied, part.size)) {
                if (position == start) return -EFAULT;
                left = copied = 0;  // what was taken before is the application's
                break;
            }
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
        in.bytes_provider.store(in.bytes_provider.load(std::memory_order_relaxed) + static_cast<uint64_t>(got), std::memory_order_relaxed);
    }
    return got;
}

/// Nothing unread: does the stream end here, and how?
long End::end_of_stream() {
    InState &in = s_.in;
    const uint64_t at = in.in.load(std::memory_order_relaxed);
    SANSOCK_POINT("E5.looked");
    const uint32_t ended = s_.tcp_ended.load(std::memory_order_acquire);
    const bool reset = ended == kTcpReset;
    SANSOCK_POINT("E5.seen");
    if (ended != kTcpOpen && in.path == Path::kProvider && SANSOCK_MUTATE("NO_REREAD", true, false)) {
        // What the peer published before it went lies in the window still: look once more, now that its end is known.
        Run run;
        if (reader().peek(at, run) == WindowReader::Answer::kBytes) return -EAGAIN;
    }
    if (peer_ends_at(at) && !is_poisoned()) return 0;  // as TCP in CLOSE_WAIT, to whose reader a later reset means nothing
    if (ended == kTcpOpen) return in.rd_shut ? 0 : -EAGAIN;
    if (reset) {  // the kernel knows whether the error was told already, here or by another call
        uint8_t byte;
        const iovec part{&byte, 1};
        const long answer = std::exchange(in.reset_owed, false) ? -ECONNRESET : take_note(env_.tcp_receive(&part, 1, MSG_DONTWAIT));
        if (answer != 0) {
            s_.error_told.store(1, std::memory_order_relaxed);  // whatever is lost, it was told
            return answer > 0 ? -ECONNRESET : answer;           // a byte there is foreign
        }
    }
    // The peer died with input unread; the kernel would have reset for it. What we sent last was never looked at.
    const bool lost =
        error_of_loss() == ECONNRESET || (reset && s_.peer_closed.load(std::memory_order_relaxed) == 0 && never_consumed() > 0);
    return lost && s_.error_told.exchange(1) == 0 ? -ECONNRESET : 0;
}

int End::error_of_loss() const {
    const bool closed = s_.peer_closed.load(std::memory_order_acquire) != 0;
    const bool ended = s_.tcp_ended.load(std::memory_order_acquire) == kTcpFin;
    if (__builtin_expect(!closed && !ended, 1) || never_consumed() == 0) return 0;
    if (closed) return EPIPE;
    return died_on_provider() ? error_of_reset() : 0;
}

int End::take_error_of_loss() {
    const int error = error_of_loss();
    return error != 0 && s_.error_told.exchange(1) == 0 ? error : 0;
}

long End::receive_tcp(const iovec *parts, int count, int flags) {
    InState &in = s_.in;
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    const memory::ColdWords &peer = m_.peer->cold;
    // All is read that the peer has to say, whoever carried it; the kernel's FIN may come much later.
    if (peer_ends_at(in.in.load(std::memory_order_relaxed))) return 0;
    if (s_.required && env_.tcp_unread() > 0) {
        poison(Reason::kForeignBytes);
        return -ECONNRESET;
    }
    const long got = env_.tcp_receive(parts, count, flags | MSG_DONTWAIT);
    if (got == -EAGAIN) help_peer_to_switch();
    SANSOCK_POINT("D2.from-tcp");
    if (got > 0) {
        const uint64_t end = in.in.load(std::memory_order_relaxed) + static_cast<uint64_t>(got);
        // Of another host the bytes that it repeats may be here before its word that it does; it has looked for foreign ones itself.
        const bool may_repeat =
            peer.step.load(std::memory_order_acquire) >= epoch || (SANSOCK_MUTATE("REPEATED_IS_FOREIGN", m_.far, false) && stepping());
        if (peer.switched.load(std::memory_order_acquire) == epoch && !may_repeat &&
            end > peer.switched_at.load(std::memory_order_relaxed) && SANSOCK_MUTATE("DELIVER_FOREIGN", true, false)) {
            poison(Reason::kForeignBytes);  // beyond X, where the peer writes to its window alone until it has stopped
            return -ECONNRESET;
        }
        if ((flags & (MSG_PEEK | MSG_OOB)) == 0) {
            in.in.store(end, std::memory_order_relaxed);
            m_.mine->hot.consumed.store(end, std::memory_order_release);
        }
        return got;
    }
    if ((got == 0 && Parts(parts, count).total() > 0) || got == -ECONNRESET || got == -EPIPE) {
        // What a peer on another host has said of it may be on its way still: that it has stepped, or that it had switched at all.
        if (got == 0 && awaits_words()) {
            in.end_seen = true;
            env_.tcp_end_seen();
            return -EAGAIN;
        }
        if (died_on_provider()) {
            tcp_ended(got == 0 ? kTcpFin : kTcpReset);
            if (return_to_window()) {
                const long error = take_note(got);  // only now, for it is in the window that the peer's end may have arrived
                in.reset_owed = error != 0;
                return error;
            }
            // Its last bytes came by TCP; whether it had read ours TCP does not know.
            if (got == 0) return end_of_stream();
        }
    }
    return take_note(got);
}

/// The peer is gone before it had stepped: it will repeat nothing any more, and what it kept lies in its window still.
bool End::return_to_window() {
    if (m_.far) return false;
    InState &in = s_.in;
    const memory::ColdWords &peer = m_.peer->cold;
    const uint64_t at = in.in.load(std::memory_order_relaxed);
    const bool past_x = peer.switched.load(std::memory_order_acquire) == s_.epoch.load(std::memory_order_relaxed) &&
                        at >= peer.switched_at.load(std::memory_order_relaxed);
    if (!past_x) return false;  // a reset has cost what TCP still carried: nothing beyond it can be delivered
    reader().reset(at);
    in.path = Path::kProvider;
    return true;
}

size_t End::unread_beside_tcp() {
    InGuard guard(*this);
    if (s_.in.path == Path::kProvider) return reader().unread();
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    const memory::ColdWords &peer = m_.peer->cold;
    if (peer.switched.load(std::memory_order_acquire) != epoch || m_.mine->cold.frozen.load(std::memory_order_relaxed) == epoch) return 0;
    // The peer has gone over already; what it sent before lies in the kernel, and we have not read that to its end.
    const uint64_t x = peer.switched_at.load(std::memory_order_relaxed);
    const uint64_t tail = (m_.far ? m_.path : m_.peer)->hot.tail.load(std::memory_order_acquire);
    return tail < x ? 0 : static_cast<size_t>(std::min(tail - x, peer_window_max()));
}

size_t End::unread() {
    if (s_.in.path != Path::kProvider) return 0;
    return reader().unread();
}

size_t End::unconsumed() const {
    if (s_.out.path != Path::kProvider) return 0;
    const uint64_t consumed = std::max<uint64_t>(path().hot.consumed.load(std::memory_order_acquire), s_.out.switched_at);
    const uint64_t out = s_.out.out.load(std::memory_order_relaxed);
    return out - std::min(out, consumed);  // a lie is for send() to find
}

bool End::on_provider(bool sending) const { return (sending ? s_.out.path : s_.in.path) == Path::kProvider; }

/// What it consumed to the last stands in its own slot, told by messages or not; of another host, what it has told last, either way.
uint64_t End::consumed_by_peer() const {
    const uint64_t known = m_.peer->hot.consumed.load(std::memory_order_acquire);
    return m_.far ? std::max(known, m_.path->hot.consumed.load(std::memory_order_acquire)) : known;
}

uint64_t End::never_consumed() const {
    if (s_.out.epoch_switched != s_.epoch.load(std::memory_order_relaxed) || SANSOCK_MUTATE("UNREAD_OUTPUT_IS_CLEAN", false, true))
        return 0;
    const uint64_t out = s_.out.out.load(std::memory_order_relaxed);
    return out - std::min(out, std::max<uint64_t>(consumed_by_peer(), s_.out.switched_at));
}

/// As with a kernel socket, "writable" waits for a third of the space, or a bulk sender would wake for every byte.
bool End::has_room() {
    OutGuard guard(*this);
    if (s_.out.stopped || s_.out.path != Path::kProvider) return false;
    WindowWriter window = writer();
    // A lie is for send() to find.
    if (!window.believe_consumed(path().hot.consumed.load(std::memory_order_acquire))) return true;
    return window.room() * 3 >= s_.out.window && window.has_space();
}

short End::events(short kernel) {
    // What was seen here is known to the next call, though the helper may come to see it only later.
    constexpr short kReset = POLLERR | POLLHUP;
    if (__builtin_expect((kernel & kReset) == kReset, 0)) note_end(kTcpReset);
    const bool harmless = __builtin_expect((kernel & kReset) != 0, 0) && error_of_reset() == 0;
    short events = harmless ? 0 : kernel & POLLERR;
    if (!on_provider(false)) {
        // A peer that has switched will never again make TCP readable: take note before anybody waits for that.
        InGuard guard(*this);
        if (s_.in.path == Path::kTcp) arrive_at_switch();
    }
    const bool in_provider = on_provider(false);
    const bool asks_kernel = SANSOCK_MUTATE("ROOM_OF_THE_GONE", kernel_takes_output(), !on_provider(true));
    const uint32_t ended = s_.tcp_ended.load(std::memory_order_acquire);
    const memory::ColdWords &peer = m_.peer->cold;
    const bool reset = ended == kTcpReset;
    bool read_done = false;
    if (in_provider) {
        InGuard guard(*this);
        const bool finished = peer.fin.load(std::memory_order_acquire) != 0 &&
                              peer.fin_at.load(std::memory_order_relaxed) == path().hot.tail.load(std::memory_order_acquire);
        read_done = finished || ended != kTcpOpen || reset || s_.in.rd_shut;
        if (read_done || reader().unread() > 0) events |= POLLIN | POLLRDNORM;
        if (read_done) events |= POLLRDHUP;
    } else {
        if (__builtin_expect((kernel & POLLRDHUP) != 0 && awaits_words() && env_.tcp_unread() == 0, 0)) {
            s_.in.end_seen = true;
            env_.tcp_end_seen();
            kernel &= static_cast<short>(~(POLLIN | POLLRDNORM | POLLRDHUP));
        }
        events |= kernel & (POLLIN | POLLRDNORM | POLLRDHUP | POLLPRI | POLLHUP);
        if ((kernel & POLLIN) == 0) help_peer_to_switch();
        read_done = (kernel & POLLRDHUP) != 0;
        if (!read_done && peer_ends_at(s_.in.in.load(std::memory_order_relaxed))) {
            events |= POLLIN | POLLRDNORM | POLLRDHUP;
            read_done = true;
        }
    }
    if (on_provider(true) && (!asks_kernel || s_.out.fin || error_of_loss() != 0)) {
        bool writable = s_.out.fin || asks_kernel || has_room();
        if (!writable) {
            m_.mine->hot.want_room.store(1, std::memory_order_relaxed);
            full_fence();
            SANSOCK_POINT("D3.want-room");
            writable = has_room();  // it may have come while we were saying so
        }
        if (writable) events |= POLLOUT | POLLWRNORM;
    } else if (!held_back()) {
        events |= kernel & (POLLOUT | POLLWRNORM | POLLHUP);
    } else if (s_.required && !s_.out.stopped) {  // the next send() leaves TCP, once the peer is ready: it tells whoever says that he waits
        m_.mine->hot.want_room.store(1, std::memory_order_relaxed);
        full_fence();
        if (may_switch()) events |= POLLOUT | POLLWRNORM;
    }
    if (reset)
        events |= POLLIN | POLLRDNORM | POLLRDHUP | POLLOUT | POLLWRNORM | POLLHUP |
                  (error_of_reset() != 0 && env_.tcp_has_error() ? POLLERR : 0);
    // As long as TCP has not brought the last bytes, there is something to wait for.
    if (read_done && error_of_loss() != 0) events |= POLLHUP | (s_.error_told.load(std::memory_order_relaxed) == 0 ? POLLERR : 0);
    if (s_.out.fin && read_done) events |= POLLHUP;
    return events;
}

}  // namespace sansock::stream
