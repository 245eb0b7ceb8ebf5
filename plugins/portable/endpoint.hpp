// One end of a connection: two sockets, of which one only sends and one only receives (wire.hpp says why).
#pragma once
#include <sansock/sdk/ext/statistics.h>

#include <optional>
#include <sansock/sdk/cpp/endpoint.hpp>

#include "dialer.hpp"
#include "lobby.hpp"
#include "receiver.hpp"
#include "sender.hpp"

namespace sansock::portable {

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

    // progress.cpp
    std::int32_t state() const noexcept { return state_; }
    std::int32_t post_send(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept;
    std::int32_t post_receive(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept;
    [[nodiscard]] sansock_statistics statistics() const noexcept;

    // For the queue: progress.cpp
    /// `looks`: nobody has asked the sockets what is new, so that this has to.
    [[nodiscard]] std::uint32_t poll(sansock_completion *completions, std::uint32_t capacity, bool looks) noexcept;
    /// What epoll tells of the socket that sends (0) or receives (1).
    void happened(unsigned which, std::uint32_t events) noexcept;
    /// When something will be there to poll, or is to be given up, without anybody's doing; UINT64_MAX when nothing will.
    [[nodiscard]] std::uint64_t next_due_ns() const noexcept;

private:
    class Report;
    static constexpr unsigned kSends = 0;
    static constexpr unsigned kReceives = 1;
    // The answering end's sockets are watched by their ways, before it is known which will be whose.
    static_assert(kSends == kFromAnswerer && kReceives == kFromOfferer);

    // connect.cpp
    void require_state(std::int32_t state) const;
    [[nodiscard]] Card card() const;
    void begin_to_connect();
    void connect_further() noexcept;
    void greet_back() noexcept;
    void become_established(Socket sending, Socket receiving) noexcept;
    void end_connections() noexcept;
    void leave_lobby() noexcept;

    // progress.cpp
    void receive(Report &report) noexcept;
    void give_up_in_time() noexcept;
    void report_sent(Report &report) noexcept;
    void flush(Report &report) noexcept;
    void look_at_sending() noexcept;
    void fail(std::int32_t status) noexcept;

    Provider &provider_;
    Queue &queue_;
    const sansock_endpoint_config config_;
    std::int32_t state_ = SANSOCK_ENDPOINT_CREATED;
    std::int32_t failure_ = SANSOCK_OK;
    bool owes_established_ = false;  ///< The change of state was not reported yet.
    bool owes_failed_ = false;

    Expected expected_;  ///< Of the end that offers: what it waits for in the lobby,
    bool is_in_lobby_ = false;
    std::size_t offered_ = 0;       ///< Addresses,
    Token peers_{};                 ///< and the answer's token.
    std::optional<Dialer> dialer_;  ///< Of the end that answers. It stays, since nothing is freed on the data path.
    std::uint64_t peer_bytes_max_ = 0;
    std::uint64_t due_ns_ = UINT64_MAX;  ///< When the connections, or the rest of a broken one, are waited for no longer.

    Sender sender_;
    Receiver receiver_;
    sdk::Ring<Request> receives_;
    std::uint32_t sends_left_;  ///< A request counts until its completion was polled.
    std::uint32_t receives_left_;
    sansock_statistics statistics_{};
};

}  // namespace sansock::portable
