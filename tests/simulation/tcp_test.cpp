// The simulated kernel against the real one: the same calls on a simulated connection and on one over loopback, the same answers.
#include "tcp.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <functional>
#include <string>
#include <thread>

#include "base/unique_fd.hpp"

namespace sansock::simulation {
namespace {

constexpr short kAll = POLLIN | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM;

std::string text_of(long answer, const char *bytes) {
    return answer < 0 ? strerrorname_np(static_cast<int>(-answer)) : "'" + std::string(bytes, static_cast<size_t>(answer)) + "'";
}

std::string text_of(short events) {
    std::string text;
    constexpr std::pair<short, const char *> kNames[] = {{POLLIN, "IN"},         {POLLRDNORM, "RDNORM"}, {POLLOUT, "OUT"},
                                                         {POLLWRNORM, "WRNORM"}, {POLLRDHUP, "RDHUP"},   {POLLHUP, "HUP"},
                                                         {POLLERR, "ERR"}};
    for (const auto &[bit, name] : kNames) {
        if ((events & bit) != 0) text += std::string(text.empty() ? "" : " ") + name;
    }
    return text;
}

/// A connection, and what its two ends were answered.
class Kernel {
public:
    virtual ~Kernel() = default;
    virtual void send(int side, const char *bytes) = 0;
    virtual void receive(int side, bool peek) = 0;
    virtual void shutdown(int side) = 0;
    virtual void close(int side, bool abort) = 0;
    virtual void disconnect(int side) = 0;
    virtual void look(int side) = 0;
    /// Everything that is on its way arrives.
    virtual void settle() = 0;
    std::string said;

protected:
    void say(int side, const std::string &what) { said += std::string(side == 0 ? "A " : "B ") + what + "\n"; }
    void say(int side, short events, size_t unread, size_t unsent) {
        say(side, "poll " + text_of(events) + ", unread " + std::to_string(unread) + ", unsent " +
                      (unsent > 1000 ? "a number at random" : std::to_string(unsent)));
    }
};

class Simulated final : public Kernel {
public:
    Simulated() { tcp_.reset(65536, 65536); }
    void send(int side, const char *bytes) override {
        const iovec part{const_cast<char *>(bytes), strlen(bytes)};
        const long answer = tcp_.send(side, &part, 1);
        say(side, "send " + text_of(answer, bytes));
        settle();
    }
    void receive(int side, bool peek) override {
        char bytes[16];
        const iovec part{bytes, sizeof bytes};
        say(side, "receive " + text_of(tcp_.receive(side, &part, 1, peek), bytes));
    }
    void shutdown(int side) override {
        say(side, "shutdown " + text_of(tcp_.shutdown_write(side), ""));
        settle();
    }
    void close(int side, bool abort) override {
        if (abort) tcp_.guard(side, true);
        tcp_.close(side);
        settle();
    }
    void disconnect(int side) override {
        tcp_.disconnect(side);
        settle();
    }
    void look(int side) override { say(side, tcp_.poll(side), tcp_.unread(side), tcp_.unsent(side)); }
    void settle() override {
        while (tcp_.deliver(0, 4096) || tcp_.deliver(1, 4096)) {
        }
    }

private:
    Tcp tcp_;
};

class Real final : public Kernel {
public:
    Real() {
        const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto *generic = reinterpret_cast<sockaddr *>(&address);
        EXPECT_EQ(bind(listener.get(), generic, size), 0);
        EXPECT_EQ(listen(listener.get(), 1), 0);
        EXPECT_EQ(getsockname(listener.get(), generic, &size), 0);
        fds_[0].reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        EXPECT_EQ(connect(fds_[0].get(), generic, size), 0);
        fds_[1].reset(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        EXPECT_GE(fds_[1].get(), 0);
    }
    void send(int side, const char *bytes) override {
        const long answer = ::send(fds_[side].get(), bytes, strlen(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
        say(side, "send " + text_of(answer < 0 ? -errno : answer, bytes));
        settle();
    }
    void receive(int side, bool peek) override {
        char bytes[16];
        const long answer = recv(fds_[side].get(), bytes, sizeof bytes, MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
        // After disconnect() the kernel has forgotten that there was a connection; the stream's environment says 0 then.
        say(side, "receive " + text_of(answer < 0 ? (errno == ENOTCONN ? 0 : -errno) : answer, bytes));
    }
    void shutdown(int side) override {
        say(side, "shutdown " + text_of(::shutdown(fds_[side].get(), SHUT_WR) < 0 ? -errno : 0, ""));
        settle();
    }
    void close(int side, bool abort) override {
        const linger option{1, 0};
        if (abort) setsockopt(fds_[side].get(), SOL_SOCKET, SO_LINGER, &option, sizeof option);
        fds_[side].reset();
        settle();
    }
    void disconnect(int side) override {
        sockaddr none{};
        none.sa_family = AF_UNSPEC;
        EXPECT_EQ(connect(fds_[side].get(), &none, sizeof none), 0);
        settle();
    }
    void look(int side) override {
        int unread = 0, unsent = 0;
        ioctl(fds_[side].get(), SIOCINQ, &unread);
        ioctl(fds_[side].get(), SIOCOUTQ, &unsent);
        say(side, events(side), static_cast<size_t>(unread), static_cast<size_t>(unsent));
    }
    /// Loopback delivers within the call, but for an acknowledgement that the receiver may hold back.
    void settle() override {
        for (const UniqueFd &fd : fds_) {
            const int on = 1;
            if (fd.get() >= 0) setsockopt(fd.get(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
        }
        for (const UniqueFd &fd : fds_) {
            int unsent = 1;
            for (int i = 0; i < 5000 && fd.get() >= 0 && ioctl(fd.get(), SIOCOUTQ, &unsent) == 0 && unsent > 0; ++i) {
                if ((poll_once(fd.get()) & (POLLERR | POLLHUP)) != 0) break;
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
        }
    }

private:
    [[nodiscard]] short events(int side) const { return poll_once(fds_[side].get()); }
    static short poll_once(int fd) {
        pollfd one{fd, kAll, 0};
        return ::poll(&one, 1, 0) == 1 ? one.revents : static_cast<short>(0);
    }
    UniqueFd fds_[2];
};

struct Situation {
    const char *name;
    std::function<void(Kernel &)> run;
    friend void PrintTo(const Situation &situation, std::ostream *out) { *out << situation.name; }
};

constexpr int kA = 0, kB = 1;

/// All that an end may ask, in an order in which one answer does not hide the next.
void ask_all(Kernel &k, int side) {
    k.look(side);
    k.receive(side, false);
    k.look(side);
    k.send(side, "late");
    k.look(side);
    k.receive(side, false);
    k.receive(side, false);
    k.send(side, "later");
    k.shutdown(side);
    k.look(side);
}

const Situation kSituations[] = {
    {"nothing", [](Kernel &k) { k.look(kA), k.receive(kA, false); }},
    {"bytes_peeked_and_read",
     [](Kernel &k) {
         k.send(kA, "bytes");
         k.look(kB), k.receive(kB, true), k.look(kB), k.receive(kB, false), k.look(kB);
     }},
    {"fin_behind_bytes",
     [](Kernel &k) {
         k.send(kA, "bytes"), k.shutdown(kA);
         k.look(kA), k.look(kB), k.receive(kB, false), k.receive(kB, false), k.look(kB), k.send(kB, "back"), ask_all(k, kA);
     }},
    {"fin_both_ways", [](Kernel &k) { k.shutdown(kA), k.shutdown(kB), ask_all(k, kA), ask_all(k, kB); }},
    {"close", [](Kernel &k) { k.close(kA, false), ask_all(k, kB); }},
    {"close_behind_bytes", [](Kernel &k) { k.send(kA, "bytes"), k.close(kA, false), ask_all(k, kB); }},
    {"close_with_input_unread", [](Kernel &k) { k.send(kB, "unread"), k.close(kA, false), ask_all(k, kB); }},
    {"close_with_input_unread_behind_bytes",
     [](Kernel &k) { k.send(kA, "bytes"), k.send(kB, "unread"), k.close(kA, false), ask_all(k, kB); }},
    {"close_that_aborts", [](Kernel &k) { k.send(kA, "bytes"), k.close(kA, true), ask_all(k, kB); }},
    {"close_after_fin_with_input_unread", [](Kernel &k) { k.shutdown(kA), k.send(kB, "unread"), k.close(kA, false), ask_all(k, kB); }},
    {"close_after_both_fins", [](Kernel &k) { k.shutdown(kA), k.shutdown(kB), k.close(kA, false), ask_all(k, kB); }},
    {"close_that_aborts_after_both_fins", [](Kernel &k) { k.shutdown(kA), k.shutdown(kB), k.close(kA, true), ask_all(k, kB); }},
    {"send_to_one_that_has_closed",
     [](Kernel &k) { k.close(kA, false), k.send(kB, "nobody"), k.look(kB), k.send(kB, "pipe"), ask_all(k, kB); }},
    {"send_to_one_that_has_closed_then_read",
     [](Kernel &k) { k.send(kA, "bytes"), k.close(kA, false), k.send(kB, "nobody"), k.look(kB), k.receive(kB, false), ask_all(k, kB); }},
    {"disconnect", [](Kernel &k) { k.disconnect(kA), ask_all(k, kA), ask_all(k, kB); }},
    {"disconnect_with_bytes_both_ways",
     [](Kernel &k) { k.send(kA, "to b"), k.send(kB, "to a"), k.disconnect(kA), ask_all(k, kA), ask_all(k, kB); }},
    {"disconnect_after_fin", [](Kernel &k) { k.shutdown(kA), k.disconnect(kA), ask_all(k, kA), ask_all(k, kB); }},
    {"disconnect_after_the_peers_fin", [](Kernel &k) { k.shutdown(kB), k.disconnect(kA), ask_all(k, kA), ask_all(k, kB); }},
    {"disconnect_after_both_fins", [](Kernel &k) { k.shutdown(kA), k.shutdown(kB), k.disconnect(kA), ask_all(k, kA), ask_all(k, kB); }},
    {"disconnect_after_both_fins_the_other_way",
     [](Kernel &k) { k.shutdown(kB), k.shutdown(kA), k.disconnect(kA), ask_all(k, kA), ask_all(k, kB); }},
    {"disconnect_of_one_that_was_reset", [](Kernel &k) { k.close(kB, true), k.disconnect(kA), ask_all(k, kA); }},
    {"disconnect_of_one_that_took_its_reset", [](Kernel &k) { k.close(kB, true), k.receive(kA, false), k.disconnect(kA), ask_all(k, kA); }},
    {"disconnect_after_a_close", [](Kernel &k) { k.close(kB, false), k.disconnect(kA), ask_all(k, kA); }},
    {"disconnect_twice", [](Kernel &k) { k.disconnect(kA), k.receive(kA, false), k.disconnect(kA), ask_all(k, kA); }},
};

class TcpTest : public testing::TestWithParam<Situation> {};

TEST_P(TcpTest, AnswersAsTheKernelDoes) {
    Simulated simulated;
    Real real;
    GetParam().run(simulated);
    GetParam().run(real);
    EXPECT_EQ(simulated.said, real.said);
}

INSTANTIATE_TEST_SUITE_P(Situations, TcpTest, testing::ValuesIn(kSituations),
                         [](const auto &each) { return std::string(each.param.name); });

}  // namespace
}  // namespace sansock::simulation
