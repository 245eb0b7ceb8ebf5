// Numbers on the wire: unsigned, most significant byte first.
#pragma once
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace samples {

template <std::unsigned_integral T>
T network_order(T value) {
    if constexpr (std::endian::native == std::endian::little) value = std::byteswap(value);
    return value;
}

template <std::unsigned_integral T>
void append(std::vector<std::byte> &out, T value) {
    value = network_order(value);
    const auto bytes = std::as_bytes(std::span(&value, 1));
    out.insert(out.end(), bytes.begin(), bytes.end());
}

/// Takes a number from the front of `in`, which must hold one.
template <std::unsigned_integral T>
T take(std::span<const std::byte> &in) {
    T value;
    std::memcpy(&value, in.data(), sizeof value);
    in = in.subspan(sizeof value);
    return network_order(value);
}

}  // namespace samples
