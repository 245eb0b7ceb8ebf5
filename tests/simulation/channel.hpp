// The TCP connection between the helpers of two hosts (framework/socket/far.hpp), as their kernels keep it: what is said arrives in order,
// late, and behind it the end, or it breaks and what was on its way is lost. One thing that is said is one whole word.
#pragma once
#include <deque>
#include <optional>

#include "scheduler.hpp"
#include "stream/words.hpp"

namespace sansock::simulation {

struct Saying {
    enum Kind : uint8_t { kWords, kAsk, kTold, kReleased, kReturn, kReturned } kind;
    stream::Words words{};
    // Of the last two.
    uint32_t epoch = 0;
    size_t line = 0;       ///< The offer: World::lines.
    bool refused = false;  ///< The answer.
};

class Channel {
public:
    /// `room`: sayings that the kernel of an end takes at a time.
    void reset(size_t room);

    // --- system calls of side 0 or 1 ---
    enum class Sent : uint8_t { kTaken, kFull, kBroken };
    Sent send(int side, const Saying &saying);
    /// The next one that has come.
    std::optional<Saying> receive(int side);
    enum class End : uint8_t { kOpen, kWhole, kBroken };
    /// Once nothing is left to receive: whether it has ended, and behind a whole word or in the middle of one.
    [[nodiscard]] End ended(int side) const { return ends_[side].arrived.empty() ? ends_[side].end : End::kOpen; }
    [[nodiscard]] bool has_arrived(int side) const { return !ends_[side].arrived.empty(); }
    [[nodiscard]] bool has_room(int side) const { return ends_[side].wire.size() < room_; }
    /// The other kernel has acknowledged it, or has broken off.
    [[nodiscard]] bool all_has_come_from(int side) const { return ends_[side].wire.empty() || ends_[side].end == End::kBroken; }
    /// Nothing is on its way or unread.
    [[nodiscard]] bool is_quiet() const {
        return ends_[0].wire.empty() && ends_[1].wire.empty() && ends_[0].arrived.empty() && ends_[1].arrived.empty();
    }
    void shutdown_write(int side);
    void close(int side);
    [[nodiscard]] bool is_open(int side) const { return !ends_[side].closed; }

    // --- the path ---
    /// Moves the next thing from this side's kernel to the other's. False: there was nothing to move.
    bool deliver(int side);
    /// The network between them is no more: either kernel finds that in its own time, and what is on its way is lost.
    void cut();

    /// What this side's helper, and the path, wait for.
    [[nodiscard]] const void *key(int side) const { return &ends_[side]; }
    [[nodiscard]] const void *path_key() const { return this; }

private:
    struct Socket {
        std::deque<Saying> wire;     ///< Said here, on its way.
        std::deque<Saying> arrived;  ///< Said there, and not received yet.
        bool closed = false;
        End last = End::kOpen;  ///< What comes behind that: the end of what this side says.
        End end = End::kOpen;   ///< What has come so: that of the other side.
    };
    void reset_behind(Socket &socket);

    Socket ends_[2];
    size_t room_ = 1;
};

}  // namespace sansock::simulation
