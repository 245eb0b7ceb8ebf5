#include "control/where.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>

namespace sansock::control {

Result<Where> Where::parse(const std::string &text) {
    const auto wrong =
        fail(EINVAL, fmt::format("\"{}\" is no address and port; allowed: as 127.0.0.1:9470 or [::1]:9470", text.substr(0, 80)));
    const size_t colon = text.rfind(':');
    if (colon == std::string::npos) return wrong;
    Where where{.host = text.substr(0, colon)};
    const char *const end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data() + colon + 1, end, where.port);
    if (error != std::errc() || stopped != end) return wrong;
    if (where.host.size() > 2 && where.host.front() == '[' && where.host.back() == ']') {
        where.host = where.host.substr(1, where.host.size() - 2);
        where.family = AF_INET6;
    }
    in6_addr address;
    if (inet_pton(where.family, where.host.c_str(), &address) != 1) return wrong;
    return where;
}

std::string Where::text() const { return family == AF_INET6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port); }

Result<UniqueFd> Where::listen() const {
    UniqueFd listener(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int yes = 1, no = 0;
    sockaddr_storage address{};
    socklen_t size = sizeof(sockaddr_in);
    if (family == AF_INET) {
        auto *const v4 = reinterpret_cast<sockaddr_in *>(&address);
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        inet_pton(AF_INET, host.c_str(), &v4->sin_addr);
    } else {
        auto *const v6 = reinterpret_cast<sockaddr_in6 *>(&address);
        size = sizeof *v6;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr);
        if (listener) setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    }
    if (!listener || setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener.get(), reinterpret_cast<sockaddr *>(&address), size) != 0 || ::listen(listener.get(), SOMAXCONN) != 0)
        return fail_errno(fmt::format("cannot listen at {}", text()));
    return listener;
}

socklen_t to_sockaddr(const config::Address &address, uint16_t port, sockaddr_storage &to) {
    to = {};
    if (!address.is_v6) {
        auto *const v4 = reinterpret_cast<sockaddr_in *>(&to);
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        std::memcpy(&v4->sin_addr, address.bytes.data(), sizeof v4->sin_addr);
        return sizeof *v4;
    }
    auto *const v6 = reinterpret_cast<sockaddr_in6 *>(&to);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    std::memcpy(&v6->sin6_addr, address.bytes.data(), sizeof v6->sin6_addr);
    return sizeof *v6;
}

}  // namespace sansock::control
