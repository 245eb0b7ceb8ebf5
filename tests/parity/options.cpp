#include <netinet/ip.h>

#include <cstring>
#include <string>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

void show(Case &t, const char *label, int fd, int level, int name) {
    int value = 0;
    socklen_t length = sizeof value;
    Outcome outcome = Outcome::of(getsockopt(fd, level, name, &value, &length));
    if (outcome.result == 0) outcome.result = value;
    t.outcome(label, outcome);
}

void set(Case &t, const char *label, int fd, int level, int name, int value) {
    t.value(label, setsockopt(fd, level, name, &value, sizeof value));
}

int tcp_state(int fd) {
    tcp_info info{};
    socklen_t length = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 ? info.tcpi_state : -1;
}

}  // namespace

// What getsockopt and setsockopt say about an established connection.
Subject options() {
    Subject cases{"options"};
    cases.add("what_it_is", [](Case &t) {
        const auto c = t.connect();
        show(t, "SO_ERROR", c.fd, SOL_SOCKET, SO_ERROR);
        show(t, "SO_TYPE", c.fd, SOL_SOCKET, SO_TYPE);
        show(t, "SO_PROTOCOL", c.fd, SOL_SOCKET, SO_PROTOCOL);
        show(t, "SO_DOMAIN", c.fd, SOL_SOCKET, SO_DOMAIN);
        show(t, "SO_ACCEPTCONN", c.fd, SOL_SOCKET, SO_ACCEPTCONN);
    });

    cases.add("switches", [](Case &t) {
        const auto c = t.connect();
        const struct {
            const char *label;
            int level, name;
        } kSwitches[] = {
            {"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE}, {"SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE},
            {"SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR}, {"SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT},
            {"SO_TIMESTAMP", SOL_SOCKET, SO_TIMESTAMP}, {"SO_ZEROCOPY", SOL_SOCKET, SO_ZEROCOPY},
            {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY},  {"TCP_CORK", IPPROTO_TCP, TCP_CORK},
        };
        for (const auto &[label, level, name] : kSwitches) {
            show(t, label, c.fd, level, name);
            set(t, "set", c.fd, level, name, 1);
            show(t, label, c.fd, level, name);
            set(t, "clear", c.fd, level, name, 0);
            show(t, label, c.fd, level, name);
        }
        t.value("send", send(c.fd, "on", 2, 0));
        t.outcome("peer", c.peer.recv(4));
    });

    cases.add("numbers", [](Case &t) {
        const auto c = t.connect();
        const struct {
            const char *label;
            int level, name, value;
        } kNumbers[] = {
            {"TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, 77},
            {"TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, 7},
            {"TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, 3},
            {"TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, 9000},
            {"SO_PRIORITY", SOL_SOCKET, SO_PRIORITY, 5},
            {"IP_TOS", IPPROTO_IP, IP_TOS, 0x10},
            {"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 3},
            {"TCP_LINGER2", IPPROTO_TCP, TCP_LINGER2, 30},
            {"SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, 50'000},
            {"SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 60'000},
            {"TCP_NOTSENT_LOWAT", IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096},
            {"IP_TTL", IPPROTO_IP, IP_TTL, 33},
        };
        for (const auto &[label, level, name, value] : kNumbers) {
            set(t, "set", c.fd, level, name, value);
            show(t, label, c.fd, level, name);
        }
        t.value("send", send(c.fd, "on", 2, 0));
        t.outcome("peer", c.peer.recv(4));
    });

    cases.add("buffer_sizes_set_before_any_byte", [](Case &t) {
        const auto c = t.connect_cold();
        set(t, "set SO_SNDBUF", c.fd, SOL_SOCKET, SO_SNDBUF, 40'000);
        set(t, "set SO_RCVBUF", c.fd, SOL_SOCKET, SO_RCVBUF, 30'000);
        t.warm(c);
        show(t, "SO_SNDBUF", c.fd, SOL_SOCKET, SO_SNDBUF);
        show(t, "SO_RCVBUF", c.fd, SOL_SOCKET, SO_RCVBUF);
        c.peer.start_exchange(1 << 20, 1, 2);
        t.outcome("exchange", exchange_patterns(c.fd, 1 << 20, 2, 1));
        t.outcome("peer", c.peer.finish());
    });

    cases.add("a_small_send_buffer_fills_early", [](Case &t) {
        const auto c = t.connect_cold();
        set(t, "set SO_SNDBUF", c.fd, SOL_SOCKET, SO_SNDBUF, 20'000);
        c.peer.set_option(SOL_SOCKET, SO_RCVBUF, 20'000);
        t.warm(c);
        const std::size_t sent = fill(c.fd, 1);
        t.yes_no("at least a little was sent", sent >= 4'000);
        t.yes_no("the peer read all of it", c.peer.receive_pattern(sent, 1).result == static_cast<long>(sent));
    });

    cases.add("zero_copy", [](Case &t) {
        const auto c = t.connect();
        const int on = 1;
        t.value("set SO_ZEROCOPY", setsockopt(c.fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on));
        const std::string bytes(100'000, 'z');
        t.value("send", send(c.fd, bytes.data(), bytes.size(), MSG_ZEROCOPY));
        t.value("peer", static_cast<long>(c.peer.receive_up_to(bytes.size()).bytes.size()));
        t.await(c.fd, POLLERR);
        char control[128];
        msghdr message{};
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        t.value("recvmsg of the notice", recvmsg(c.fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT));
        t.yes_no("it is one", CMSG_FIRSTHDR(&message) != nullptr);
    });

    cases.add("zero_copy_without_the_option", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "ordinary", 8, MSG_ZEROCOPY));
        t.outcome("peer", c.peer.recv(16));
    });

    cases.add("linger", [](Case &t) {
        const auto c = t.connect();
        linger value{.l_onoff = -1, .l_linger = -1};
        socklen_t length = sizeof value;
        t.value("SO_LINGER", getsockopt(c.fd, SOL_SOCKET, SO_LINGER, &value, &length));
        t.says("at first", std::to_string(value.l_onoff) + " " + std::to_string(value.l_linger));
        value = {.l_onoff = 1, .l_linger = 7};
        t.value("set", setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &value, sizeof value));
        value = {};
        t.value("SO_LINGER", getsockopt(c.fd, SOL_SOCKET, SO_LINGER, &value, &length));
        t.says("then", std::to_string(value.l_onoff) + " " + std::to_string(value.l_linger));
    });

    cases.add("errors", [](Case &t) {
        const auto c = t.connect();
        show(t, "unknown option", c.fd, SOL_SOCKET, 9999);
        set(t, "set unknown option", c.fd, SOL_SOCKET, 9999, 1);
        show(t, "unknown level", c.fd, 9999, 1);
        set(t, "set unknown level", c.fd, 9999, 1, 1);
        show(t, "unknown TCP option", c.fd, IPPROTO_TCP, 9999);
        char byte = 1;
        t.value("set too short", setsockopt(c.fd, SOL_SOCKET, SO_KEEPALIVE, &byte, 1));
        set(t, "SO_TYPE is not to be set", c.fd, SOL_SOCKET, SO_TYPE, 1);
        set(t, "TCP_KEEPCNT out of range", c.fd, IPPROTO_TCP, TCP_KEEPCNT, 100'000);
        set(t, "IPV6_V6ONLY of IPv4", c.fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        t.value("bad pointer", setsockopt(c.fd, SOL_SOCKET, SO_KEEPALIVE, reinterpret_cast<void *>(8), 4));
        socklen_t length = 4;
        t.value("bad pointer to get", getsockopt(c.fd, SOL_SOCKET, SO_ERROR, reinterpret_cast<void *>(8), &length));
    });

    cases.add("a_short_answer_is_cut", [](Case &t) {
        const auto c = t.connect();
        unsigned char value[4] = {0xee, 0xee, 0xee, 0xee};
        socklen_t length = 1;
        t.value("SO_TYPE", getsockopt(c.fd, SOL_SOCKET, SO_TYPE, value, &length));
        t.value("length", length);
        t.says("bytes", std::to_string(value[0]) + " " + std::to_string(value[1]));
    });

    cases.add("connection_states", [](Case &t) {
        const auto c = t.connect();
        t.value("established", tcp_state(c.fd));
        c.peer.shutdown(SHUT_WR);
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
        t.value("peer has shut down", tcp_state(c.fd));
    });

    cases.add("connection_states_from_our_end", [](Case &t) {
        const auto c = t.connect();
        shutdown(c.fd, SHUT_WR);
        t.outcome("peer", c.peer.receive_to_end());
        t.await("FIN_WAIT2", [&] { return tcp_state(c.fd) == TCP_FIN_WAIT2; });
        c.peer.reset();
        t.await(c.fd, POLLERR);
        t.value("reset", tcp_state(c.fd));
    });

    cases.add("congestion_control", [](Case &t) {
        const auto c = t.connect();
        char name[16] = {};
        socklen_t length = sizeof name;
        t.value("TCP_CONGESTION", getsockopt(c.fd, IPPROTO_TCP, TCP_CONGESTION, name, &length));
        t.yes_no("has a name", name[0] != 0);
        length = static_cast<socklen_t>(strlen(name));
        t.value("set to the same", setsockopt(c.fd, IPPROTO_TCP, TCP_CONGESTION, name, length));
        t.value("set to another", setsockopt(c.fd, IPPROTO_TCP, TCP_CONGESTION, "no-such", 7));
    });

    cases.add("cork_and_uncork", [](Case &t) {
        const auto c = t.connect();
        for (int i = 0; i < 3; ++i) {
            set(t, "cork", c.fd, IPPROTO_TCP, TCP_CORK, 1);
            t.value("send", send(c.fd, "header ", 7, 0));
            t.value("send", send(c.fd, "body", 4, 0));
            set(t, "uncork", c.fd, IPPROTO_TCP, TCP_CORK, 0);
            t.outcome("peer", c.peer.receive_up_to(11));
        }
    });

    cases.add("names", [](Case &t) {
        const auto c = t.connect();
        Address name, peer;
        t.value("getsockname", getsockname(c.fd, name.get(), &name.length));
        t.value("getpeername", getpeername(c.fd, peer.get(), &peer.length));
        t.value("family", name.storage.ss_family);
        t.value("length", peer.length);
        t.yes_no("different ports", name.port() != peer.port());
        Address cut;
        cut.length = 2;
        t.value("getpeername cut short", getpeername(c.fd, cut.get(), &cut.length));
        t.value("its length", cut.length);
    });
    return cases;
}

}  // namespace sansock::parity
