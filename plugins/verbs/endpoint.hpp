// One end of a connection: a queue pair.
//
// Only some sends ask the device for a completion, which then stands for all before it: the first when none is asked for, and one in each
// half of the depth. Those behind the last such completion would never be heard of if nothing more were sent. So a write of nothing goes
// after them, which needs no receive at the peer.
#pragma once
#include <sansock/sdk/ext/statistics.h>

#include <sansock/sdk/cpp/endpoint.hpp>
#include <sansock/sdk/cpp/ring.hpp>

#include "line.hpp"
#include "report.hpp"

namespace sansock::verbs {

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
    [[nodiscard]] const sansock_statistics &statistics() const noexcept { return statistics_; }

    // For the queue: progress.cpp
    void completed(const ibv_wc &done) noexcept;
    void report(Report &report) noexcept;
    /// The line may have news.
    void hear() noexcept;
    /// The device's queue was empty, so that of an endpoint that has failed all is known that is to be known.
    void has_taken_all() noexcept;

private:
    struct Receive {
        std::uint64_t token;
        std::uint32_t length;
    };

    void require_state(std::int32_t state) const;
    [[nodiscard]] Card card(bool is_offer) const;

    [[nodiscard]] bool post(ibv_send_wr &request, bool asks) noexcept;
    void sweep() noexcept;
    void become_established() noexcept;
    void fail(std::int32_t status) noexcept;
    void owe() noexcept;
    void flush(Report &report) noexcept;
    void report_send(Report &report, std::int32_t status) noexcept;
    void report_receive(Report &report, std::int32_t status) noexcept;

    Provider &provider_;
    Queue &queue_;
    const sansock_endpoint_config config_;
    std::uint32_t number_ = 0;  ///< Among the queue's endpoints.
    std::uint32_t inline_bytes_max_ = 0;
    Line line_;
    std::int32_t state_ = SANSOCK_ENDPOINT_CREATED;
    std::int32_t failure_ = SANSOCK_OK;
    bool knows_no_reason_ = false;  ///< It has failed, and no more is known than that requests were flushed.
    bool owes_ = false;
    bool owes_established_ = false;
    bool owes_failed_ = false;
    bool has_ended_ = false;  ///< What the line tells by that word has been heard.

    sdk::Ring<std::uint64_t> sends_;                 ///< Tokens, of what was not reported yet.
    std::uint32_t sent_ = 0;                         ///< Sends, counted without end;
    std::uint32_t arrived_ = 0;                      ///< of these the device has told;
    std::uint32_t reported_ = 0;                     ///< of these we have.
    std::uint32_t asked_ = 0;                        ///< Completions that the device owes.
    std::uint32_t since_asked_ = 0;                  ///< Sends behind the last that asked for one.
    sdk::Ring<Receive> receives_;                    ///< Not reported yet,
    std::uint32_t received_ = 0;                     ///< of which so many are filled.
    std::int32_t front_status_ = SANSOCK_ECANCELED;  ///< Of the first receive that is not filled, when all have failed.
    sansock_statistics statistics_{};
};

}  // namespace sansock::verbs
