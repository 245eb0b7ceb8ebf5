// The direction out: messages wait here until the kernel has taken them, several to a call, straight from the memory that they were lent
// in.
#pragma once
#include <cstdint>
#include <sansock/sdk/cpp/request.hpp>
#include <sansock/sdk/cpp/ring.hpp>

#include "socket.hpp"

namespace sansock::portable {

inline constexpr std::uint32_t kSliceCountMax = 8;
inline constexpr std::uint32_t kInlineBytesMax = 128;
using Request = sdk::Request<kSliceCountMax, kInlineBytesMax>;

class Sender {
public:
    explicit Sender(std::uint32_t depth) : waiting_(depth), sent_(depth) {}

    void open(Socket socket) noexcept { socket_ = std::move(socket); }
    [[nodiscard]] const Socket &socket() const noexcept { return socket_; }

    /// A request that was found good. Not more than `depth` are here before their tokens are taken.
    void post(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t length, std::uint64_t token) noexcept;
    /// There may be room at the kernel again.
    void look() noexcept { is_blocked_ = false; }
    /// Gives the kernel what it takes. True when some message has gone.
    bool push() noexcept;

    /// Messages that the kernel has taken, and those that wait: in the order in which they were posted.
    [[nodiscard]] sdk::Ring<std::uint64_t> &sent() noexcept { return sent_; }
    [[nodiscard]] sdk::Ring<Request> &waiting() noexcept { return waiting_; }

    /// Nothing goes out any more. Why comes from the other direction, which may have messages from before.
    [[nodiscard]] bool is_broken() const noexcept { return is_broken_; }
    void break_off() noexcept { is_broken_ = true; }
    [[nodiscard]] std::uint64_t bytes_sent() const noexcept { return bytes_sent_; }

private:
    void took(std::size_t bytes) noexcept;

    Socket socket_;
    sdk::Ring<Request> waiting_;
    sdk::Ring<std::uint64_t> sent_;  ///< Tokens.
    std::size_t taken_ = 0;          ///< Of the first that waits, its header included.
    bool is_blocked_ = false;
    bool is_broken_ = false;
    std::uint64_t bytes_sent_ = 0;
};

}  // namespace sansock::portable
