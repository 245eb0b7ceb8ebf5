// A stream whose every byte is known by its offset.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace sansock::hostile {

inline constexpr size_t kPatternPeriod = 1 << 20;

inline const std::vector<unsigned char> &pattern() {
    static const std::vector<unsigned char> made = [] {
        std::vector<unsigned char> bytes(kPatternPeriod);
        for (size_t i = 0; i < kPatternPeriod; ++i) bytes[i] = static_cast<unsigned char>((i * 2654435761u) >> 13);
        return bytes;
    }();
    return made;
}

/// The bytes from `offset` on: at most `size`, and as far as they lie together.
inline std::span<const unsigned char> pattern_at(uint64_t offset, size_t size) {
    const size_t from = offset % kPatternPeriod;
    return {pattern().data() + from, std::min(size, kPatternPeriod - from)};
}

/// Whether these are the stream's bytes from `offset` on.
inline bool pattern_is(const unsigned char *data, size_t size, uint64_t offset) {
    for (size_t done = 0; done < size;) {
        const auto run = pattern_at(offset + done, size - done);
        if (std::memcmp(data + done, run.data(), run.size()) != 0) return false;
        done += run.size();
    }
    return true;
}

}  // namespace sansock::hostile
