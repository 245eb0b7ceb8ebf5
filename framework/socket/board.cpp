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

}  // namespace

#define FIELD(name, member) \
    { name, static_cast<uint32_t>(offsetof(SharedConnection, member)), static_cast<uint32_t>(sizeof(SharedConnection{}.member)) }

/// In the order of `sansock status --json`.
constexpr BoardField kFields[] = {
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
    {"holders", static_cast<uint32_t>(offsetof(SharedConnection, holders)) + Holders::list_at(), Holders::list_size()},
};
static_assert(std::size(kFields) <= kBoardFieldsMax);

void describe_board(BoardHeader &header, uint64_t used_at, uint64_t entries_at) {
    header.fields = std::size(kFields);
    std::copy(std::begin(kFields), std::end(kFields), header.field);
    header.reasons = kBoardReasonsMax;
    for (uint32_t i = 0; i < kBoardReasonsMax; ++i) {
        const char *name = stream::reason_name(static_cast<stream::Reason>(i));
        if (name != nullptr) put(header.reason[i], name);
    }
    header.used_at = static_cast<uint32_t>(used_at);
    header.entries_at = static_cast<uint32_t>(entries_at);
    header.entry_size = sizeof(SharedConnection);
    header.entries_max = kConnectionsMax;
    put(header.version, SANSOCK_VERSION);
    header.magic = kBoardMagic;
}

}  // namespace sansock::socket
