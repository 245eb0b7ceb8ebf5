// Splitmix64 (Steele, Lea, Flood, 2014): a generator of which any seed is good, so that contents can be derived from
// where they belong and need not be kept in order to be verified.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace samples {

class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }

    /// Below `limit`, which must not be 0. The bias, limit / 2^64, does not matter to a sample.
    std::uint64_t below(std::uint64_t limit) { return next() % limit; }

    void fill(std::span<std::byte> bytes) {
        while (!bytes.empty()) {
            const std::uint64_t word = next();
            const std::size_t size = bytes.size() < sizeof word ? bytes.size() : sizeof word;
            std::memcpy(bytes.data(), &word, size);
            bytes = bytes.subspan(size);
        }
    }

private:
    std::uint64_t state_;
};

}  // namespace samples
