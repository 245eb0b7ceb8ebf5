// One end of a connection: two numbered byte streams, each on kernel TCP or on a provider, and the moves between them.
//
// The problem: an application's bytes must move off TCP and back at any byte, with nothing lost, repeated or reordered, while
// either process may be killed, fall silent, or fork at any instruction. docs/stream-protocol.md has the protocol; the names
// here are its names: X (switched at), Z (frozen at), Y (fin at), an epoch is a stay on the provider.
//
// An End is a process's view of a State that its whole family shares. Calls are thread-safe and never block: -EAGAIN
// means "wait", which is the socket layer's business. Not for connections that were never attached: those are the kernel's.
#pragma once
#include <cerrno>

#include "base/point.hpp"
#include "stream/environment.hpp"
#include "stream/window.hpp"

namespace sansock::stream {

template <class Lock>
class Guard {
public:
    explicit Guard(Lock &lock) : lock_(lock) { lock_.lock(); }
    ~Guard() { lock_.unlock(); }
    Guard(const Guard &) = delete;
    Guard &operator=(const Guard &) = delete;

private:
    Lock &lock_;
};

class End {
public:
    /// All of these outlive the End.
    struct Memory {
        memory::Arena *arena;
        memory::Slot *mine;
        const memory::PeerArena *peer_arena;
        const memory::Slot *peer;
        /// Where messages from the peer are laid down as its own slot would show them: tail, segments and consumed count. nullptr:
        /// the peer's slot itself is the path.
        const memory::PeerArena *path_arena = nullptr;
        const memory::Slot *path = nullptr;
        /// The peer is on another host: its slot is one of ours, in which the words that it sends are laid down (stream/words.hpp). They
        /// come late, also behind bytes that TCP or the provider has brought, and what it had kept dies with it.
        bool far = false;
    };
    End(State &state, const Memory &memory, Environment &environment) : s_(state), m_(memory), env_(environment) {
        if (m_.path != nullptr) return;
        m_.path_arena = m_.peer_arena;
        m_.path = m_.peer;
    }

    /// Bytes sent from the front of `parts`, or -EAGAIN, -EPIPE, -EFAULT, -ECONNRESET. `flags` reach the kernel while on TCP.
    /// `goes_on`: with what is left of a call that has sent some of it already.
    long send(const iovec *parts, int count, int flags, bool goes_on = false);
    /// Bytes read; 0 at the end of the stream; -EAGAIN, -ECONNRESET, -EFAULT. Of the flags MSG_PEEK and MSG_TRUNC are modelled.
    long receive(const iovec *parts, int count, int flags);

    /// The kernel tells of a reset once, and one thread's send may take the news while another reads "end of file". So send() and
    /// receive() answer with it until the caller has told the application, who may prefer to tell first what it has moved before.
    void error_told() {
        if (__builtin_expect(s_.error_owed.load(std::memory_order_relaxed) != 0, 0)) s_.error_owed.store(0, std::memory_order_relaxed);
    }

    /// POLLIN, POLLOUT, POLLRDHUP, POLLHUP, POLLERR as they stand. `kernel` is what poll() on the TCP socket answered just now; a
    /// direction that is on TCP takes its events from there.
    [[nodiscard]] short events(short kernel);
    [[nodiscard]] bool on_provider(bool sending) const;
    /// Whether the kernel says when there is room: this direction is on TCP, or the peer is gone, and TCP alone knows what becomes of
    /// bytes that are sent now.
    [[nodiscard]] bool kernel_takes_output() const { return !on_provider(true) || (__builtin_expect(is_gone(), 0) && peer_is_dead()); }
    /// TCP is at its end, and what that means the peer has yet to say: to wait for TCP would end at once. tcp_ended() or a word ends it.
    [[nodiscard]] bool awaits_end() const { return __builtin_expect(s_.in.end_seen, 0) && awaits_words(); }
    /// Both directions are on TCP for good and no STEP is under way: the kernel may do as it likes with the socket.
    [[nodiscard]] bool at_rest_on_tcp();
    /// Bytes that wait to be read and that the kernel does not count.
    [[nodiscard]] size_t unread_beside_tcp();
    /// Bytes that receive() would deliver from the provider path.
    [[nodiscard]] size_t unread();
    /// Bytes that the peer's application has not consumed.
    [[nodiscard]] size_t unconsumed() const;

    /// Those of them that TCP would not have acknowledged: bytes in the window are with the peer, and half of it stands for the
    /// receive queue that the peer's kernel would have put them into.
    [[nodiscard]] size_t unacknowledged() const {
        const size_t kept = unconsumed(), queue = static_cast<size_t>(s_.out.window / 2);
        return kept > queue ? kept - queue : 0;
    }

