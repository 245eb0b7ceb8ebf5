#include "sender.hpp"

#include <endian.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

#include "wire.hpp"

namespace sansock::portable {
namespace {

constexpr std::size_t kMessagesAtOnce = 32;
constexpr std::size_t kPartsPerMessage = kSliceCountMax + 1;
constexpr std::size_t kPartsMax = 96;

/// The parts of a few messages, but for the bytes that were taken before.
class Parts {
public:
    [[nodiscard]] bool has_room() const noexcept { return messages_ < kMessagesAtOnce && count_ + kPartsPerMessage <= kPartsMax; }
    [[nodiscard]] std::span<const iovec> all() const noexcept { return {parts_.data(), count_}; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    void add(const Request &message, std::size_t taken) noexcept {
        std::uint32_t &header = headers_[messages_++] = htole32(static_cast<std::uint32_t>(message.length));
        add(&header, sizeof header, taken);
        for (std::uint32_t at = 0; at < message.slice_count; ++at) add(message.slices[at].address, message.slices[at].length, taken);
    }

private:
    void add(void *bytes, std::size_t length, std::size_t &taken) noexcept {
        if (taken >= length) {
            taken -= length;
            return;
        }
        parts_[count_++] = {static_cast<std::byte *>(bytes) + taken, length - taken};
        bytes_ += length - taken;
        taken = 0;
    }

    std::array<std::uint32_t, kMessagesAtOnce> headers_;
    std::array<iovec, kPartsMax> parts_;
    std::size_t messages_ = 0;
    std::size_t count_ = 0;
    std::size_t bytes_ = 0;
};
static_assert(sizeof(std::uint32_t) == kHeaderBytes);

}  // namespace

void Sender::post(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t length, std::uint64_t token) noexcept {
    waiting_.push().keep(slices, slice_count, length, token);
}

bool Sender::push() noexcept {
    const std::size_t before = sent_.size();
    while (!waiting_.empty() && !is_blocked_ && !is_broken_) {
        Parts parts;
        for (std::size_t at = 0; at < waiting_.size() && parts.has_room(); ++at) parts.add(waiting_[at], at == 0 ? taken_ : 0);
        const long taken = socket_.send(parts.all());
        if (taken < 0) {
            // The kernel says when there is room again only after it has refused something, or taken less than it was given.
            is_blocked_ = errno == EAGAIN;
            is_broken_ = !is_blocked_;
            break;
        }
        is_blocked_ = static_cast<std::size_t>(taken) < parts.bytes();
        took(static_cast<std::size_t>(taken));
    }
    return sent_.size() > before;
}

void Sender::took(std::size_t bytes) noexcept {
    taken_ += bytes;
    while (!waiting_.empty() && taken_ >= kHeaderBytes + waiting_.front().length) {
        taken_ -= kHeaderBytes + waiting_.front().length;
        bytes_sent_ += waiting_.front().length;
        sent_.push() = waiting_.front().token;
        waiting_.pop();
    }
}

}  // namespace sansock::portable
