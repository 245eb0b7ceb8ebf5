#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sansock::parity {

/// An endless stream of bytes that depends on the seed and on the position alone, so that both ends can make it and
/// a byte that is lost, repeated or exchanged with another is seen at once.
class Pattern {
public:
    explicit Pattern(std::uint64_t seed) : seed_(seed) {}

    void fill(void *to, std::size_t count) {
        auto *bytes = static_cast<unsigned char *>(to);
        for (std::size_t i = 0; i < count; ++i) bytes[i] = next();
    }

    [[nodiscard]] bool matches(const void *from, std::size_t count) {
        const auto *bytes = static_cast<const unsigned char *>(from);
        bool same = true;
        for (std::size_t i = 0; i < count; ++i) same &= bytes[i] == next();
        return same;
    }

private:
    unsigned char next() {
        if (position_ % sizeof word_ == 0) word_ = mixed(seed_ + position_ / sizeof word_);
        return static_cast<unsigned char>(word_ >> (8 * (position_++ % sizeof word_)));
    }

    /// The finishing step of the splitmix64 generator: neighbouring inputs give unrelated outputs.
    static std::uint64_t mixed(std::uint64_t x) {
        x += 0x9e3779b97f4a7c15u;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        return x ^ (x >> 31);
    }

    std::uint64_t seed_;
    std::uint64_t position_ = 0;
    std::uint64_t word_ = 0;
};

}  // namespace sansock::parity
