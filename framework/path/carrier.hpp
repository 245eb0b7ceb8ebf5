// Carries one connection over messages: takes what this end has published in its window to the peer, and lays what comes from
// the peer down where the stream reads it.
//
// The problem: the stream knows a path that is memory, of which each end shows the other a slot. A provider that moves messages
// has no such memory. So this end's own slot is read here as the peer would read it, each new run of bytes becomes a
// message, and the peer's Landing shows what arrived as this end's slot would have. Whoever happens to be in a library call does
// that work, or the helper when a completion comes; docs/stream-protocol.md, "Messages", has the rules.
//
// The cold words of the protocol do not travel here: of one host, both ends read them from each other's slot, and of two they come over a
// connection of their own (socket/far.hpp).
//
// One thread at a time moves things (a try-lock): who finds it held leaves word, and the holder looks again. An endpoint
// serves one epoch, so no late message can be taken for one of another.
#pragma once
#include <optional>

#include "path/credits.hpp"
#include "path/landing.hpp"
#include "stream/window.hpp"

namespace sansock::path {

inline constexpr uint32_t kSendsMax = 64;  ///< Messages under way; their frames lie in one landing slot.

/// What is known once both ends agree to meet.
struct Terms {
    uint32_t epoch = 0;            ///< Whose messages these are.
    uint32_t send_depth = 0;       ///< Of the endpoint, at most kSendsMax.
    uint64_t message_bytes = 0;    ///< The longest message: by the provider's limit and the peer's buffers.
    uint32_t peer_receives = 0;    ///< Receives that the peer has posted.
    bool waits_for_first = false;  ///< The provider wants the peer to send first (iWARP).
    bool sends_first = false;      ///< This end is that peer.
};

/// What one round brought to this end's waiters.
struct Moved {
    bool arrived = false;  ///< Bytes to read.
    bool room = false;     ///< The peer has consumed something.
    bool failed = false;   ///< The path is broken; said once.
    bool waits = false;    ///< Something is under way that the peer or the provider must answer.
    bool left = false;     ///< Something is still to be sent, for which there is no room at the moment.
};

class Carrier {
public:
    /// Borrows the landing's memory. False: there is not enough.
    bool open(memory::Arena &landing, uint32_t receives);
    /// Lends its buffers to the endpoint, before the peer can know of it. False: the provider refuses. Once stop() was called and the
    /// endpoint before is closed, another one may take its place, for another epoch.
    bool lend(Endpoint &endpoint, const Registered *registered);
    [[nodiscard]] const Landing &landing() const { return landing_; }

    /// From now on the stream of `state` goes this way. `window`: the registration of the arena that `mine` lies in,
    /// as far as this connection may come to use it.
    struct Ends {
        const memory::Arena *arena;
        const memory::Slot *mine;
        const memory::Slot *peer;
        const Registered *window;
        const stream::State *state;
        bool far = false;  ///< As stream::End::Memory has it.
    };
    void start(const Ends &ends, const Terms &terms);

    /// Moves what can be moved, in both directions. `arm`: nobody will look again soon, so the queue shall notify the helper.
    Moved move(bool arm);
    /// The queue's notification has come: it is to be armed again, now or with the next move(true).
    Moved move_notified(bool arm) {
        notified_.store(true, std::memory_order_release);
        return move(arm);
    }
    /// As move(true), and the peer shall tell at once how far its application has got.
    Moved ask();
    /// Nothing is posted or polled any more, when it returns. Then the endpoint may be closed, and after it the landing.
    void stop();
    /// After the endpoint is closed.
    void close() { landing_.close(); }

    [[nodiscard]] bool established() const { return established_.load(std::memory_order_acquire); }
    [[nodiscard]] bool failed() const { return status_.load(std::memory_order_relaxed) != SANSOCK_OK; }
    /// Nothing is posted or polled any more, so that the queue's notifications stay as they are.
    [[nodiscard]] bool stopped() const { return stopped_.load(std::memory_order_acquire); }
    /// Why it failed, as SANSOCK_*.
    [[nodiscard]] int32_t status() const { return status_.load(std::memory_order_relaxed); }

    /// Something is under way that the peer or the provider must answer, and for so long nothing has come. A path that is silent
    /// for half of `limit_ns` is asked for a sign of life.
    [[nodiscard]] bool overdue(uint64_t now_ns, uint64_t limit_ns);
    [[nodiscard]] bool is_of_epoch(uint32_t epoch) const { return epoch_.load(std::memory_order_acquire) == epoch; }

private:
    [[nodiscard]] bool waits() const { return in_flight_ > 0 || !credits_.all_received(); }
    [[nodiscard]] bool is_ending() const;
    [[nodiscard]] uint32_t wanted() const;
    Moved round(bool arm);
    bool poll(Moved &moved);
    void complete(const sansock_completion &completion, Moved &moved);
    void sent(uint64_t token);
    void received(const sansock_completion &completion, Moved &moved);
    void cannot_be();
    void lend_again();
    void show_consumed(Moved &moved);
    void send();
    bool post(FrameKind kind, const stream::Run &run);
    [[nodiscard]] bool worth_a_message() const;
    [[nodiscard]] bool misses_room() const;
    [[nodiscard]] uint32_t window() const;
    [[nodiscard]] bool on_path(const memory::Slot &slot) const;
    void fail(int32_t status);

    Endpoint *endpoint_ = nullptr;
    Landing landing_;
    Ends ends_{};
    Terms terms_;
    Credits credits_;
    std::atomic<uint32_t> epoch_{0};  ///< Of the stream as this path has it.

    ProcessLock lock_;
    std::atomic<uint32_t> again_{0};  ///< kLook and kArm, for whoever moves things.
    std::atomic<bool> established_{false};
    std::atomic<int32_t> status_{SANSOCK_OK};
    std::atomic<bool> stopped_{false};
    bool started_ = false, flushed_ = false, told_failed_ = false;
    std::optional<uint32_t> armed_;  ///< SANSOCK_NOTIFY_*, of which the queue will notify.
    bool lacks_sends_ = false;       ///< A message could not be posted, for want of a place among those under way.
    std::atomic<bool> asked_{false};
    std::atomic<bool> notified_{false};

    // This end's window as the peer would read it: `in` counts the bytes that have gone into messages.
    memory::PeerArena own_arena_;
    stream::InState cursor_{};
    bool reading_own_ = false;

    struct Sent {
        uint64_t end;  ///< Stream offset behind the message's last byte.
        bool done;
    };
    Sent sent_[kSendsMax] = {};  ///< By message number.
    uint64_t first_in_flight_ = 0;
    uint32_t in_flight_ = 0;
    uint64_t completed_to_ = 0;   ///< The provider is done with the bytes before this.
    uint64_t peer_consumed_ = 0;  ///< As the peer said; shown once completed_to_ has got there.
    uint64_t peer_window_ = 0;
    uint64_t told_consumed_ = 0, told_window_ = 0;
    uint64_t progress_ns_ = 0;
    bool landing_open_ = false;
};

}  // namespace sansock::path
