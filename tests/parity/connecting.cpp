#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/un.h>

#include <string>
#include <thread>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

int pending_error(int fd) {
    int error = -1;
    socklen_t length = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : -1;
}

void exchange(Case &t, int one, int other) {
    t.warm(one, other);
    char buffer[8];
    t.value("send", send(one, "there", 5, 0));
    t.data("recv", recv(other, buffer, sizeof buffer, 0), buffer);
    t.value("send", send(other, "back", 4, 0));
    t.data("recv", recv(one, buffer, sizeof buffer, 0), buffer);
}

}  // namespace

// How connections come about: connect and accept in all their moods.
Subject connecting() {
    Subject cases{"connecting"};
    cases.add("connect_twice", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const Address address = Address::loopback(AF_INET, local_port(listener));
        const int fd = new_socket(AF_INET);
        t.value("connect", connect(fd, address.get(), address.length));
        t.value("connect again", connect(fd, address.get(), address.length));
        exchange(t, fd, accept(listener, nullptr, nullptr));
        t.value("connect again", connect(fd, address.get(), address.length));
    });

    cases.add("connect_without_waiting", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const Address address = Address::loopback(AF_INET, local_port(listener));
        const int fd = new_socket(AF_INET);
        set_nonblocking(fd, true);
        t.value("connect", connect(fd, address.get(), address.length));
        t.await(fd, POLLOUT);
        t.value("SO_ERROR", pending_error(fd));
        t.value("connect as a question", connect(fd, address.get(), address.length));
        t.value("connect again", connect(fd, address.get(), address.length));
        set_nonblocking(fd, false);
        exchange(t, fd, accept(listener, nullptr, nullptr));
    });

    cases.add("connect_and_wait_by_epoll", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const Address address = Address::loopback(AF_INET, local_port(listener));
        const int fd = new_socket(AF_INET);
        set_nonblocking(fd, true);
        const int set = must("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
        epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {}};
        t.value("ADD", epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
        int ready = epoll_wait(set, &event, 1, 0);
        t.events("before connect", ready, event.events);
        t.value("connect", connect(fd, address.get(), address.length));
        ready = epoll_wait(set, &event, 1, -1);
        t.events("after connect", ready, event.events);
        t.value("SO_ERROR", pending_error(fd));
        set_nonblocking(fd, false);
        const int accepted = accept(listener, nullptr, nullptr);
        exchange(t, fd, accepted);
        while (epoll_wait(set, &event, 1, 0) > 0) {
        }
        send_all(accepted, "x", 1);
        ready = epoll_wait(set, &event, 1, -1);
        t.events("arrival", ready, event.events);
    });

    cases.add("refused", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const Address address = Address::loopback(AF_INET, local_port(listener));
        close(listener);
        const int fd = new_socket(AF_INET);
        t.value("connect", connect(fd, address.get(), address.length));
        t.value("send", send(fd, "x", 1, MSG_NOSIGNAL));
    });

    cases.add("refused_without_waiting", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const Address address = Address::loopback(AF_INET, local_port(listener));
        close(listener);
        const int fd = new_socket(AF_INET);
        set_nonblocking(fd, true);
        t.value("connect", connect(fd, address.get(), address.length));
        t.await(fd, POLLOUT);
        pollfd entry{.fd = fd, .events = POLLOUT};
        const int ready = poll(&entry, 1, 0);
        t.events("poll", ready, static_cast<unsigned>(entry.revents));
        t.says("SO_ERROR", errno_name(pending_error(fd)));
    });

    cases.add("calls_before_connect", [](Case &t) {
        const int fd = new_socket(AF_INET);
        char byte;
        Address address;
        t.value("recv", recv(fd, &byte, 1, 0));
        t.value("send", send(fd, "x", 1, MSG_NOSIGNAL));
        t.value("shutdown", shutdown(fd, SHUT_WR));
        t.value("getpeername", getpeername(fd, address.get(), &address.length));
        t.value("accept", accept(fd, nullptr, nullptr));
        pollfd entry{.fd = fd, .events = POLLIN | POLLOUT};
        const int ready = poll(&entry, 1, 0);
        t.events("poll", ready, static_cast<unsigned>(entry.revents));
    });

    cases.add("accept_until_there_are_no_more", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        set_nonblocking(listener, true);
        t.value("accept", accept(listener, nullptr, nullptr));
        int ours[3], theirs[3];
        for (int &fd : ours) fd = connected_to(AF_INET, local_port(listener));
        for (int &fd : theirs) {
            t.await(listener, POLLIN);
            fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
            t.yes_no("accepted", fd >= 0);
        }
        t.value("accept", accept(listener, nullptr, nullptr));
        exchange(t, ours[2], theirs[2]);
    });

    cases.add("flags_of_accepted_sockets", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        set_nonblocking(listener, true);
        const int one = connected_to(AF_INET, local_port(listener)), two = connected_to(AF_INET, local_port(listener));
        const int plain = accept(listener, nullptr, nullptr);
        t.yes_no("O_NONBLOCK is not inherited", (fcntl(plain, F_GETFL) & O_NONBLOCK) == 0);
        t.value("FD_CLOEXEC is not inherited", fcntl(plain, F_GETFD));
        const int flagged = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        t.yes_no("SOCK_NONBLOCK", (fcntl(flagged, F_GETFL) & O_NONBLOCK) != 0);
        t.value("SOCK_CLOEXEC", fcntl(flagged, F_GETFD));
        char byte;
        t.value("recv", recv(flagged, &byte, 1, 0));
        t.value("accept4 with unknown flags", accept4(listener, nullptr, nullptr, 1));
        exchange(t, one, plain);
        close(two);
    });

    cases.add("addresses_of_both_ends", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const int fd = connected_to(AF_INET, local_port(listener));
        Address from, own, other;
        const int accepted = accept(listener, from.get(), &from.length);
        t.value("length", from.length);
        getsockname(fd, own.get(), &own.length);
        getpeername(accepted, other.get(), &other.length);
        t.yes_no("accept names the other end", from.port() == own.port() && other.port() == own.port());
        exchange(t, fd, accepted);
        t.yes_no("the port stays", local_port(fd) == own.port());
    });

    cases.add("inherited_options", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const int on = 1;
        t.value("SO_KEEPALIVE", setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on));
        t.value("TCP_NODELAY", setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
        const int fd = connected_to(AF_INET, local_port(listener));
        const int accepted = accept(listener, nullptr, nullptr);
        exchange(t, fd, accepted);
        int value = 0;
        socklen_t length = sizeof value;
        getsockopt(accepted, SOL_SOCKET, SO_KEEPALIVE, &value, &length);
        t.value("SO_KEEPALIVE of the accepted", value);
        getsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &value, &length);
        t.value("TCP_NODELAY of the accepted", value);
    });

    cases.add("bytes_before_accept", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const int fd = connected_to(AF_INET, local_port(listener));
        t.value("send", send(fd, "early", 5, 0));
        const int accepted = accept(listener, nullptr, nullptr);
        char buffer[8];
        t.data("recv", recv(accepted, buffer, sizeof buffer, 0), buffer);
        exchange(t, fd, accepted);
    });

    cases.add("closed_before_accept", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const int fd = connected_to(AF_INET, local_port(listener));
        t.value("send", send(fd, "farewell", 8, 0));
        t.value("close", close(fd));
        const int accepted = accept(listener, nullptr, nullptr);
        t.outcome("recv", receive_to_end(accepted));
    });

    cases.add("listener_closed_before_accept", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const int fd = connected_to(AF_INET, local_port(listener));
        close(listener);
        t.await(fd, POLLERR);
        char byte;
        t.value("recv", recv(fd, &byte, 1, 0));
    });

    cases.add("listener_closed_after_accept", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const int fd = connected_to(AF_INET, local_port(listener));
        const int accepted = accept(listener, nullptr, nullptr);
        close(listener);
        exchange(t, fd, accepted);
    });

    cases.add("to_itself", [](Case &t) {
        const int fd = new_socket(AF_INET);
        const Address any = Address::loopback(AF_INET, 0);
        must("bind", bind(fd, any.get(), any.length));
        const Address self = Address::loopback(AF_INET, local_port(fd));
        t.value("connect", connect(fd, self.get(), self.length));
        for (int i = 0; i < 40; ++i) {
            char buffer[8];
            if (send(fd, "self", 4, 0) != 4 || recv(fd, buffer, 4, MSG_WAITALL) != 4) die("self");
        }
        char buffer[8];
        t.value("send", send(fd, "still me", 8, 0));
        t.data("recv", recv(fd, buffer, 8, MSG_WAITALL), buffer);
        t.value("shutdown", shutdown(fd, SHUT_WR));
        t.value("recv", recv(fd, buffer, 8, 0));
    });

    cases.add("over_ipv6", [](Case &t) {
        const auto c = t.connect(AF_INET6);
        t.value("send", send(c.fd, "six", 3, 0));
        t.outcome("peer", c.peer.recv(8));
        c.peer.send("6");
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        Address name;
        t.value("getpeername", getpeername(c.fd, name.get(), &name.length));
        t.value("length", name.length);
    });

    cases.add("ipv4_through_an_ipv6_listener", [](Case &t) {
        const int listener = new_socket(AF_INET6);
        Address any = Address::loopback(AF_INET6, 0);
        reinterpret_cast<sockaddr_in6 *>(any.get())->sin6_addr = in6addr_any;
        must("bind", bind(listener, any.get(), any.length));
        must("listen", listen(listener, 8));
        const int fd = connected_to(AF_INET, local_port(listener));
        Address from;
        const int accepted = accept(listener, from.get(), &from.length);
        t.value("family of the peer's address", from.storage.ss_family);
        exchange(t, fd, accepted);
    });

    cases.add("the_same_socket_again", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const Address address = Address::loopback(AF_INET, local_port(listener));
        const int fd = new_socket(AF_INET);
        for (int i = 0; i < 3; ++i) {
            t.value("connect", connect(fd, address.get(), address.length));
            const int accepted = accept(listener, nullptr, nullptr);
            exchange(t, fd, accepted);
            const sockaddr nowhere{.sa_family = AF_UNSPEC};
            t.value("disconnect", connect(fd, &nowhere, sizeof nowhere));
            t.await(accepted, POLLERR);
            close(accepted);
        }
    });

    cases.add("calls_that_a_connection_refuses", [](Case &t) {
        const auto c = t.connect();
        const Address address = Address::loopback(AF_INET, 0);
        t.value("bind", bind(c.fd, address.get(), address.length));
        t.value("listen", listen(c.fd, 8));
        t.value("accept", accept(c.fd, nullptr, nullptr));
        t.value("send", send(c.fd, "on", 2, 0));
        t.outcome("peer", c.peer.recv(4));
    });

    cases.add("many_short_connections", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        std::thread server([&] {
            for (int i = 0; i < 200; ++i) {
                const int fd = must("accept", accept(listener, nullptr, nullptr));
                const Outcome request = receive_up_to(fd, 8);
                send_all(fd, request.bytes.data(), request.bytes.size());
                close(fd);
            }
        });
        int right = 0;
        for (int i = 0; i < 200; ++i) {
            const int fd = connected_to(AF_INET, local_port(listener));
            send_all(fd, "request!", 8);
            right += receive_to_end(fd).bytes == "request!";
            close(fd);
        }
        server.join();
        t.value("right replies", right);
    });

    cases.add("other_sockets_are_left_alone", [](Case &t) {
        int ends[2];
        char buffer[8];
        must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        t.value("unix", send(ends[0], "unix", 4, 0));
        t.data("unix", recv(ends[1], buffer, sizeof buffer, 0), buffer);
        const int udp = must("udp", socket(AF_INET, SOCK_DGRAM, 0));
        const Address any = Address::loopback(AF_INET, 0);
        must("bind", bind(udp, any.get(), any.length));
        const Address self = Address::loopback(AF_INET, local_port(udp));
        t.value("udp", sendto(udp, "datagram", 8, 0, self.get(), self.length));
        t.value("udp", recv(udp, buffer, 4, MSG_TRUNC));
    });
    return cases;
}

}  // namespace sansock::parity
