// A plugin that opens well and then breaks the contract in the way that its YAML block names; or that tells what became of a descriptor.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sansock/sdk/cpp/offer.hpp>
#include <sansock/sdk/cpp/plugin.hpp>
#include <string>
#include <thread>
#include <vector>

struct sansock_region {};

namespace {

using Lie = std::string;

class Queue : public sansock::sdk::CompletionQueue<Queue> {
public:
    explicit Queue(Lie lie) : lie_(std::move(lie)) {}
    int notification_fd() const noexcept { return -1; }
    std::int32_t arm(std::uint32_t) noexcept { return lie_ == "arm returns a count" ? 3 : SANSOCK_OK; }
    std::int32_t poll(sansock_completion *completions, std::uint32_t capacity) noexcept {
        if (lie_ == "more than asked") return static_cast<std::int32_t>(capacity) + 1;
        if (lie_ == "poll fails") return SANSOCK_EIO;
        const std::int32_t count = static_cast<std::int32_t>(todo.size());
        if (count > 0) std::memcpy(completions, todo.data(), todo.size() * sizeof todo[0]);
        todo.clear();
        return count;
    }

    std::vector<sansock_completion> todo;

private:
    Lie lie_;
};

class Endpoint : public sansock::sdk::Endpoint<Endpoint> {
public:
    Endpoint(Lie lie, const sansock_endpoint_config &config)
        : lie_(std::move(lie)), queue_(*static_cast<Queue *>(config.queue)), context_(config.context) {}

    void make_offer(sansock_offer &offer) {
        if (lie_ == "offer of too many bytes") offer.byte_count = SANSOCK_OFFER_BYTES_MAX + 1;
        if (lie_ == "offer of too many descriptors") offer.fd_count = SANSOCK_OFFER_FDS_MAX + 1;
        if (lie_ == "offer of a closed descriptor") {
            offer.fd_count = 1;
            offer.fds[0] = 1'000'000;
        }
    }
    void accept_offer(const sansock_offer &, sansock_answer &) {}
    void take_answer(const sansock_answer &) {}
    std::int32_t state() const noexcept { return 99; }
    std::int32_t post_send(const sansock_slice *, std::uint32_t, std::uint64_t token) noexcept {
        sansock_completion good{token, context_, 0, SANSOCK_OK, SANSOCK_COMPLETION_SEND};
        sansock_completion told = good;
        if (lie_ == "unknown token") told.token += 1;
        if (lie_ == "token out of range") told.token |= 0xffffffff;
        if (lie_ == "unknown endpoint") told.context += 1;
        if (lie_ == "endpoint of the past") told.context -= std::uint64_t{1} << 32;
        if (lie_ == "wrong kind") told.kind = SANSOCK_COMPLETION_RECEIVE;
        if (lie_ == "no kind") told.kind = 0;
        if (lie_ == "positive status") told.status = 5;
        if (lie_ == "post returns a count") return 1;
        queue_.todo.push_back(told);
        if (lie_ == "twice") queue_.todo.push_back(good);
        if (lie_ == "established twice") {
            queue_.todo = {{0, context_, 0, SANSOCK_OK, SANSOCK_COMPLETION_STATE}, {0, context_, 0, SANSOCK_OK, SANSOCK_COMPLETION_STATE}};
        }
        if (lie_ == "after the end") {
            queue_.todo = {{0, context_, 0, SANSOCK_EIO, SANSOCK_COMPLETION_STATE}, good};
        }
        return SANSOCK_OK;
    }
    std::int32_t post_receive(const sansock_slice *, std::uint32_t, std::uint64_t token) noexcept {
        queue_.todo.push_back({token, context_, 1'000'000, SANSOCK_OK, SANSOCK_COMPLETION_RECEIVE});
        return SANSOCK_OK;
    }

private:
    Lie lie_;
    Queue &queue_;
    std::uint64_t context_;
};

template <class Object>
std::unique_ptr<Object> unless(bool missing, std::unique_ptr<Object> object) {
    return missing ? nullptr : std::move(object);
}

/// Of a descriptor that one thread of the plugin has duplicated, and another one closes.
[[noreturn]] void tell_what_becomes_of_a_descriptor() {
    const int own = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    int failure = 0;
    std::thread([&] { failure = close(own) == 0 ? 0 : errno; }).join();
    throw sansock::sdk::Failure(SANSOCK_EIO, std::string("it closes its descriptor: ") + std::strerror(failure));
}

class Provider : public sansock::sdk::Provider<Provider> {
public:
    explicit Provider(Lie lie) : lie_(std::move(lie)) {}
    static std::unique_ptr<Provider> open(const sansock_host &, const sansock_provider_config &config) {
        if (std::strcmp(config.yaml, "throws") == 0) throw 42;
        if (std::strstr(config.yaml, "closes_on_a_thread") != nullptr) tell_what_becomes_of_a_descriptor();
        return std::make_unique<Provider>(config.yaml);
    }

    sansock_limits limits() const noexcept {
        sansock_limits limits{};
        limits.size = sizeof limits;
        limits.reach = lie_ == "reach" ? 9 : SANSOCK_REACH_PROCESS;
        limits.message_bytes_max = lie_ == "message_bytes_max" ? 1 : 4096;
        limits.inline_bytes_max = lie_ == "inline_bytes_max" ? 1 << 20 : 0;
        limits.slice_count_max = lie_ == "slice_count_max" ? 0 : 1;
        limits.send_depth_max = lie_ == "send_depth_max" ? 0 : 8;
        limits.receive_depth_max = lie_ == "receive_depth_max" ? 0 : 8;
        limits.completion_depth_max = lie_ == "completion_depth_max" ? 1 : 64;
        limits.unreceived = lie_ == "unreceived" ? 0 : SANSOCK_UNRECEIVED_WAITS;
        limits.answerer_sends_first = lie_ == "answerer_sends_first" ? 2 : 0;
        limits.fork_safe = lie_ == "fork_safe" ? 2 : 0;
        return limits;
    }
    std::unique_ptr<sansock_region> register_region(const sansock_memory &) {
        return unless(lie_ == "no region", std::make_unique<sansock_region>());
    }
    void deregister_region(sansock_region *region) noexcept { delete region; }
    std::unique_ptr<Queue> create_completion_queue(std::uint32_t) {
        if (lie_ == "crash") std::abort();
        return unless(lie_ == "no queue", std::make_unique<Queue>(lie_));
    }
    std::unique_ptr<Endpoint> create_endpoint(const sansock_endpoint_config &config) {
        return unless(lie_ == "no endpoint", std::make_unique<Endpoint>(lie_, config));
    }
    const void *extension(std::string_view) const noexcept { return nullptr; }

private:
    Lie lie_;
};

}  // namespace

SANSOCK_PLUGIN("liar", "1", Provider)
