// An endpoint that hands everything to the one it wraps, until a fault says otherwise.
#pragma once
#include <cstdint>
#include <sansock/sdk/cpp/endpoint.hpp>
#include <span>
#include <vector>

#include "rules.hpp"

namespace sansock::fault {

class Provider;
class Queue;

class Endpoint : public sdk::Endpoint<Endpoint> {
public:
    Endpoint(Provider &provider, const sansock_endpoint_config &config);
    ~Endpoint();

    void make_offer(sansock_offer &offer);
    void accept_offer(const sansock_offer &offer, sansock_answer &answer);
    void take_answer(const sansock_answer &answer);
    std::int32_t state() const noexcept;
    std::int32_t post_send(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept;
    std::int32_t post_receive(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept;

    /// As if the device had failed. The wrapped endpoint is closed, since it must not touch any more what is given
    /// back.
    void fail(std::int32_t status) noexcept;
    /// As if the cable were cut.
    void silence() noexcept { silent_ = true; }

    // For the queue.
    /// Whether the host may see the wrapped endpoint's completion; makes it the host's, or what a fault makes of it.
    [[nodiscard]] bool pass_on(sansock_completion &completion) noexcept;
    /// Completions of its own: what was given back by fail().
    [[nodiscard]] std::uint32_t flush(sansock_completion *completions, std::uint32_t capacity) noexcept;

private:
    using Post = decltype(sansock_endpoint_ops::post_send);
    [[nodiscard]] std::int32_t post(Call call, Post inner_post, std::vector<std::uint64_t> &tokens, std::uint32_t depth,
                                    const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept;
    void forget(std::uint32_t kind, std::uint64_t token) noexcept;
    void close_inner() noexcept;

    Provider &provider_;
    Queue &queue_;
    const sansock_endpoint_config config_;
    sansock_endpoint *inner_ = nullptr;  ///< Null once failed by a fault.
    std::int32_t failure_ = SANSOCK_OK;
    bool silent_ = false;
    bool owes_failed_ = false;
    // Posted and not completed; reserved to the depths, so that posting does not allocate.
    std::vector<std::uint64_t> sends_;
    std::vector<std::uint64_t> receives_;
};

}  // namespace sansock::fault
