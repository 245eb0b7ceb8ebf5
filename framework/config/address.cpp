#include "config/address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace sansock::config {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_mapped_v4(const Address &address) {
    return address.is_v6 && std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), address.bytes.begin());
}

Address unmapped(const Address &address) {
    if (!is_mapped_v4(address)) return address;
    Address v4;
    std::copy(address.bytes.begin() + kMappedPrefix.size(), address.bytes.end(), v4.bytes.begin());
    return v4;
}

/// As parse(), but an IPv4 address inside IPv6 stays IPv6, so that a prefix length still counts from its front.
std::optional<Address> parse_as_written(std::string_view text) {
    const std::string terminated(text);
    Address address;
    if (inet_pton(AF_INET, terminated.c_str(), address.bytes.data()) == 1) return address;
    address.is_v6 = true;
    if (inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
    return std::nullopt;
}

Address masked(Address address, int prefix) {
    for (int bit = prefix; bit < address.bits(); ++bit) address.bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80u >> bit % 8));
    return address;
}

/// A whole decimal number without sign, or nothing.
template <class T>
std::optional<T> parse_number(std::string_view text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

std::optional<Address> Address::parse(std::string_view text) {
    const auto written = parse_as_written(text);
    return written ? std::optional(unmapped(*written)) : std::nullopt;
}

std::string Address::text() const {
    char buffer[INET6_ADDRSTRLEN];
    return inet_ntop(is_v6 ? AF_INET6 : AF_INET, bytes.data(), buffer, sizeof buffer);
}

std::optional<Endpoint> Endpoint::from(const sockaddr *name, socklen_t length) {
    if (name == nullptr || length < sizeof(sa_family_t)) return std::nullopt;
    Endpoint endpoint;
    if (name->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
        sockaddr_in in;
        std::memcpy(&in, name, sizeof in);
        std::memcpy(endpoint.address.bytes.data(), &in.sin_addr, sizeof in.sin_addr);
        endpoint.port = ntohs(in.sin_port);
        return endpoint;
    }
    if (name->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
        sockaddr_in6 in;
        std::memcpy(&in, name, sizeof in);
        endpoint.address.is_v6 = true;
        std::memcpy(endpoint.address.bytes.data(), &in.sin6_addr, sizeof in.sin6_addr);
        endpoint.address = unmapped(endpoint.address);
        endpoint.port = ntohs(in.sin6_port);
        return endpoint;
    }
    return std::nullopt;
}

std::expected<Subnet, std::string> Subnet::parse(std::string_view text) {
    const auto slash = text.find('/');
    const auto address = parse_as_written(text.substr(0, slash));
    if (!address) return std::unexpected(fmt::format("\"{}\" is not an IP address or subnet", text));

    Subnet subnet{*address, address->bits()};
    if (slash != std::string_view::npos) {
        const auto prefix = parse_number<int>(text.substr(slash + 1));
        if (!prefix || *prefix < 0 || *prefix > address->bits())
            return std::unexpected(fmt::format("\"{}\" has a bad prefix length (0 to {})", text, address->bits()));
        subnet.prefix = *prefix;
    }
    const Address base = masked(*address, subnet.prefix);
    if (base != *address) {
        return std::unexpected(
            fmt::format("\"{}\" has bits behind its prefix (did you mean \"{}/{}\"?)", text, base.text(), subnet.prefix));
    }
    constexpr int kMappedBits = 8 * kMappedPrefix.size();
    if (is_mapped_v4(base) && subnet.prefix >= kMappedBits) return Subnet{unmapped(base), subnet.prefix - kMappedBits};
    return subnet;
}

bool Subnet::contains(const Address &address) const { return address.is_v6 == base.is_v6 && masked(address, prefix) == base; }

std::string Subnet::text() const { return fmt::format("{}/{}", base.text(), prefix); }

std::expected<PortRange, std::string> PortRange::parse(std::string_view text) {
    const auto dash = text.find('-');
    const auto first = parse_number<std::uint16_t>(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_number<std::uint16_t>(text.substr(dash + 1));
    if (!first || !last || *first == 0 || *last == 0) return std::unexpected(fmt::format("\"{}\" is not a port or port range", text));
    if (*first > *last) return std::unexpected(fmt::format("\"{}\" runs backwards (did you mean \"{}-{}\"?)", text, *last, *first));
    return PortRange{*first, *last};
}

}  // namespace sansock::config
