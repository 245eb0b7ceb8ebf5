// The file copy's messages; README.md has the format.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/network.hpp"

namespace file_copy {

constexpr std::size_t kNameLengthMax = 255;
constexpr std::size_t kChunkSize = 256 * 1024;

struct Offer {
    std::string name;
    std::uint64_t size = 0;
};

struct Reply {
    bool accepted = false;
    std::string reason;  ///< Why not. Empty when accepted.
};

void send_offer(samples::Connection &connection, const Offer &offer);

/// False when the client has nothing more to offer. Throws when what came is not an offer. The name is not yet checked.
bool receive_offer(samples::Connection &connection, Offer &offer);

void send_reply(samples::Connection &connection, const Reply &reply);
Reply receive_reply(samples::Connection &connection);

}  // namespace file_copy
