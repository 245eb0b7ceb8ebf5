#include "socket/board.hpp"

#include <stdio.h>

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "socket/process.hpp"
#include "stream/reason.hpp"

// The layout is this compiler's own, and so is who reads these offsets.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace sansock::socket {
namespace {

template <size_t size>
void put(char (&to)[size], const char *text) {
    snprintf(to, size, "%s", text);
}

#define FIELD_OF(row, name, member) \
    { name, static_cast<uint32_t>(offsetof(row, member)), static_cast<uint32_t>(sizeof(static_cast<row *>(nullptr)->member)) }
#define FIELD(name, member) FIELD_OF(SharedConnection, name, member)

/// In the order of `sansock status --json`.
constexpr BoardField kOfConnection[] = {
    FIELD("phase", phase),
    FIELD("role", role),
    FIELD("generation", generation),
    FIELD("local", local),
    FIELD("remote", remote),
    FIELD("guid", guid),
    FIELD("plugin", plugin),
    FIELD("detail", detail),
    FIELD("reason", stream.reason),
    FIELD("path_out", stream.out.path),
    FIELD("path_in", stream.in.path),
    FIELD("sent", stream.out.out),
    FIELD("sent_provider", stream.out.bytes_provider),
    FIELD("received", stream.in.in),
    FIELD("received_provider", stream.in.bytes_provider),
    FIELD("upgrades", stream.upgrades),
    FIELD("step_backs", stream.step_backs),
    FIELD("epoch", stream.epoch),
    FIELD("pinned", stream.pinned),
    FIELD("lent", stream.lent),
    FIELD("window", stream.out.window),
    FIELD("consumed", stream.out.consumed),
    FIELD("buffers_held", stream.out.buffers_held),
    FIELD("buffers_max", stream.out.buffers_max),
    FIELD("full", stream.out.full),
    FIELD("sizes", stream.out.sizes),
    {"holders", static_cast<uint32_t>(offsetof(SharedConnection, holders)) + Holders::list_at(), Holders::list_size()},
};

constexpr BoardField kOfFamily[] = {
    FIELD_OF(Tally, "connections", connections), FIELD_OF(Tally, "sent", sent),         FIELD_OF(Tally, "received", received),
    FIELD_OF(Tally, "sleeps", sleeps),           FIELD_OF(Tally, "slept_ns", slept_ns),
};

constexpr BoardField kOfProvider[] = {
    FIELD_OF(ProviderTally, "guid", guid),         FIELD_OF(ProviderTally, "plugin", plugin),
    FIELD_OF(ProviderTally, "sent", sent),         FIELD_OF(ProviderTally, "received", received),
    FIELD_OF(ProviderTally, "upgrades", upgrades), FIELD_OF(ProviderTally, "step_backs", step_backs),
    FIELD_OF(ProviderTally, "full", full),         FIELD_OF(ProviderTally, "sizes", sizes),
};

static_assert(kBoardSizes == stream::kSizes);

template <size_t count>
void describe(BoardTable &table, const BoardField (&fields)[count], const BoardTable &rows) {
    static_assert(count <= kBoardFieldsMax);
    table = rows;
    table.fields = count;
    std::copy_n(fields, count, table.field);
}

}  // namespace

void describe_board(BoardHeader &header, const BoardPlaces &places) {
    describe(header.connections, kOfConnection,
             {.used_at = places.used, .rows_at = places.connections, .row_size = sizeof(SharedConnection), .rows_max = kConnectionsMax});
    // The one row is there from the start: any word that is not zero counts it.
    describe(header.totals, kOfFamily,
             {.used_at = offsetof(BoardHeader, magic), .rows_at = places.tally, .row_size = sizeof(Tally), .rows_max = 1});
    describe(header.providers, kOfProvider,
             {.used_at = places.tally + static_cast<uint32_t>(offsetof(Tally, providers)),
              .rows_at = places.tally + static_cast<uint32_t>(offsetof(Tally, of_provider)),
              .row_size = sizeof(ProviderTally),
              .rows_max = Tally::kProviders});
    header.reasons = kBoardReasonsMax;
    for (uint32_t i = 0; i < kBoardReasonsMax; ++i) {
        const char *name = stream::reason_name(static_cast<stream::Reason>(i));
        if (name != nullptr) put(header.reason[i], name);
    }
    put(header.version, SANSOCK_VERSION);
    header.magic = kBoardMagic;
}

}  // namespace sansock::socket
