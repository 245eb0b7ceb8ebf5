// Write an endpoint as a class.
//
//     class MyEndpoint : public sansock::sdk::Endpoint<MyEndpoint> {
//         void make_offer(sansock_offer &);                               // [control] functions may throw Failure
//         void accept_offer(const sansock_offer &, sansock_answer &);
//         void take_answer(const sansock_answer &);
//         std::int32_t state() const noexcept;                            // [progress] functions are noexcept
//         std::int32_t post_send(const sansock_slice *, std::uint32_t, std::uint64_t token) noexcept;
//         std::int32_t post_receive(const sansock_slice *, std::uint32_t, std::uint64_t token) noexcept;
//     };
//
// All public. close() of the contract deletes the object, so it is made by new. The class is known at compile time, so a
// call through the table lands in the member function without a second indirection, and a missing function is an error of
// the compiler.
#pragma once
#include <sansock/sdk/endpoint.h>

#include "sansock/sdk/cpp/failure.hpp"

namespace sansock::sdk {

template <class Self>
class Endpoint : public sansock_endpoint {
protected:
    Endpoint() noexcept : sansock_endpoint{&kOps} {}
    ~Endpoint() = default;
    Endpoint(const Endpoint &) = delete;
    Endpoint &operator=(const Endpoint &) = delete;

private:
    static Self &self(sansock_endpoint *endpoint) noexcept { return *static_cast<Self *>(endpoint); }

    static void close(sansock_endpoint *endpoint) { delete &self(endpoint); }
    static std::int32_t make_offer(sansock_endpoint *endpoint, sansock_offer *offer, sansock_error *error) {
        return guarded(error, [&] { self(endpoint).Self::make_offer(*offer); });
    }
    static std::int32_t accept_offer(sansock_endpoint *endpoint, const sansock_offer *offer, sansock_answer *answer, sansock_error *error) {
        return guarded(error, [&] { self(endpoint).Self::accept_offer(*offer, *answer); });
    }
    static std::int32_t take_answer(sansock_endpoint *endpoint, const sansock_answer *answer, sansock_error *error) {
        return guarded(error, [&] { self(endpoint).Self::take_answer(*answer); });
    }
    static std::int32_t state(sansock_endpoint *endpoint) {
        static_assert(noexcept(self(endpoint).Self::state()));
        return self(endpoint).Self::state();
    }
    static std::int32_t post_send(sansock_endpoint *endpoint, const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) {
        static_assert(noexcept(self(endpoint).Self::post_send(slices, slice_count, token)));
        return self(endpoint).Self::post_send(slices, slice_count, token);
    }
    static std::int32_t post_receive(sansock_endpoint *endpoint, const sansock_slice *slices, std::uint32_t slice_count,
                                     std::uint64_t token) {
        static_assert(noexcept(self(endpoint).Self::post_receive(slices, slice_count, token)));
        return self(endpoint).Self::post_receive(slices, slice_count, token);
    }

    static constexpr sansock_endpoint_ops kOps{close, make_offer, accept_offer, take_answer, state, post_send, post_receive};
};

}  // namespace sansock::sdk
