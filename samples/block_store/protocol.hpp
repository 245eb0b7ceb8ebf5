// The block store's messages; README.md has the format.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace block_store {

constexpr std::uint32_t kBlockSize = 512;
constexpr std::uint32_t kLengthMax = 1024 * 1024;

enum class Operation : std::uint32_t { Info = 1, Read = 2, Write = 3, Flush = 4, Trim = 5 };
enum class Status : std::uint32_t { Ok = 0, Invalid = 1, OutOfRange = 2, IoError = 3 };

struct Request {
    static constexpr std::size_t kWireSize = 28;
    Operation operation{};
    std::uint64_t tag = 0;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
};

struct Reply {
    static constexpr std::size_t kWireSize = 20;
    Status status{};
    std::uint64_t tag = 0;
    std::uint32_t length = 0;  ///< Of the payload that follows.
};

struct Info {
    static constexpr std::size_t kWireSize = 16;
    std::uint64_t volume_size = 0;
    std::uint32_t block_size = 0;
    std::uint32_t length_max = 0;
};

void append(std::vector<std::byte> &out, const Request &request);
void append(std::vector<std::byte> &out, const Reply &reply);
void append(std::vector<std::byte> &out, const Info &info);

/// These take kWireSize bytes. They throw when the stream cannot be followed any further: the magic is wrong, or the
/// payload would be longer than kLengthMax.
Request parse_request(std::span<const std::byte> bytes);
Reply parse_reply(std::span<const std::byte> bytes);
Info parse_info(std::span<const std::byte> bytes);

const char *name_of(Operation operation);
const char *name_of(Status status);

}  // namespace block_store
