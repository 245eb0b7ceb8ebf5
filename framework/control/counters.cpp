#include "control/counters.hpp"

#include <algorithm>

#include "config/guid.hpp"
#include "control/names.hpp"

namespace sansock::control {
namespace {

/// `each(ours, theirs)` for all counts of the two.
template <class Each>
void for_all(ProviderCounts &ours, const ProviderCounts &theirs, Each each) {
    each(ours.sent, theirs.sent);
    each(ours.received, theirs.received);
    each(ours.upgrades, theirs.upgrades);
    each(ours.step_backs, theirs.step_backs);
    each(ours.full, theirs.full);
    for (size_t i = 0; i < ours.sizes.size(); ++i) each(ours.sizes[i], theirs.sizes[i]);
    if (ours.plugin.empty()) ours.plugin = theirs.plugin;
}

template <class Each>
void for_all(Counts &ours, const Counts &theirs, Each each) {
    each(ours.connections, theirs.connections);
    each(ours.sent, theirs.sent);
    each(ours.received, theirs.received);
    each(ours.slept_ns, theirs.slept_ns);
    for (size_t i = 0; i < ours.sleeps.size(); ++i) each(ours.sleeps[i], theirs.sleeps[i]);
    for (const auto &[guid, counts] : theirs.providers) {
        if (ours.providers.contains(guid) || ours.providers.size() < Counts::kProvidersMax) for_all(ours.providers[guid], counts, each);
    }
}

constexpr auto kAdd = [](uint64_t &ours, uint64_t theirs) { ours = std::min(ours + theirs, Counts::kBelieved); };
constexpr auto kRaise = [](uint64_t &ours, uint64_t theirs) { ours = std::max(ours, theirs); };

uint64_t count_of(const BoardRows &rows, uint32_t index, std::string_view field) {
    const uint64_t count = rows.number(index, field);
    return count > Counts::kBelieved ? 0 : count;
}

template <size_t size>
std::array<uint64_t, size> counts_of(const BoardRows &rows, uint32_t index, std::string_view field) {
    std::array<uint64_t, size> found{};
    const auto counts = rows.counts(index, field);
    for (size_t i = 0; i < std::min(size, counts.size()); ++i) found[i] = counts[i] > Counts::kBelieved ? 0 : counts[i];
    return found;
}

ProviderCounts provider_of(const BoardRows &rows, uint32_t index, uint64_t sent, uint64_t received) {
    return {.plugin = plugin_name(rows.text(index, "plugin")),
            .sent = sent,
            .received = received,
            .upgrades = count_of(rows, index, "upgrades"),
            .step_backs = count_of(rows, index, "step_backs"),
            .full = count_of(rows, index, "full"),
            .sizes = counts_of<socket::kBoardSizes>(rows, index, "sizes")};
}

}  // namespace

void ProviderCounts::add(const ProviderCounts &other) { for_all(*this, other, kAdd); }
void ProviderCounts::raise_to(const ProviderCounts &other) { for_all(*this, other, kRaise); }
void Counts::add(const Counts &other) { for_all(*this, other, kAdd); }
void Counts::raise_to(const Counts &other) { for_all(*this, other, kRaise); }

Counts Counts::of(const BoardView &board) {
    constexpr uint64_t kConnected = 1;  // socket::Role: those above have never been connected
    Counts all;
    const auto add_provider = [&all](const std::string &guid, const ProviderCounts &counts) {
        if (config::Guid::parse(guid) && (all.providers.contains(guid) || all.providers.size() < kProvidersMax))
            all.providers[guid].add(counts);
    };
    if (board.totals.count() > 0) {
        all.connections = count_of(board.totals, 0, "connections");
        all.sent = count_of(board.totals, 0, "sent");
        all.received = count_of(board.totals, 0, "received");
        all.sleeps = counts_of<socket::kBoardSleeps>(board.totals, 0, "sleeps");
        all.slept_ns = count_of(board.totals, 0, "slept_ns");
    }
    for (uint32_t i = 0; i < std::min<uint32_t>(board.providers.count(), kProvidersMax); ++i)
        add_provider(board.providers.text(i, "guid"),
                     provider_of(board.providers, i, count_of(board.providers, i, "sent"), count_of(board.providers, i, "received")));
    // Of those whose place no other one has yet, closed or not.
    const BoardRows &rows = board.connections;
    const auto *const role = rows.find("role"), *const generation = rows.find("generation"), *const sent = rows.find("sent"),
                      *const received = rows.find("received");
    const auto believed = [&](uint32_t index, const socket::BoardField *field) {
        const uint64_t count = rows.number(index, field);
        return count > kBelieved ? 0 : count;
    };
    for (uint32_t i = 0; i < rows.count(); ++i) {
        if (rows.number(i, role) > kConnected || rows.number(i, generation) == 0) continue;
        const uint64_t all_sent = believed(i, sent), all_received = believed(i, received);
        uint64_t sent_provider = 0, received_provider = 0;
        if (const std::string guid = rows.text(i, "guid"); !guid.empty()) {
            sent_provider = std::min(all_sent, rows.number(i, "sent_provider"));
            received_provider = std::min(all_received, rows.number(i, "received_provider"));
            add_provider(guid, provider_of(rows, i, sent_provider, received_provider));
        }
        kAdd(all.connections, 1);
        kAdd(all.sent, all_sent - sent_provider);
        kAdd(all.received, all_received - received_provider);
    }
    return all;
}

}  // namespace sansock::control
