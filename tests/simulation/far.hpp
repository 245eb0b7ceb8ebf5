// What an end has and does beside its stream when its peer is on another host: a mirror of the peer's slot, the channel's end, and the path
// of messages. As framework/socket/far.cpp, meeting_far.cpp, courier.cpp and leave_far() in io.cpp do it, for one connection.
#pragma once
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "channel.hpp"
#include "memory_link.hpp"
#include "path/carrier.hpp"
#include "stream/end.hpp"

namespace sansock::simulation {

struct Process;
class World;

inline constexpr uint64_t kRestNs = 20'000'000;  ///< framework/socket/meeting_far.cpp
inline constexpr uint32_t kReturnsMax = 6;       ///< Or a run would have no end.

/// The provider's endpoint as its user sees it; what happens on the way, World::run_provider() does.
class SimulatedEndpoint final : public path::Endpoint {
public:
    /// `provider`: what the provider sleeps on.
    SimulatedEndpoint(uint32_t send_depth, uint32_t receive_depth, const void *provider)
        : paper(send_depth, receive_depth), provider_(provider) {}
    int32_t post_send(std::span<const sansock_slice> slices, uint64_t token) noexcept override;
    int32_t post_receive(std::span<const sansock_slice> slices, uint64_t token) noexcept override;
    int32_t poll(std::span<sansock_completion> completions) noexcept override;
    int32_t arm(uint32_t what) noexcept override;

    /// The provider is to look.
    void changed();

    path::MemoryEndpoint paper;

private:
    const void *const provider_;
};

class Far {
public:
    explicit Far(Process &process);
    /// Memory, and the posted receives. False: there is none.
    bool open();
    [[nodiscard]] stream::End::Memory memory() const;
    /// Both are open, and know of each other.
    void meet();
    void close_memory();

    // --- any thread ---
    /// The words have changed (B1).
    void tell();
    /// Moves what can be moved of the path, and wakes whom it concerns.
    void carry(bool arm = true);
    /// Whether this end may be ready in this epoch: not before its path is there.
    [[nodiscard]] bool is_established(uint32_t epoch);
    /// The connection needs its path no more.
    void retire();
    /// Its provider takes connections again.
    void return_soon();
    /// Its memory neither: the peer may have it back.
    void tell_released();
    /// The process ends, or becomes another program: what is kept goes to the kernel first (B6).
    void leave(bool ends);
    /// The kernel closes what a process that is no more had open.
    void die();

    // --- the helper ---
    [[nodiscard]] bool has_work() const;
    void work();
    [[nodiscard]] uint64_t next_due_ns() const { return std::min({watch_ns_, decide_due_ns_, lost_due_ns_, rest_due_ns_, return_ns_}); }
    /// What the doorbell means to it.
    void look_after();
    void rung();
    /// The kernel has seen something of the application's connection.
    void tcp_event(short events);

    [[nodiscard]] bool has_channel() const;
    [[nodiscard]] bool carries() const { return carries_; }
    /// Of this epoch; those of former ones are closed, and stay where the provider may find them.
    [[nodiscard]] SimulatedEndpoint &endpoint() { return *endpoints_.back(); }
    [[nodiscard]] std::string misuse() const;

    path::Carrier carrier;
    bool notified = false;  ///< The completion queue's descriptor is readable.
    memory::Arena mirror, landing;
    memory::PeerArena theirs;

private:
    void hear(const Saying &saying);
    void ask(Saying::Kind kind);
    bool say(Saying::Kind kind);
    void pay();
    void ask_before_end();
    [[nodiscard]] bool channel_has_ended() const;
    void lose_channel();
    void expire();
    void rest();
    void watch();
    void after(const path::Moved &moved);
    void get_ready_at_last();
    void path_notified();
    void fail_path();
    void close_path();
    void close_endpoint();
    void new_endpoint();
    void begin_epoch(uint32_t epoch);
    // Mirrors Couriers and meeting_return.cpp.
    void rest_between();
    [[nodiscard]] bool is_idle() const;
    void close_idle();
    void hold();
    [[nodiscard]] bool may_return() const;
    void ask_to_return();
    void asked_to_return(const Saying &request);
    void returned(const Saying &answer);
    [[nodiscard]] bool peer_is_gone() const;
    [[nodiscard]] bool leave_once(bool ends, bool late);
    [[nodiscard]] bool conclude();

    Process &p_;
    World &world_;
    ProcessLock words_lock_;
    bool owes_words_ = false, owes_told_ = false, owes_ask_ = false, owes_release_ = false;
    bool broke_ = false;
    uint64_t lost_ns_ = 0, lost_due_ns_ = kForever;
    uint64_t sent_ = 0, rest_wait_ns_ = 0, silent_due_ns_ = 0, rest_due_ns_ = kForever;
    std::vector<std::unique_ptr<SimulatedEndpoint>> endpoints_;
    bool idle_ = false, asking_ = false;
    uint32_t asked_epoch_ = 0, tries_left_ = kReturnsMax;
    uint64_t return_ns_ = kForever;
    bool carries_ = false, retired_ = false, awaited_ = false, watching_ = false;
    uint64_t watch_ns_ = kForever, decide_ns_ = 0, decide_due_ns_ = kForever;
};

}  // namespace sansock::simulation
