// The direction in: a stream of bytes becomes messages, in the memory that was lent for them.
//
// What a call reads goes straight there as far as the length of a message is known; what is behind it goes into a small buffer, from which
// the next lengths, and messages that are small, are taken without a call of their own. Messages that find no receive wait in the kernel,
// but for what happens to be in that buffer.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "sender.hpp"
#include "socket.hpp"

namespace sansock::portable {

class Receiver {
public:
    enum class Result {
        nothing,   ///< Now; or what is there waits for a receive.
        done,      ///< length() bytes have been laid down.
        too_long,  ///< For the receive.
        lied,      ///< No correct peer sends that.
        ended,     ///< status() says how.
    };

    /// `message_bytes_max` is the longest that the peer says it sends.
    void open(Socket socket, std::uint64_t message_bytes_max) noexcept;
    [[nodiscard]] const Socket &socket() const noexcept { return socket_; }

    /// Something may have come. `is_end`: the last of it.
    void look(bool is_end = false) noexcept;
    /// The next message, into the oldest receive, or nullptr when none is posted: the same one until the message is done.
    [[nodiscard]] Result next(const Request *into) noexcept;

    /// Something is here, or at the kernel, and next() was called without a receive to put it into.
    [[nodiscard]] bool has_more() const noexcept { return may_read_ || begin_ != end_; }
    [[nodiscard]] std::uint64_t length() const noexcept { return length_; }
    [[nodiscard]] std::int32_t status() const noexcept { return status_; }

private:
    void lay_down(const Request &into) noexcept;
    [[nodiscard]] bool read(const Request *into) noexcept;
    [[nodiscard]] std::size_t staged() const noexcept { return end_ - begin_; }

    Socket socket_;
    std::uint64_t message_bytes_max_ = 0;
    bool may_read_ = false;
    bool is_end_ = false;  ///< What is read now may be followed by the end, of which nobody tells again.
    bool has_ended_ = false;
    bool in_message_ = false;  ///< Its length is known and its receive begun.
    std::uint64_t length_ = 0;
    std::uint64_t filled_ = 0;
    std::int32_t status_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::array<std::byte, 8192> buffer_;
};

}  // namespace sansock::portable
