#include "provider_conformance.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace sansock::conformance {
namespace {

constexpr auto kPatience = std::chrono::seconds(20);

/// What must succeed for a case to make sense.
template <class T>
T need(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().text);
    return std::move(*result);
}

}  // namespace

void PrintTo(const Target &target, std::ostream *out) { *out << target.plugin << " with '" << target.yaml << "'"; }

unsigned seed() {
    static const unsigned chosen = [] {
        const int given = GTEST_FLAG_GET(random_seed);
        return given > 0 ? static_cast<unsigned>(given) : std::random_device{}() % 99'999 + 1;
    }();
    return chosen;
}

Memory::Memory(plugin::Provider &provider, std::uint64_t bytes)
    : fd_(::memfd_create("conformance", MFD_CLOEXEC)), bytes_((bytes + 4095) / 4096 * 4096) {
    if (::ftruncate(fd_.get(), static_cast<off_t>(bytes_)) != 0) throw std::runtime_error("ftruncate");
    base_ = static_cast<std::uint8_t *>(::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0));
    if (base_ == MAP_FAILED) throw std::runtime_error("mmap");
    region_ = need(provider.register_region(base_, bytes_, fd_.get(), 0));
}

Memory::~Memory() {
    region_.reset();
    ::munmap(base_, bytes_);
}

End::End(plugin::Provider &provider, std::uint32_t send_depth, std::uint32_t receive_depth, std::uint64_t memory_bytes)
    : memory(provider, memory_bytes), queue(need(provider.create_completion_queue(send_depth + receive_depth))) {
    endpoint = need(provider.create_endpoint(queue, {.send_depth = send_depth, .receive_depth = receive_depth}));
}

void End::poll() {
    std::array<sansock_completion, 16> batch;
    const auto count = queue.poll(batch);
    ASSERT_TRUE(count) << count.error().text;
    reported.insert(reported.end(), batch.begin(), batch.begin() + static_cast<std::ptrdiff_t>(*count));
}

std::size_t End::count(std::uint32_t kind, std::optional<std::int32_t> status) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        reported, [&](const sansock_completion &each) { return each.kind == kind && (!status || each.status == *status); }));
}

std::int32_t End::failure() const {
    for (const sansock_completion &each : reported) {
        if (each.kind == SANSOCK_COMPLETION_STATE && each.status != SANSOCK_OK) return each.status;
    }
    return SANSOCK_OK;
}

std::int32_t End::send(std::uint64_t offset, std::uint64_t length, std::uint64_t token) {
    const sansock_slice slice = memory.slice(offset, length);
    return endpoint->post_send({&slice, 1}, token);
}

std::int32_t End::receive(std::uint64_t offset, std::uint64_t length, std::uint64_t token) {
    const sansock_slice slice = memory.slice(offset, length);
    return endpoint->post_receive({&slice, 1}, token);
}

Result<plugin::Provider> open_target(const Target &target, std::optional<plugin::Host> &host) {
    const auto directories = target.directories.empty() ? plugin::search_path() : target.directories;
    host.emplace(plugin::Catalog::scan(directories));
    const plugin::Manifest *manifest = host->catalog().find(target.plugin);
    const std::string guid =
        manifest != nullptr && !manifest->guids.empty() ? manifest->guids.front() : "00000000-0000-4000-8000-000000000000";
    return host->open(target.plugin, guid, target.yaml, "conformance:1");
}

plugin::Provider &ProviderConformance::provider() {
    if (!provider_) provider_ = need(open_target(GetParam(), host_));
    return *provider_;
}

void ProviderConformance::poll_until(const std::function<bool()> &done, std::initializer_list<End *> ends) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!done()) {
        if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("it did not happen in twenty seconds");
        for (End *end : ends) end->poll();
    }
}

void ProviderConformance::connect(End &offering, End &answering) {
    const plugin::Offer offer = need(offering.endpoint->make_offer());
    const plugin::Offer answer = need(answering.endpoint->accept_offer(offer));
    const auto taken = offering.endpoint->take_answer(answer);
    if (!taken) throw std::runtime_error(taken.error().text);
    poll_until([&] { return offering.established() && answering.established(); }, {&offering, &answering});
}

void fill(Memory &memory, std::uint64_t offset, std::uint64_t length, std::uint64_t start) {
    for (std::uint64_t at = 0; at < length; ++at) *memory.at(offset + at) = pattern(start, at);
}

::testing::AssertionResult holds(Memory &memory, std::uint64_t offset, std::uint64_t length, std::uint64_t start) {
    for (std::uint64_t at = 0; at < length; ++at) {
        if (*memory.at(offset + at) == pattern(start, at)) continue;
        return ::testing::AssertionFailure() << "byte " << at << " of " << length << " is wrong";
    }
    return ::testing::AssertionSuccess();
}

}  // namespace sansock::conformance