    /// Every waiter of this end covers the provider from now on (transition R of the upgrade).
    /// `of_epoch`: not if that is over; 0: whichever it is.
    void declare_ready(uint32_t of_epoch = 0);
    /// Nothing may be sent for the moment, though the direction is on TCP and the kernel would take it: a STEP is under way, the
    /// connection is required to leave TCP first, or a bulk sender is held back. The last ends without anybody's call, so that a waiter
    /// looks again every millisecond or so.
    [[nodiscard]] bool held_back() { return ((s_.out.stopped || s_.required) && !peer_is_dead()) || holding(); }
    [[nodiscard]] bool holding();
    void stop_holding() { s_.out.held_until.store(0, std::memory_order_relaxed); }
    /// It shall not leave TCP: for good, as long as another program may use the socket, too, or as long as the provider is drained.
    [[nodiscard]] bool stays_on_tcp() const {
        return s_.pinned.load(std::memory_order_relaxed) != 0 || s_.lent.load(std::memory_order_relaxed) != 0;
    }
    /// The peer's end is with another program: it will be ready in no epoch until that is over, and says so then.
    [[nodiscard]] bool peer_rests() const { return m_.peer->cold.resting.load(std::memory_order_acquire) != 0; }
    /// The peer's end is ready: nothing but our own bytes on TCP can still keep the next send from switching.
    [[nodiscard]] bool may_switch() const {
        return on_provider(true) || m_.peer->cold.ready.load(std::memory_order_acquire) == s_.epoch.load(std::memory_order_relaxed);
    }
    /// The most bytes that are kept (I2), and in how many of the arena's buffers. Only while none is kept.
    void set_window(uint64_t bytes, uint32_t buffers);
    /// Gives back what a connection that has long been silent holds of the buffers.
    void rest();
    /// Of a connection to another host: once the peer has told that it has read everything, our death may be a clean end again. False: it
    /// has yet to.
    bool rest_guard();
    /// Ends the connection for good, at both ends.
    void fail(Reason reason) { poison(reason); }
    /// shutdown(SHUT_WR). False: nothing of the stream stands in the way, the kernel shall do it.
    bool finish_writing();
    void finish_reading();
    /// To the application the connection is closed: both streams have ended, or it was reset.
    [[nodiscard]] bool both_finished() const;
    /// Whether the peer has ended its stream.
    [[nodiscard]] bool peer_finished() const { return m_.peer->cold.fin.load(std::memory_order_acquire) != 0; }
    /// Whether that end is at `offset`: no more bytes are to be waited for there.
    [[nodiscard]] bool peer_ends_at(uint64_t offset) const {
        return peer_finished() && m_.peer->cold.fin_at.load(std::memory_order_relaxed) == offset;
    }
    /// Bytes that we sent will never be read. The kernel saw a clean end of the connection; over TCP they would have met a reset, and
    /// this is the error of that: ECONNRESET when the peer died, EPIPE when it had closed. 0: nothing is lost.
    [[nodiscard]] int error_of_loss() const;
    /// What a reset is to a sender and to SO_ERROR. Whether the peer had ended its stream before (CLOSE_WAIT), and whether we had as well
    /// (0: the connection was over, and nothing can happen to it any more), the kernel does not know while the ends travel beside TCP.
    [[nodiscard]] int error_of_reset() const;
    /// What SO_ERROR tells, once, where the kernel's own has just told `kernel`.
    int take_error(int kernel);
    /// The peer has closed or is dead: its end of TCP came before it had stepped, so it is no half-close (I4).
    [[nodiscard]] bool peer_is_dead() const;
    /// Nobody will read or write here again. Answers what the caller owes the kernel.
    enum class Close { kNow, kReset, kLinger };
    /// `abort`: the application wants a reset (SO_LINGER with no time).
    Close close(bool abort);

    /// The last call: the slot and what it holds of the arena are given up, once the peer has left them as well.
    void leave_memory();

