#include "socket/tally.hpp"

#include <cstring>

#include "socket/connection.hpp"

namespace sansock::socket {

ProviderTally &Tally::of(const SharedConnection &connection) {
    uint32_t known = 0;
    const auto find = [&]() -> ProviderTally * {
        for (const uint32_t count = providers.load(std::memory_order_acquire); known < count; ++known) {
            if (std::memcmp(of_provider[known].guid, connection.guid, sizeof connection.guid) == 0) return &of_provider[known];
        }
        return known == kProviders ? &of_provider[kProviders - 1] : nullptr;
    };
    if (ProviderTally *found = find()) return *found;
    stream::Guard guard(lock);
    if (ProviderTally *found = find()) return *found;
    ProviderTally &fresh = of_provider[known];
    std::memcpy(fresh.guid, connection.guid, sizeof fresh.guid);
    std::memcpy(fresh.plugin, connection.plugin, sizeof fresh.plugin);
    providers.store(known + 1, std::memory_order_release);
    return fresh;
}

void Tally::add(uint64_t sent_by_tcp, uint64_t received_by_tcp) {
    connections.fetch_add(1, std::memory_order_relaxed);
    sent.fetch_add(sent_by_tcp, std::memory_order_relaxed);
    received.fetch_add(received_by_tcp, std::memory_order_relaxed);
}

void Tally::add(const SharedConnection &connection) {
    if (connection.role == Role::kNone) return;
    const stream::State &state = connection.stream;
    const uint64_t sent_by_provider = state.out.bytes_provider.load(), received_by_provider = state.in.bytes_provider.load();
    add(state.out.out.load() - sent_by_provider, state.in.in.load() - received_by_provider);
    if (connection.guid[0] == '\0') return;
    ProviderTally &provider = of(connection);
    provider.sent.fetch_add(sent_by_provider, std::memory_order_relaxed);
    provider.received.fetch_add(received_by_provider, std::memory_order_relaxed);
    provider.upgrades.fetch_add(state.upgrades.load(), std::memory_order_relaxed);
    provider.step_backs.fetch_add(state.step_backs.load(), std::memory_order_relaxed);
    provider.full.fetch_add(state.out.full.load(), std::memory_order_relaxed);
    for (uint32_t i = 0; i < stream::kSizes; ++i) provider.sizes[i].fetch_add(state.out.sizes[i].load(), std::memory_order_relaxed);
}

void Tally::add_sleep(uint64_t ns) {
    uint32_t bucket = 0;
    for (uint64_t limit = 10'000; bucket + 1 < kBoardSleeps && ns > limit; limit *= 10) ++bucket;
    sleeps[bucket].fetch_add(1, std::memory_order_relaxed);
    slept_ns.fetch_add(ns, std::memory_order_relaxed);
}

}  // namespace sansock::socket
