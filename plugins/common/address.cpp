#include "address.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <sansock/sdk/cpp/failure.hpp>

namespace sansock::plugins {
namespace {

constexpr std::size_t kMappedPrefix = 12;  ///< Before the four bytes of IPv4: ten zeros, two of 0xff.

Address mapped(const in_addr &four) noexcept {
    Address address{};
    address[10] = address[11] = 0xff;
    std::memcpy(address.data() + kMappedPrefix, &four, sizeof four);
    return address;
}

std::optional<Address> of_interface(const ifaddrs &entry) noexcept {
    if (entry.ifa_addr == nullptr || (entry.ifa_flags & IFF_UP) == 0 || (entry.ifa_flags & IFF_RUNNING) == 0) return std::nullopt;
    return from_kernel(*entry.ifa_addr);
}

using Interfaces = std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)>;

Interfaces interfaces() {
    ifaddrs *list = nullptr;
    if (::getifaddrs(&list) != 0) throw sdk::Failure::from_errno("the addresses of this host");
    return {list, &::freeifaddrs};
}

}  // namespace

std::optional<Address> parse_address(const std::string &text) {
    in_addr four{};
    if (::inet_pton(AF_INET, text.c_str(), &four) == 1) return mapped(four);
    Address six;
    if (::inet_pton(AF_INET6, text.c_str(), six.data()) == 1) return six;
    return std::nullopt;
}

int family_of(const Address &address) noexcept {
    const bool is_mapped = std::all_of(address.begin(), address.begin() + 10, [](std::uint8_t byte) { return byte == 0; }) &&
                           address[10] == 0xff && address[11] == 0xff;
    return is_mapped ? AF_INET : AF_INET6;
}

bool names_a_host(const Address &address) noexcept {
    if (family_of(address) == AF_INET) {
        const std::uint8_t *four = address.data() + kMappedPrefix;
        const bool is_link_local = four[0] == 169 && four[1] == 254;
        return four[0] != 0 && four[0] < 224 && !is_link_local;  // From 224 on: multicast, then what is reserved, and broadcast.
    }
    const bool is_wildcard = std::ranges::all_of(address, [](std::uint8_t byte) { return byte == 0; });
    const bool is_link_local = address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
    return !is_wildcard && address[0] != 0xff && !is_link_local;
}

socklen_t to_kernel(const Address &address, std::uint16_t port, sockaddr_storage &into) noexcept {
    into = {};
    if (family_of(address) == AF_INET) {
        sockaddr_in four{};
        four.sin_family = AF_INET;
        four.sin_port = htons(port);
        std::memcpy(&four.sin_addr, address.data() + kMappedPrefix, sizeof four.sin_addr);
        std::memcpy(&into, &four, sizeof four);
        return sizeof four;
    }
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    std::memcpy(&six.sin6_addr, address.data(), sizeof six.sin6_addr);
    std::memcpy(&into, &six, sizeof six);
    return sizeof six;
}

std::string text_of(const Address &address) {
    char text[INET6_ADDRSTRLEN] = "";
    const int family = family_of(address);
    (void)::inet_ntop(family, address.data() + (family == AF_INET ? kMappedPrefix : 0), text, sizeof text);
    return text;
}

std::optional<Address> from_kernel(const sockaddr &from) noexcept {
    if (from.sa_family == AF_INET) {
        sockaddr_in four;
        std::memcpy(&four, &from, sizeof four);
        return mapped(four.sin_addr);
    }
    if (from.sa_family != AF_INET6) return std::nullopt;
    sockaddr_in6 six;
    std::memcpy(&six, &from, sizeof six);
    Address address;
    std::memcpy(address.data(), &six.sin6_addr, sizeof address);
    return address;
}

std::string interface_of(const Address &address) {
    const Interfaces list = interfaces();
    for (const ifaddrs *entry = list.get(); entry != nullptr; entry = entry->ifa_next) {
        if (entry->ifa_addr != nullptr && from_kernel(*entry->ifa_addr) == address) return entry->ifa_name;
    }
    return {};
}

std::vector<Address> addresses_of_host(bool with_six, std::size_t count_max) {
    const Interfaces list = interfaces();
    std::vector<Address> addresses;
    for (const bool loopback : {false, true}) {
        for (const ifaddrs *entry = list.get(); entry != nullptr && addresses.size() < count_max; entry = entry->ifa_next) {
            if (((entry->ifa_flags & IFF_LOOPBACK) != 0) != loopback) continue;
            const std::optional<Address> address = of_interface(*entry);
            if (!address || !names_a_host(*address) || (!with_six && family_of(*address) != AF_INET)) continue;
            if (std::ranges::find(addresses, *address) == addresses.end()) addresses.push_back(*address);
        }
    }
    return addresses;
}

}  // namespace sansock::plugins
