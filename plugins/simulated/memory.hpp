// The two memfds of a connection: our own, mapped for writing, and the peer's, mapped for reading.
//
// Nothing that the peer does to its file may hurt us: it must not be able to shrink it (SIGBUS), to grow or unseal it,
// and its pages must exist. What it writes there is checked where it is read (ring.hpp).
#pragma once
#include <cstddef>
#include <cstdint>
#include <sansock/sdk/cpp/unique_fd.hpp>

#include "layout.hpp"

namespace sansock::simulated {

class Mapping {
public:
    Mapping() = default;
    Mapping(int fd, std::uint64_t bytes, int protection);
    Mapping(Mapping &&other) noexcept;
    Mapping &operator=(Mapping &&other) noexcept;
    ~Mapping();

    [[nodiscard]] std::byte *at(std::uint64_t offset) const { return base_ + offset; }

private:
    std::byte *base_ = nullptr;
    std::uint64_t bytes_ = 0;
};

/// Ours. Zeroed.
class OwnMemory {
public:
    OwnMemory() = default;
    explicit OwnMemory(std::uint64_t message_bytes_max);

    [[nodiscard]] Control &control() const { return *reinterpret_cast<Control *>(mapping_.at(0)); }
    [[nodiscard]] Slot *slots() const { return reinterpret_cast<Slot *>(mapping_.at(kSlotsOffset)); }
    [[nodiscard]] std::byte *payload() const { return mapping_.at(kPayloadOffset); }

    /// To be given to the peer; the mapping stays.
    [[nodiscard]] sdk::UniqueFd &fd() { return fd_; }

private:
    sdk::UniqueFd fd_;
    Mapping mapping_;
};

/// The peer's. Throws EPROTO for a file that no correct peer would offer.
class PeerMemory {
public:
    PeerMemory() = default;
    PeerMemory(int fd, std::uint64_t message_bytes_max);

    [[nodiscard]] const Control &control() const { return *reinterpret_cast<const Control *>(mapping_.at(0)); }
    [[nodiscard]] const Slot *slots() const { return reinterpret_cast<const Slot *>(mapping_.at(kSlotsOffset)); }
    [[nodiscard]] const std::byte *payload() const { return mapping_.at(kPayloadOffset); }

private:
    Mapping mapping_;
};

}  // namespace sansock::simulated
