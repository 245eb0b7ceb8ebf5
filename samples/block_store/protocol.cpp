#include "block_store/protocol.hpp"

#include <stdexcept>

#include "common/wire.hpp"

namespace block_store {
namespace {

constexpr std::uint32_t kRequestMagic = 0x53425131;  // "SBQ1"
constexpr std::uint32_t kReplyMagic = 0x53425231;    // "SBR1"

}  // namespace

void append(std::vector<std::byte> &out, const Request &request) {
    samples::append(out, kRequestMagic);
    samples::append(out, static_cast<std::uint32_t>(request.operation));
    samples::append(out, request.tag);
    samples::append(out, request.offset);
    samples::append(out, request.length);
}

void append(std::vector<std::byte> &out, const Reply &reply) {
    samples::append(out, kReplyMagic);
    samples::append(out, static_cast<std::uint32_t>(reply.status));
    samples::append(out, reply.tag);
    samples::append(out, reply.length);
}

void append(std::vector<std::byte> &out, const Info &info) {
    samples::append(out, info.volume_size);
    samples::append(out, info.block_size);
    samples::append(out, info.length_max);
}

Request parse_request(std::span<const std::byte> bytes) {
    if (samples::take<std::uint32_t>(bytes) != kRequestMagic) throw std::runtime_error("wrong magic in a request");
    Request request;
    request.operation = static_cast<Operation>(samples::take<std::uint32_t>(bytes));
    request.tag = samples::take<std::uint64_t>(bytes);
    request.offset = samples::take<std::uint64_t>(bytes);
    request.length = samples::take<std::uint32_t>(bytes);
    if (request.operation == Operation::Write && request.length > kLengthMax) {
        throw std::runtime_error("a write of more than 1 MiB");
    }
    return request;
}

Reply parse_reply(std::span<const std::byte> bytes) {
    if (samples::take<std::uint32_t>(bytes) != kReplyMagic) throw std::runtime_error("wrong magic in a reply");
    Reply reply;
    reply.status = static_cast<Status>(samples::take<std::uint32_t>(bytes));
    reply.tag = samples::take<std::uint64_t>(bytes);
    reply.length = samples::take<std::uint32_t>(bytes);
    if (reply.length > kLengthMax) throw std::runtime_error("a reply of more than 1 MiB");
    return reply;
}

Info parse_info(std::span<const std::byte> bytes) {
    Info info;
    info.volume_size = samples::take<std::uint64_t>(bytes);
    info.block_size = samples::take<std::uint32_t>(bytes);
    info.length_max = samples::take<std::uint32_t>(bytes);
    return info;
}

const char *name_of(Operation operation) {
    switch (operation) {
        case Operation::Info: return "info";
        case Operation::Read: return "read";
        case Operation::Write: return "write";
        case Operation::Flush: return "flush";
        case Operation::Trim: return "trim";
    }
    return "unknown operation";
}

const char *name_of(Status status) {
    switch (status) {
        case Status::Ok: return "ok";
        case Status::Invalid: return "invalid request";
        case Status::OutOfRange: return "outside the volume";
        case Status::IoError: return "input or output error";
    }
    return "unknown status";
}

}  // namespace block_store
