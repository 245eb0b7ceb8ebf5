// The volume behind the server: a file of fixed size. Any number of threads may use it at once.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "block_store/protocol.hpp"
#include "common/socket.hpp"

namespace block_store {

class Volume {
public:
    /// A file that exists keeps its size; a new one gets `size_if_new`.
    Volume(const std::string &path, std::uint64_t size_if_new);

    [[nodiscard]] std::uint64_t size() const { return size_; }
    Status read(std::uint64_t offset, std::span<std::byte> out);
    Status write(std::uint64_t offset, std::span<const std::byte> bytes);
    Status flush();
    /// The range reads as zeros afterwards.
    Status trim(std::uint64_t offset, std::uint32_t length);

private:
    /// Offsets and lengths come from the network; the file system sees only what passed here.
    [[nodiscard]] Status check(std::uint64_t offset, std::uint64_t length) const;

    samples::Socket file_;
    std::uint64_t size_ = 0;
};

}  // namespace block_store
