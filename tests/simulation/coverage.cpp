#include "coverage.hpp"

#include <fmt/format.h>

#include "world.hpp"

namespace sansock::simulation {
namespace {

constexpr const char *kOutNames[Coverage::kOutStates] = {"tcp", "may switch", "provider", "stopped", "repeating", "ended"};
constexpr const char *kInNames[Coverage::kInStates] = {"tcp", "before X", "provider", "frozen", "ended"};
constexpr const char *kEventNames[kEvents] = {
    "send",   "receive", "peek",  "poll",     "shutdown", "close",       "drain",        "leave", "helper",     "fin", "reset",
    "killed", "stopped", "muted", "pressure", "intruder", "peer killed", "peer stopped", "words", "path fails", "cut", "exit"};

int out_state(const Process &process) {
    const stream::OutState &out = process.state().out;
    const memory::ColdWords &peer = process.end->memory().peer->cold;
    if (out.replaying) return 4;
    if (out.stopped) return 3;
    if (out.fin) return 5;
    if (out.path == stream::Path::kProvider) return 2;
    return peer.ready.load() == process.state().epoch.load() && process.state().pinned.load() == 0 ? 1 : 0;
}

int in_state(const Process &process) {
    const stream::InState &in = process.state().in;
    const uint32_t epoch = process.state().epoch.load();
    if (process.state().tcp_ended.load() != stream::kTcpOpen || process.end->peer_finished()) return 4;
    if (process.slot().cold.frozen.load() == epoch) return 3;
    if (in.path == stream::Path::kProvider) return 2;
    return process.end->memory().peer->cold.switched.load() == epoch ? 1 : 0;
}

std::string state_name(size_t state) {
    return fmt::format("{} / {}", kOutNames[state / Coverage::kInStates], kInNames[state % Coverage::kInStates]);
}

/// What a run of the registered number of seeds must meet: a column for each event, in the order of kEventNames, with a dot where it cannot
/// come in that state, or comes less than thirty times in 10,000 seeds.
constexpr const char *kRequiredWithin[Coverage::kOutStates * Coverage::kInStates] = {
    "srpolc..hfR...........",  // tcp / tcp
    "srpo....h.............",  // tcp / before X
    "srpo..d.h.............",  // tcp / provider
    "srpolc..h.............",  // tcp / frozen
    "srpolc..hf.K....k.....",  // tcp / ended
    "srpolcd.hfRKSM..kt....",  // may switch / tcp
    "srpo....h.............",  // may switch / before X
    "srpolcd.hfRKSMP.kt....",  // may switch / provider
    "srpol...h.............",  // may switch / frozen
    "srpolcdehfRKSMP.kt....",  // may switch / ended
    "srpolcdehfRKSMPIkt....",  // provider / tcp
    "srpol.d.h.......k.....",  // provider / before X
    "srpolcdehfRKSMPIkt....",  // provider / provider
    "srpo....h.............",  // provider / frozen
    "srpolcdehfRKSMPIkt....",  // provider / ended
    "......................",  // stopped / tcp
    "......................",  // stopped / before X
    "......................",  // stopped / provider
    "srpo..d.h.............",  // stopped / frozen
    "srpolcd.hfR...........",  // stopped / ended
    "......................",  // repeating / tcp
    "......................",  // repeating / before X
    "......................",  // repeating / provider
    "srpo....h.............",  // repeating / frozen
    ".r.o....h.............",  // repeating / ended
    ".rpo.cd.hfRKSM..kt....",  // ended / tcp
    ".rpo..................",  // ended / before X
    ".rpo..dehfRKSMPIkt....",  // ended / provider
    ".rpo.c..h.............",  // ended / frozen
    ".rpo.cdehfRKSMPIkt....",  // ended / ended
};

/// The same between two hosts.
constexpr const char *kRequiredBetween[Coverage::kOutStates * Coverage::kInStates] = {
    "srpolc.ehfRKSM..ktw.Cx",  // tcp / tcp
    "sr.o....h.........w...",  // tcp / before X
    "srpo..................",  // tcp / provider
    "srpolc..hf........w...",  // tcp / frozen
    "srpolc.ehfRKSM..ktw.Cx",  // tcp / ended
    "srpo....h.........w...",  // may switch / tcp
    "srpo....h.......k.w..x",  // may switch / before X
    "srpol.d.h.........w...",  // may switch / provider
    "......................",  // may switch / frozen
    "srp.lc..h.......k.w..x",  // may switch / ended
    "srpolcd.h..K......w...",  // provider / tcp
    "srpo..d.h.........w...",  // provider / before X
    "srpolcdehfRKSMP.ktwFC.",  // provider / provider
    "sr.o..................",  // provider / frozen
    "srpolcd.hfRKS.....wFCx",  // provider / ended
    "......................",  // stopped / tcp
    "......................",  // stopped / before X
    "......................",  // stopped / provider
    "srpo..d.hfR.......w...",  // stopped / frozen
    "srpolc..hfR.......w..x",  // stopped / ended
    "......................",  // repeating / tcp
    "......................",  // repeating / before X
    "......................",  // repeating / provider
    ".r.o....h.........w...",  // repeating / frozen
    ".r.o....h.............",  // repeating / ended
    ".rpo.cd.hfRK....k.w...",  // ended / tcp
    ".r.o....h.........w...",  // ended / before X
    ".rpo..d.hfR.....ktw.C.",  // ended / provider
    ".rpo....hf........w...",  // ended / frozen
    ".rpo.cdehfRKSM..ktwFCx",  // ended / ended
};

}  // namespace

void Coverage::count(const Process &process, Event event) {
    ++table_[static_cast<size_t>(out_state(process) * kInStates + in_state(process))][static_cast<size_t>(event)];
}

void Coverage::add(const Coverage &other) {
    for (size_t state = 0; state < table_.size(); ++state) {
        for (size_t event = 0; event < kEvents; ++event) table_[state][event] += other.table_[state][event];
    }
}

void Coverage::print() const {
    auto short_count = [](uint64_t count) {
        if (count == 0) return std::string("-");
        if (count >= 10'000'000) return fmt::format("{}M", count / 1'000'000);
        return count >= 10'000 ? fmt::format("{}k", count / 1000) : fmt::format("{}", count);
    };
    fmt::print("{:22}", "sending / receiving");
    for (const char *name : kEventNames) fmt::print(" {:>{}}", name, std::max<size_t>(5, std::string_view(name).size()));
    fmt::print("\n");
    int met = 0, states = 0;
    for (size_t state = 0; state < table_.size(); ++state) {
        uint64_t sum = 0;
        for (const uint64_t count : table_[state]) sum += count;
        fmt::print("{:22}", state_name(state));
        if (sum == 0) {
            fmt::print(" never entered\n");
            continue;
        }
        ++states;
        for (size_t event = 0; event < kEvents; ++event) {
            met += table_[state][event] > 0;
            fmt::print(" {:>{}}", short_count(table_[state][event]), std::max<size_t>(5, std::string_view(kEventNames[event]).size()));
        }
        fmt::print("\n");
    }
    fmt::print("{} of {} states entered, {} of {} pairs of them with an event met\n", states, table_.size(), met, states * kEvents);
}

std::string Coverage::missing(bool two_hosts) const {
    const auto &required = two_hosts ? kRequiredBetween : kRequiredWithin;
    std::string text;
    for (size_t state = 0; state < table_.size(); ++state) {
        std::string events;
        for (size_t event = 0; event < kEvents; ++event) {
            if (required[state][event] != '.' && table_[state][event] == 0)
                events += fmt::format("{}{}", events.empty() ? "" : ", ", kEventNames[event]);
        }
        if (!events.empty()) text += fmt::format("  {}: {}\n", state_name(state), events);
    }
    return text;
}

}  // namespace sansock::simulation
