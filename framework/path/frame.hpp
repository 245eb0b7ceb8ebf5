// What a message says beside its bytes. It stands behind them, so that they lie at the front of the receive buffer, from which
// the reader's copy is the only one. Both ends are of one host, or agreed on byte order when they met.
#pragma once
#include <cstdint>

namespace sansock::path {

enum class FrameKind : uint32_t {
    kData = 0x6d6e7301,    ///< Bytes of the stream.
    kCredit = 0x6d6e7302,  ///< No bytes, only the counts; it is to be answered.
    kUpdate = 0x6d6e7303,  ///< The same, and it is not answered; the answer to a credit message, when nothing else is on its way.
};

struct Frame {
    FrameKind kind;
    uint32_t epoch;
    uint64_t offset;    ///< Stream offset of the first byte.
    uint64_t consumed;  ///< Bytes of the other direction that the sender's application has read.
    uint32_t posted;    ///< Receives that the sender of the frame has ever posted, this one's and earlier ones' included.
    uint32_t received;  ///< Messages that it has ever received.
    uint32_t size;      ///< Bytes of the stream in this message.
    uint32_t window;    ///< The most bytes that it keeps until they are consumed; 0: fewer, for it finds no buffers.
};
static_assert(sizeof(Frame) == 40);

}  // namespace sansock::path
