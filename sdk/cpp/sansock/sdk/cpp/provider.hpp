// Write a provider as a class.
//
//     class MyProvider : public sansock::sdk::Provider<MyProvider> {
//         static std::unique_ptr<MyProvider> open(const sansock_host &, const sansock_provider_config &);
//         sansock_limits limits() const noexcept;
//         std::unique_ptr<sansock_region> register_region(const sansock_memory &);  // or any type that owns one
//         void deregister_region(sansock_region *) noexcept;
//         std::unique_ptr<MyQueue> create_completion_queue(std::uint32_t depth);
//         std::unique_ptr<MyEndpoint> create_endpoint(const sansock_endpoint_config &);
//         const void *extension(std::string_view id) const noexcept;
//     };
//
// All public. Functions that may fail throw sansock::sdk::Failure; limits(), deregister_region() and extension() are
// noexcept: the compiler insists. close() of the contract deletes the object; what the functions hand out is released to
// the host, which ends it by its own close() or by deregister_region().
#pragma once
#include <sansock/sdk/provider.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

#include "sansock/sdk/cpp/failure.hpp"

namespace sansock::sdk {

/// Writes a record that grows: no further than the reader knows it.
template <class Record>
void copy_record(const Record &from, Record &to) noexcept {
    const std::uint32_t size = std::min(to.size, static_cast<std::uint32_t>(sizeof from));
    std::memcpy(static_cast<void *>(&to), &from, size);
    to.size = size;
}

template <class Self>
class Provider : public sansock_provider {
protected:
    Provider() noexcept : sansock_provider{&kOps} {}
    ~Provider() = default;
    Provider(const Provider &) = delete;
    Provider &operator=(const Provider &) = delete;

private:
    static Self &self(sansock_provider *provider) noexcept { return *static_cast<Self *>(provider); }

    static void close(sansock_provider *provider) { delete &self(provider); }
    static void get_limits(sansock_provider *provider, sansock_limits *limits) {
        static_assert(noexcept(self(provider).limits()));
        copy_record(self(provider).limits(), *limits);
    }
    static std::int32_t register_region(sansock_provider *provider, const sansock_memory *memory, sansock_region **region,
                                        sansock_error *error) {
        return guarded(error, [&] { *region = self(provider).Self::register_region(*memory).release(); });
    }
    static void deregister_region(sansock_provider *provider, sansock_region *region) {
        static_assert(noexcept(self(provider).Self::deregister_region(region)));
        self(provider).Self::deregister_region(region);
    }
    static std::int32_t create_completion_queue(sansock_provider *provider, std::uint32_t depth, sansock_completion_queue **queue,
                                                sansock_error *error) {
        return guarded(error, [&] { *queue = self(provider).Self::create_completion_queue(depth).release(); });
    }
    static std::int32_t create_endpoint(sansock_provider *provider, const sansock_endpoint_config *config, sansock_endpoint **endpoint,
                                        sansock_error *error) {
        return guarded(error, [&] { *endpoint = self(provider).Self::create_endpoint(*config).release(); });
    }
    static const void *get_extension(sansock_provider *provider, const char *id) {
        static_assert(noexcept(self(provider).extension(std::string_view(id))));
        return self(provider).extension(id);
    }

    static constexpr sansock_provider_ops kOps{close,           get_limits,   register_region, deregister_region, create_completion_queue,
                                               create_endpoint, get_extension};
};

}  // namespace sansock::sdk