    /// Begins the only step back: both directions, to TCP. `for_good`: no upgrade after it. False: there was nothing to go back from.
    bool step(Reason reason, bool for_good);
    /// Back for good, and the peer needs no answer from us any more: true once both directions are on TCP to stay.
    bool rests_for_good();
    /// State::lent has changed; to be told before a STEP that makes room for the other program.
    void tell_lent();
    /// No other program has the socket any more, as far as was known when State::lent was `lent`. False: it is lent anew. `for_good`: one
    /// that had it has left it in a state in which it can only stay on TCP.
    bool take_back(uint32_t lent, bool for_good);
    /// It is lent, and nobody will be here to take it back or to answer the peer.
    void leave_lent();
    /// To TCP for as long as its provider is drained; and from there again.
    void drain();
    void undrain();
    /// Nobody is left who could answer for the peer. What it does not know of this epoch it needs no answer for.
    void peer_deserts();
    /// Of a peer on another host no word will come any more, and its end of TCP is not in sight. `all_told`: none was lost. False: the
    /// connection could not go on.
    bool peer_falls_silent(bool all_told);
    /// After close(), where the process ends as well: nobody will be here to answer anything.
    void leave();
    /// The socket is about to go where nobody knows this stream, whether or not a step is through. False: the kernel alone would tell
    /// a wrong stream, and the connection was reset for it.
    bool may_leave();
    /// Both directions are on TCP between two stays, and neither end has begun or forbidden the next one.
    [[nodiscard]] bool may_return() const;
    /// Acts on what the peer has written into its cold words: the answer to STEP, a replay, the end of an epoch.
    void progress();
    /// A STEP is on its way. Whoever waits meanwhile looks again now and then:
    [[nodiscard]] bool stepping() const {
        return m_.mine->cold.frozen.load(std::memory_order_relaxed) == s_.epoch.load(std::memory_order_relaxed);
    }
    /// a sibling that was killed in it has left it to us, and progress() goes on.
    [[nodiscard]] bool step_abandoned() const { return __builtin_expect(stepping(), 0) && s_.step_lock.abandoned(); }
    /// Whether progress() has something to do that the application need not wait to call for.
    [[nodiscard]] bool needs_progress() const {
        return SANSOCK_MUTATE("ANSWER_BY_APPLICATION", attention_pending(), false) || s_.out.replaying ||
               s_.step_wanted.load(std::memory_order_relaxed) == s_.epoch.load(std::memory_order_relaxed);
    }
    /// TCP has become readable. While the provider carries what we read nobody may write there, and the connection is reset for it.
    void look_for_foreign_bytes();
    /// The TCP socket of a connection on the provider has ended: the peer has closed it or is dead.
    void tcp_ended(TcpEnd how);
    [[nodiscard]] bool attention_pending() const {
        return m_.peer->hot.attention.load(std::memory_order_acquire) != s_.attention.load(std::memory_order_relaxed);
    }
    [[nodiscard]] State &state() const { return s_; }
    [[nodiscard]] const Memory &memory() const { return m_; }
    /// The slot whose tail and consumed count say how far the peer has got. Once the peer is gone that is its own slot whatever the
    /// path was: all that it had published is there still, carried by then or not.
    [[nodiscard]] const memory::Slot &path() const { return reads_peers_memory() ? *m_.peer : *m_.path; }
    /// Bytes that may lie unread in the peer's window at most.
    [[nodiscard]] uint64_t peer_window_max() const;

private:
    /// Takes a lock that siblings share. Where its last owner was killed, what that one had begun is brought to a whole first (repair.cpp).
    template <void (End::*repair)()>
    class RepairingGuard {
    public:
        RepairingGuard(End &end, FamilyLock &lock) : lock_(lock) {
            lock_.lock();
            if (__builtin_expect(lock_.take_inherited(), 0)) (end.*repair)();
        }
        ~RepairingGuard() { lock_.unlock(); }
        RepairingGuard(const RepairingGuard &) = delete;
        RepairingGuard &operator=(const RepairingGuard &) = delete;

    private:
        FamilyLock &lock_;
    };
    void repair_output();
    void repair_input();
    void repair_step();
    struct OutGuard : RepairingGuard<&End::repair_output> {
        explicit OutGuard(End &end) : OutGuard(end, end.s_.out.lock) {}
        OutGuard(End &end, FamilyLock &lock) : RepairingGuard(end, lock) {}
    };
    struct InGuard : RepairingGuard<&End::repair_input> {
        explicit InGuard(End &end) : InGuard(end, end.s_.in.lock) {}
        InGuard(End &end, FamilyLock &lock) : RepairingGuard(end, lock) {}
    };
    struct StepGuard : RepairingGuard<&End::repair_step> {
        explicit StepGuard(End &end) : RepairingGuard(end, end.s_.step_lock) {}
    };

