// One end of a simulated connection.
//
// Two ways to carry: with kHostsMemory the endpoint is only an agreement of both ends that the host's own memory is the
// path, and holds nothing; with kCarriesMessages it has a memfd, a wake socket and a descriptor of the peer's process,
// and moves messages.
//
// Why a socket and not an eventfd to wake the peer: the peer holds the same open file and may make an eventfd block its
// writer, by filling the counter and clearing O_NONBLOCK. MSG_DONTWAIT is ours alone. Why a process descriptor beside
// it: a child of the peer that was forked and never exec'd holds the socket open when the peer is dead.
#pragma once
#include <sansock/sdk/ext/statistics.h>

#include <optional>
#include <sansock/sdk/cpp/endpoint.hpp>
#include <sansock/sdk/cpp/request.hpp>
#include <sansock/sdk/cpp/ring.hpp>
#include <sansock/sdk/cpp/unique_fd.hpp>

#include "link_model.hpp"
#include "ring.hpp"

namespace sansock::simulated {

class Provider;
class Queue;

class Endpoint : public sdk::Endpoint<Endpoint> {
public:
    Endpoint(Provider &provider, const sansock_endpoint_config &config);
    ~Endpoint();

    // connect.cpp
    void make_offer(sansock_offer &offer);
    void accept_offer(const sansock_offer &offer, sansock_answer &answer);
    void take_answer(const sansock_answer &answer);

    // endpoint.cpp
    std::int32_t state() const noexcept { return state_; }
    std::int32_t post_send(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept;
    std::int32_t post_receive(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept;

    /// Whether the host's memory may be the path (sansock.shared-memory/1).
    [[nodiscard]] bool memory_is_path() const noexcept;
    [[nodiscard]] sansock_statistics statistics() const noexcept { return statistics_; }

    // For the queue: progress.cpp
    [[nodiscard]] std::uint32_t poll(sansock_completion *completions, std::uint32_t capacity) noexcept;
    /// Asks the peer for a notification, for messages after the `generation`-th arming of the queue.
    void arm(std::uint64_t generation) noexcept;
    /// When something will be there to poll without anybody's doing; UINT64_MAX when nothing will.
    [[nodiscard]] std::uint64_t next_due_ns() const noexcept;
    /// The wake socket is readable: takes what is in it.
    void drain_wake() noexcept;
    void peer_died() noexcept;

private:
    using Request = sdk::Request<kSliceCountMax, kInlineBytesMax>;
    struct Sent {
        std::uint64_t token;
        std::uint64_t due_ns;
        std::int32_t status;
        bool is_last;  ///< The endpoint fails when this is reported.
    };
    class Report;

    // connect.cpp
    [[nodiscard]] Card card(std::uint32_t kind) const;
    [[nodiscard]] Card read_card(const sansock_offer &offer, std::uint32_t kind) const;
    void require_state(std::int32_t state) const;
    void open_path(const Card &peer, int memory_fd, int process_fd);
    void watch_wake();
    void become_established();

    // progress.cpp
    void push_waiting() noexcept;
    void want_room(bool wanted) noexcept;
    [[nodiscard]] RingResult push(const Request &request) noexcept;
    void report_sent(Report &report) noexcept;
    void receive(Report &report) noexcept;
    [[nodiscard]] bool deliver(const RingReceiver::Message &message, Report &report) noexcept;
    void flush(Report &report) noexcept;
    void fail(std::int32_t status) noexcept;
    [[nodiscard]] bool peer_is_gone() const noexcept;
    void wake_peer_if_armed() noexcept;
    void wake_peer() noexcept;
    [[nodiscard]] std::uint64_t now_ns() const noexcept;

    Provider &provider_;
    Queue &queue_;
    const sansock_endpoint_config config_;
    std::int32_t state_ = SANSOCK_ENDPOINT_CREATED;
    std::int32_t failure_ = SANSOCK_OK;
    bool owes_established_ = false;  ///< The change of state was not reported yet.
    bool owes_failed_ = false;
    bool peer_died_ = false;
    bool wants_room_ = false;
    bool sends_last_ = false;  ///< The simulation has decided that nothing more is sent.
    const bool unreceived_fails_;

    std::uint32_t carrier_ = 0;
    std::uint64_t nonce_ = 0;
    bool peer_simulates_ = false;
    OwnMemory own_;
    PeerMemory peer_;
    sdk::UniqueFd wake_;
    sdk::UniqueFd peer_process_;
    std::uint64_t woken_for_ = 0;  ///< The peer's `armed` when it was woken last.

    RingSender sender_;
    RingReceiver receiver_;
    std::optional<LinkModel> link_;
    sdk::Ring<Request> waiting_;  ///< Posted, no room in the memory yet.
    sdk::Ring<Sent> sent_;        ///< In the memory, not reported yet.
    sdk::Ring<Request> receives_;
    std::uint32_t sends_left_;  ///< A request counts until its completion was polled.
    std::uint32_t receives_left_;
    sansock_statistics statistics_{};
};

}  // namespace sansock::simulated
