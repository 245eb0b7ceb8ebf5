#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <csignal>
#include <cstring>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

void show(Case &t, const char *label, int fd, unsigned long request) {
    int value = -1;
    Outcome outcome = Outcome::of(ioctl(fd, request, &value));
    if (outcome.result == 0) outcome.result = value;
    t.outcome(label, outcome);
}

}  // namespace

// ioctl and fcntl on a connection.
Subject controls() {
    Subject cases{"controls"};
    cases.add("unread_bytes", [](Case &t) {
        const auto c = t.connect();
        show(t, "FIONREAD of nothing", c.fd, FIONREAD);
        c.peer.send("0123456789");
        t.await(c.fd, POLLIN);
        show(t, "FIONREAD", c.fd, FIONREAD);
        show(t, "SIOCINQ", c.fd, SIOCINQ);
        char buffer[4];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        show(t, "FIONREAD of the rest", c.fd, FIONREAD);
        t.data("peek", recv(c.fd, buffer, sizeof buffer, MSG_PEEK), buffer);
        show(t, "FIONREAD after a peek", c.fd, FIONREAD);
    });

    cases.add("unread_bytes_at_the_end", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abc");
        c.peer.shutdown(SHUT_WR);
        t.await(c.fd, POLLRDHUP);
        show(t, "FIONREAD", c.fd, FIONREAD);
        t.outcome("recv", receive_to_end(c.fd));
        show(t, "FIONREAD", c.fd, FIONREAD);
    });

    cases.add("unread_bytes_of_a_large_send", [](Case &t) {
        const auto c = t.connect();
        t.outcome("peer", c.peer.send_pattern(50'000, 1));
        t.await_unread(c.fd, 50'000);
        t.outcome("recv", receive_pattern(c.fd, 20'000, 1));
        show(t, "FIONREAD", c.fd, FIONREAD);
    });

    cases.add("unsent_bytes", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "abc", 3, 0));
        int left = -1;
        t.await("an empty send queue", [&] { return ioctl(c.fd, SIOCOUTQ, &left) == 0 && left == 0; });
        show(t, "SIOCOUTQ", c.fd, SIOCOUTQ);
        show(t, "TIOCOUTQ", c.fd, TIOCOUTQ);
        show(t, "SIOCOUTQNSD", c.fd, SIOCOUTQNSD);
    });

    cases.add("unsent_bytes_of_a_full_queue", [](Case &t) {
        const auto c = t.connect();
        const std::size_t sent = fill(c.fd, 1);
        int left = -1;
        t.value("SIOCOUTQ", ioctl(c.fd, SIOCOUTQ, &left));
        t.yes_no("some are left", left > 0 && static_cast<std::size_t>(left) <= sent);
        t.yes_no("the peer read all", c.peer.receive_pattern(sent, 1).result == static_cast<long>(sent));
        t.await("an empty send queue", [&] { return ioctl(c.fd, SIOCOUTQ, &left) == 0 && left == 0; });
    });

    cases.add("nonblocking_by_ioctl", [](Case &t) {
        const auto c = t.connect();
        char byte;
        int on = 1;
        t.value("FIONBIO on", ioctl(c.fd, FIONBIO, &on));
        t.yes_no("O_NONBLOCK", (fcntl(c.fd, F_GETFL) & O_NONBLOCK) != 0);
        t.value("recv", recv(c.fd, &byte, 1, 0));
        on = 0;
        t.value("FIONBIO off", ioctl(c.fd, FIONBIO, &on));
        t.yes_no("O_NONBLOCK", (fcntl(c.fd, F_GETFL) & O_NONBLOCK) != 0);
        set_timeout(c.fd, SO_RCVTIMEO, 30);
        t.value("recv", recv(c.fd, &byte, 1, 0));
    });

    cases.add("nonblocking_by_fcntl", [](Case &t) {
        const auto c = t.connect();
        char byte;
        t.value("F_SETFL", fcntl(c.fd, F_SETFL, O_NONBLOCK));
        t.value("recv", recv(c.fd, &byte, 1, 0));
        t.value("flags", fcntl(c.fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND));
        t.value("F_SETFL", fcntl(c.fd, F_SETFL, 0));
        c.peer.send("x");
        t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
    });

    cases.add("close_on_exec", [](Case &t) {
        const auto c = t.connect();
        t.value("FIONCLEX", ioctl(c.fd, FIONCLEX));
        t.value("F_GETFD", fcntl(c.fd, F_GETFD));
        t.value("FIOCLEX", ioctl(c.fd, FIOCLEX));
        t.value("F_GETFD", fcntl(c.fd, F_GETFD));
        t.value("F_SETFD", fcntl(c.fd, F_SETFD, 0));
        t.value("F_GETFD", fcntl(c.fd, F_GETFD));
    });

    cases.add("not_a_terminal", [](Case &t) {
        const auto c = t.connect();
        termios terminal{};
        winsize window{};
        t.value("tcgetattr", tcgetattr(c.fd, &terminal));
        t.value("TIOCGWINSZ", ioctl(c.fd, TIOCGWINSZ, &window));
        t.value("ttyname", ttyname(c.fd) == nullptr ? -1 : 0);
        t.value("tcgetpgrp", tcgetpgrp(c.fd));
        t.value("tcdrain", tcdrain(c.fd));
    });

    cases.add("unknown_requests", [](Case &t) {
        const auto c = t.connect();
        show(t, "ioctl", c.fd, 0xabcdef);
        t.value("fcntl", fcntl(c.fd, 9999, 0));
        t.value("F_SETPIPE_SZ", fcntl(c.fd, F_SETPIPE_SZ, 65536));
        t.value("bad pointer", ioctl(c.fd, FIONREAD, reinterpret_cast<int *>(8)));
        c.peer.send("on");
        char buffer[4];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("requests_about_other_things", [](Case &t) {
        const auto c = t.connect();
        ifreq interface {};
        std::strcpy(interface.ifr_name, "lo");
        t.value("SIOCGIFFLAGS", ioctl(c.fd, SIOCGIFFLAGS, &interface));
        t.value("FIOCLEX", ioctl(c.fd, FIOCLEX));
        t.value("F_GETFD", fcntl(c.fd, F_GETFD));
        show(t, "SIOCOUTQNSD", c.fd, SIOCOUTQNSD);
        c.peer.send("on");
        char buffer[4];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("urgent_mark", [](Case &t) {
        const auto c = t.connect();
        show(t, "SIOCATMARK", c.fd, SIOCATMARK);
    });

    cases.add("owner", [](Case &t) {
        const auto c = t.connect();
        t.value("F_GETOWN", fcntl(c.fd, F_GETOWN));
        t.value("F_SETOWN", fcntl(c.fd, F_SETOWN, getpid()));
        t.yes_no("it is us", fcntl(c.fd, F_GETOWN) == getpid());
        int owner = 0;
        t.value("SIOCGPGRP", ioctl(c.fd, SIOCGPGRP, &owner));
        t.yes_no("it is us", owner == getpid());
    });

    cases.add("signal_on_arrival", [](Case &t) {
        const auto c = t.connect();
        handle(SIGIO, SA_RESTART);
        t.value("F_SETOWN", fcntl(c.fd, F_SETOWN, getpid()));
        t.value("F_SETFL", fcntl(c.fd, F_SETFL, O_ASYNC | O_NONBLOCK));
        t.yes_no("O_ASYNC", (fcntl(c.fd, F_GETFL) & O_ASYNC) != 0);
        c.peer.send("news");
        t.await("SIGIO", [] { return handled() > 0; });
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("signal_on_arrival_by_ioctl", [](Case &t) {
        const auto c = t.connect();
        handle(SIGIO, SA_RESTART);
        int on = 1;
        t.value("F_SETOWN", fcntl(c.fd, F_SETOWN, getpid()));
        t.value("FIOASYNC", ioctl(c.fd, FIOASYNC, &on));
        c.peer.send("news");
        t.await("SIGIO", [] { return handled() > 0; });
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });
    return cases;
}

}  // namespace sansock::parity
