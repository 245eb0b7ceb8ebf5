// Offers and answers as trivially copyable records.
#pragma once
#include <sansock/sdk/endpoint.h>

#include <cassert>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <type_traits>

#include "sansock/sdk/cpp/unique_fd.hpp"

namespace sansock::sdk {

/// Writes the record and gives the descriptors away, of which there are at most SANSOCK_OFFER_FDS_MAX.
template <class Record>
void write_offer(sansock_offer &offer, const Record &record, std::initializer_list<UniqueFd *> fds = {}) noexcept {
    static_assert(std::is_trivially_copyable_v<Record> && sizeof(Record) <= SANSOCK_OFFER_BYTES_MAX);
    assert(fds.size() <= SANSOCK_OFFER_FDS_MAX);
    std::memcpy(offer.bytes, &record, sizeof record);
    offer.byte_count = sizeof record;
    offer.fd_count = 0;
    for (UniqueFd *fd : fds) offer.fds[offer.fd_count++] = fd->release();
}

/// The peer's record: a copy of its own, still to be believed; nothing unless it has exactly this size and comes with so
/// many descriptors.
template <class Record>
std::optional<Record> read_offer(const sansock_offer &offer, std::uint32_t fd_count) noexcept {
    static_assert(std::is_trivially_copyable_v<Record> && sizeof(Record) <= SANSOCK_OFFER_BYTES_MAX);
    if (offer.byte_count != sizeof(Record) || offer.fd_count != fd_count) return std::nullopt;
    Record record;
    std::memcpy(&record, offer.bytes, sizeof record);
    return record;
}

}  // namespace sansock::sdk
