#include "receiver.hpp"

#include <endian.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "wire.hpp"

namespace sansock::portable {

void Receiver::open(Socket socket, std::uint64_t message_bytes_max) noexcept {
    socket_ = std::move(socket);
    message_bytes_max_ = message_bytes_max;
    may_read_ = true;
}

void Receiver::look(bool is_end) noexcept {
    may_read_ = true;
    is_end_ |= is_end;
}

Receiver::Result Receiver::next(const Request *into) noexcept {
    for (;;) {
        if (!in_message_ && staged() >= kHeaderBytes) {
            std::uint32_t header = 0;
            std::memcpy(&header, buffer_.data() + begin_, sizeof header);
            length_ = le32toh(header);
            if (length_ > message_bytes_max_) return Result::lied;
            if (into == nullptr) return Result::nothing;
            if (length_ > into->length) return Result::too_long;
            begin_ += kHeaderBytes;
            filled_ = 0;
            in_message_ = true;
        }
        if (in_message_) {
            lay_down(*into);
            if (filled_ == length_) {
                in_message_ = false;
                return Result::done;
            }
        }
        if (has_ended_) return Result::ended;
        if (!may_read_) return Result::nothing;
        if (!read(in_message_ ? into : nullptr) && !has_ended_) return Result::nothing;
    }
}

/// What the buffer has of the message.
void Receiver::lay_down(const Request &into) noexcept {
    std::uint64_t skip = filled_;
    for (std::uint32_t at = 0; at < into.slice_count && filled_ < length_ && staged() > 0; ++at) {
        const sansock_slice &slice = into.slices[at];
        if (skip >= slice.length) {
            skip -= slice.length;
            continue;
        }
        const std::size_t part = std::min({slice.length - skip, length_ - filled_, std::uint64_t{staged()}});
        std::memcpy(static_cast<std::byte *>(slice.address) + skip, buffer_.data() + begin_, part);
        begin_ += part;
        filled_ += part;
        skip = 0;
    }
}

/// One call. False when there was nothing. `into` is the receive that the message has begun to fill.
bool Receiver::read(const Request *into) noexcept {
    std::array<iovec, kSliceCountMax + 1> parts;
    std::size_t count = 0, asked = 0, direct = 0;
    const auto add = [&](std::byte *bytes, std::size_t length) {
        parts[count++] = {bytes, length};
        asked += length;
    };
    if (into != nullptr) {
        std::uint64_t skip = filled_;
        for (std::uint32_t at = 0; at < into->slice_count && direct < length_ - filled_; ++at) {
            const sansock_slice &slice = into->slices[at];
            if (skip >= slice.length) {
                skip -= slice.length;
                continue;
            }
            const std::size_t part = std::min(slice.length - skip, length_ - filled_ - direct);
            add(static_cast<std::byte *>(slice.address) + skip, part);
            direct += part;
            skip = 0;
        }
    }
    // At most the beginning of a header is left.
    std::memmove(buffer_.data(), buffer_.data() + begin_, staged());
    end_ = staged();
    begin_ = 0;
    add(buffer_.data() + end_, buffer_.size() - end_);
    const long got = socket_.receive(std::span(parts.data(), count));
    if (got <= 0) {
        may_read_ = false;
        has_ended_ = got == 0 || errno != EAGAIN;
        if (has_ended_) status_ = status_of(got == 0 ? 0 : errno);
        return false;
    }
    // Less than was asked for is all that there was, and of more the kernel will tell; of an end that it has told of it tells no more.
    if (static_cast<std::size_t>(got) < asked && !is_end_) may_read_ = false;
    const std::size_t laid = std::min(static_cast<std::size_t>(got), direct);
    filled_ += laid;
    end_ += static_cast<std::size_t>(got) - laid;
    return true;
}

}  // namespace sansock::portable