    WindowWriter writer() { return {s_.out, *m_.arena, *m_.mine}; }
    WindowReader reader();
    /// It was in the middle of a stay on the provider: TCP alone does not say how the streams end.
    [[nodiscard]] bool died_on_provider() const;
    /// Neither direction is on the provider, as far as is known.
    [[nodiscard]] bool nobody_switched(uint32_t epoch) const {
        return s_.out.epoch_switched != epoch && m_.peer->cold.switched.load(std::memory_order_acquire) != epoch;
    }
    /// It may have said more than has come, and the kernel's FIN that is here may be explained by it.
    [[nodiscard]] bool awaits_words() const {
        const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
        const bool takes_part = m_.mine->cold.ready.load(std::memory_order_relaxed) == epoch || s_.out.epoch_switched == epoch;
        return SANSOCK_MUTATE("END_BEFORE_WORDS", m_.far, false) && takes_part && !is_gone() && !peer_has_stepped(epoch);
    }
    /// leave_memory() was called. Under any of the three locks it stays so, or stays not so.
    [[nodiscard]] bool has_left() const { return s_.out.path == Path::kLeft || s_.in.path == Path::kLeft; }
    /// It has closed, and nobody is left to answer: whatever it sent, the kernel or we have.
    [[nodiscard]] bool peer_has_left() const {
        return m_.peer->cold.state.load(std::memory_order_acquire) == static_cast<uint32_t>(memory::EndState::kLeft);
    }
    /// It has frozen its input and repeated its output in this epoch; or never will, having left.
    [[nodiscard]] bool peer_has_frozen(uint32_t epoch) const {
        return m_.peer->cold.frozen.load(std::memory_order_acquire) >= epoch || peer_has_left();
    }
    [[nodiscard]] bool peer_has_stepped(uint32_t epoch) const { return peer_said_stepped(epoch) || peer_has_left(); }
    /// It cannot have, before it has named its Z and seen ours: then the word means nothing.
    [[nodiscard]] bool peer_said_stepped(uint32_t epoch) const {
        return m_.peer->cold.stepped.load(std::memory_order_acquire) >= epoch &&
               m_.peer->cold.frozen.load(std::memory_order_relaxed) >= epoch &&
               m_.mine->cold.frozen.load(std::memory_order_relaxed) >= epoch;
    }
    [[nodiscard]] uint64_t never_consumed() const;
    /// Over TCP the peer's FIN would be here, and ours acknowledged.
    [[nodiscard]] bool peer_end_arrived() const;
    [[nodiscard]] bool own_end_arrived() const;
    [[nodiscard]] bool is_gone() const { return s_.tcp_ended.load(std::memory_order_acquire) != kTcpOpen; }
    /// The peer is gone, and what it had published lies there to be read.
    [[nodiscard]] bool reads_peers_memory() const { return is_gone() && !m_.far; }
    [[nodiscard]] uint64_t consumed_by_peer() const;

    long send_provider(const iovec *parts, int count, bool goes_on);
    long send_tcp(const iovec *parts, int count, int flags, bool goes_on);
    long send_after_end();
    bool begin_hold();
    bool try_switch();
    long receive_provider(const iovec *parts, int count, int flags);
    long receive_tcp(const iovec *parts, int count, int flags);
    bool arrive_at_switch();
    void bytes_moved_unseen(uint32_t epoch);
    void note_end(TcpEnd how);
    void help_peer_to_switch();
    void count_upgrade();
    long end_of_stream();
    [[nodiscard]] bool has_room();
    long or_owed(long answer);
    long take_note(long answer);
    int take_error_of_loss();
    bool return_to_window();
    [[nodiscard]] bool kernel_knows_more();
    bool leave_to_kernel();
    [[nodiscard]] bool unread_by_us();
    [[nodiscard]] bool unread_in_window();
    [[nodiscard]] bool foreign_bytes_in_between();
    [[nodiscard]] bool foreign_bytes_written();
    bool freeze(uint32_t epoch);
    bool stop_sending(uint32_t epoch);
    void replay(uint32_t epoch);
    void conclude_replay();
    void unguard();
    void step_on();
    void miss_answer(uint32_t epoch);
    void finish_epoch(uint32_t epoch);
    [[nodiscard]] bool looks_at_rest() const;
    [[nodiscard]] bool is_untouched(uint32_t epoch) const;
    [[nodiscard]] bool peer_never_came(uint32_t epoch) const;
    [[nodiscard]] bool knows_reason() const;
    bool learn_of_reset();
    void bump_attention();
    void show_lent();
    void pin();
    void poison(Reason reason);
    [[nodiscard]] bool is_poisoned() const {
        return m_.mine->cold.state.load(std::memory_order_relaxed) == static_cast<uint32_t>(memory::EndState::kPoisoned);
    }

    State &s_;
    Memory m_;
    Environment &env_;
};

}  // namespace sansock::stream
