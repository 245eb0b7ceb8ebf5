// Between what the daemons say to each other and what they mean.
#pragma once
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "control/pair.hpp"
#include "control/rendezvous_types.h"
#include "control/tls.hpp"

namespace sansock::control {

inline wire::Side wire_of(const Side &side) {
    wire::Side said;
    said.address.assign(reinterpret_cast<const char *>(side.address.data()), side.address.size());
    said.port = side.port;
    return said;
}

inline std::optional<Side> side_of(const wire::Side &said) {
    Side side;
    if (said.address.size() != side.address.size() || said.port <= 0 || said.port > UINT16_MAX) return std::nullopt;
    std::memcpy(side.address.data(), said.address.data(), side.address.size());
    side.port = static_cast<uint16_t>(said.port);
    return side;
}

/// Thrift's protocol over the bytes of one frame.
struct Frame {
    explicit Frame(const std::string &content = {})
        : buffer(std::make_shared<apache::thrift::transport::TMemoryBuffer>(
              std::make_shared<apache::thrift::TConfiguration>(static_cast<int>(Tls::kFrameMax)))),
          protocol(std::make_shared<apache::thrift::protocol::TBinaryProtocol>(buffer, kStringMax, kContainerMax, true, true)) {
        buffer->write(reinterpret_cast<const uint8_t *>(content.data()), static_cast<uint32_t>(content.size()));
    }
    [[nodiscard]] std::string written() const { return buffer->getBufferAsString(); }

    static constexpr int32_t kStringMax = 4096, kContainerMax = 64;

    std::shared_ptr<apache::thrift::transport::TMemoryBuffer> buffer;
    std::shared_ptr<apache::thrift::protocol::TBinaryProtocol> protocol;
};

}  // namespace sansock::control
