// One end of a connection that does what it is told, step by step, and knows every byte by its offset; so a test can hand the socket
// to libc, to the kernel or to a stranger at the very place that it means.
//
//   hostile_steps connect|connect6 PORT STEP... | accept|accept6[=PORT] STEP...
//
//   talk=N            N round trips of 64 bytes, begun by the end that connected
//   move              the same until no byte of a few round trips in a row was the kernel's; "stays" and the end after 5 s
//   send=N            sends N bytes
//   receive=N         receives N bytes
//   bulk=N            N bytes one way and then the other, begun by the end that connected
//   ended, quiet      reads the end of the stream; finds that nothing more has come
//   half-close        shutdown(SHUT_WR)
//   pause=MS          makes no call
//   unseen-write=N    writes N bytes of the stream by a system call that no library sees
//   unseen-read=N     the same for reading
//   intrude=N         writes N bytes that are not of the stream by such a call
//   fdopen, dprintf=N, onto-stdin, pass, async, oob-inline, splice=N, ring, wish-for-ring
//                     give the socket to libc's streams, to another process, to calls of which only the kernel knows, or make a ring
//                     (`wish-for-ring`: whether or not the kernel has any)
//
// At last the end that connected closes, unless more has come than it knows of; the other one reads to the end. It says "end"; or "error
// NAME" or "wrong byte" or "early end" with the step where that was.
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/tcp.h>  // glibc's own tcp_info ends before the byte counts
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "pattern.hpp"

namespace sansock::hostile {
namespace {

constexpr size_t kMessage = 64;
constexpr int kQuietRounds = 5;
constexpr auto kMoveTime = std::chrono::seconds(5);

/// A system call of the program's own.
long unseen_call(long number, long a, const void *b, long c, void *d = nullptr, void *e = nullptr) {
    long result = number;
    register void *r10 asm("r10") = d;
    register void *r8 asm("r8") = e;
    asm volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
    return result;
}

/// What went over the kernel's TCP, both ways.
uint64_t kernel_bytes(int fd) {
    tcp_info info{};
    unsigned size = sizeof info;
    unseen_call(SYS_getsockopt, fd, reinterpret_cast<void *>(static_cast<long>(IPPROTO_TCP)), TCP_INFO, &info, &size);
    return info.tcpi_bytes_sent + info.tcpi_bytes_received;
}

/// False: the kernel has none.
bool make_ring() {
    io_uring_params parameters{};
    const long ring = syscall(SYS_io_uring_setup, 4, &parameters);
    if (ring < 0) return false;
    mmap(nullptr, parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned), PROT_READ | PROT_WRITE, MAP_SHARED,
         static_cast<int>(ring), IORING_OFF_SQ_RING);
    return true;
}

class End {
public:
    End(int fd, bool leads) : fd_(fd), leads_(leads) {}
    /// Nothing, or what went wrong.
    std::string run(const std::string &step) {
        const auto equals = step.find('=');
        const size_t number = equals == std::string::npos ? 0 : strtoull(step.c_str() + equals + 1, nullptr, 10);
        const std::string name = step.substr(0, equals);
        wrong_.clear();
        const bool well = done(name, number);
        return well ? "" : (wrong_.empty() ? std::string("error ") + strerrorname_np(errno) : wrong_) + " at " + step;
    }

private:
    bool done(const std::string &name, size_t number) {
        if (name == "talk") return talk(number);
        if (name == "move") return move();
        if (name == "send") return send_bytes(number);
        if (name == "receive") return receive_bytes(number);
        if (name == "bulk") return leads_ ? send_bytes(number) && receive_bytes(number) : receive_bytes(number) && send_bytes(number);
        if (name == "ended") return ended();
        if (name == "quiet") return quiet();
        if (name == "half-close") return shutdown(fd_, SHUT_WR) == 0;
        if (name == "pause") return usleep(static_cast<useconds_t>(number * 1000)) == 0;
        if (name == "unseen-write") return unseen_write(number);
        if (name == "unseen-read") return unseen_read(number);
        if (name == "intrude") return intrude(number);
        if (name == "fdopen") return fdopen(fd_, "r+") != nullptr;
        if (name == "dprintf") return print(number);
        if (name == "onto-stdin") return dup2(fd_, STDIN_FILENO) == STDIN_FILENO;
        if (name == "pass") return pass();
        if (name == "async") return asynchronous();
        if (name == "oob-inline") return oob_inline();
        if (name == "splice") return splice_bytes(number);
        if (name == "ring") return make_ring();
        if (name == "wish-for-ring") return make_ring(), true;
        return failed("no such step");
    }
    bool failed(const char *how) {
        wrong_ = how;
        return false;
    }
    bool send_bytes(size_t size) {
        for (size_t done = 0; done < size;) {
            const auto run = pattern_at(sent_, size - done);
            const ssize_t sent = ::send(fd_, run.data(), run.size(), MSG_NOSIGNAL);
            if (sent <= 0) return false;
            sent_ += static_cast<size_t>(sent);
            done += static_cast<size_t>(sent);
        }
        return true;
    }
    /// The first `free` bytes may be anything.
    bool came(const unsigned char *data, ssize_t size, size_t free = 0) {
        if (size < 0) return false;
        if (size == 0) return failed("early end");
        const size_t unchecked = std::min(free, static_cast<size_t>(size));
        if (!pattern_is(data + unchecked, static_cast<size_t>(size) - unchecked, received_ + unchecked)) return failed("wrong byte");
        received_ += static_cast<size_t>(size);
        return true;
    }
    bool receive_bytes(size_t size) {
        std::vector<unsigned char> data(std::min<size_t>(size, 64 * 1024));
        for (size_t done = 0; done < size;) {
            const ssize_t got = recv(fd_, data.data(), std::min(data.size(), size - done), 0);
            if (!came(data.data(), got)) return false;
            done += static_cast<size_t>(got);
        }
        return true;
    }
    bool talk(size_t rounds) {
        for (size_t i = 0; i < rounds; ++i) {
            if (leads_ && !send_bytes(kMessage)) return false;
            if (!receive_bytes(kMessage)) return false;
            if (!leads_ && !send_bytes(kMessage)) return false;
        }
        return true;
    }
    /// The first byte of a message says whether it is the last.
    bool send_marked(bool last) {
        unsigned char message[kMessage];
        const auto run = pattern_at(sent_, kMessage);  // messages never straddle the pattern's end before all is aligned to them
        std::copy(run.begin(), run.end(), message);
        message[0] = last;
        if (::send(fd_, message, kMessage, MSG_NOSIGNAL) != kMessage) return false;
        sent_ += kMessage;
        return true;
    }
    bool receive_marked(bool &last) {
        unsigned char message[kMessage];
        const ssize_t got = recv(fd_, message, kMessage, MSG_WAITALL);
        if (!came(message, got, 1)) return false;
        last = message[0] != 0;
        return got == kMessage || failed("early end");
    }
    bool move() {
        const auto begun = std::chrono::steady_clock::now();
        bool last = false;
        for (int quiet = 0; !last;) {
            const uint64_t before = kernel_bytes(fd_);
            const bool late = std::chrono::steady_clock::now() - begun > kMoveTime;
            const bool ours = quiet >= kQuietRounds || late;
            if (leads_ && !send_marked(ours)) return false;
            if (!receive_marked(last)) return false;
            if (!leads_ && !send_marked(last)) return false;
            if (leads_ && late) return failed("stays");
            quiet = kernel_bytes(fd_) == before ? quiet + 1 : 0;
            if (leads_ && quiet == 0) usleep(500);
        }
        return true;
    }
    bool ended() {
        unsigned char byte;
        const ssize_t got = recv(fd_, &byte, 1, 0);
        return got == 0 || (got > 0 && failed("no end"));
    }
    bool quiet() {
        unsigned char byte;
        const ssize_t got = recv(fd_, &byte, 1, MSG_DONTWAIT);
        return got == 0 || (got < 0 && errno == EAGAIN) || (got > 0 && failed("unknown byte"));
    }
    bool unseen_write(size_t size) {
        const auto run = pattern_at(sent_, size);
        errno = EIO;
        if (unseen_call(SYS_write, fd_, run.data(), static_cast<long>(run.size())) != static_cast<long>(size)) return false;
        sent_ += size;
        return true;
    }
    bool unseen_read(size_t size) {
        std::vector<unsigned char> data(size);
        for (size_t done = 0; done < size;) {
            const long got = unseen_call(SYS_read, fd_, data.data(), static_cast<long>(size - done));
            errno = static_cast<int>(-got);
            if (!came(data.data(), got)) return false;
            done += static_cast<size_t>(got);
        }
        return true;
    }
    bool intrude(size_t size) {
        const std::vector<char> bytes(size, 'X');
        errno = EIO;
        return unseen_call(SYS_write, fd_, bytes.data(), static_cast<long>(size)) == static_cast<long>(size);
    }
    bool print(size_t size) {
        std::string text;
        // No format may hold a zero.
        for (const unsigned char byte : pattern_at(sent_, size)) text += static_cast<char>(byte);
        size_t done = 0;
        for (const char byte : text) done += static_cast<size_t>(dprintf(fd_, "%c", byte));
        sent_ += done;
        return done == size;
    }
    bool pass() {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return false;
        char byte = 0;
        iovec part{&byte, 1};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        cmsghdr *entry = CMSG_FIRSTHDR(&header);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(entry), &fd_, sizeof fd_);
        const bool well = sendmsg(ends[0], &header, 0) == 1;
        close(ends[0]);
        close(ends[1]);
        return well;
    }
    bool asynchronous() {
        signal(SIGIO, SIG_IGN);
        return fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_ASYNC) == 0;
    }
    bool oob_inline() {
        const int on = 1;
        return setsockopt(fd_, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on) == 0;
    }
    /// From a pipe.
    bool splice_bytes(size_t size) {
        int ends[2];
        if (pipe(ends) != 0) return false;
        const auto run = pattern_at(sent_, size);
        if (write(ends[1], run.data(), run.size()) != static_cast<ssize_t>(size)) return false;
        close(ends[1]);
        for (size_t done = 0; done < size;) {
            const ssize_t moved = splice(ends[0], nullptr, fd_, nullptr, size - done, 0);
            if (moved <= 0) return false;
            done += static_cast<size_t>(moved);
        }
        close(ends[0]);
        sent_ += size;
        return true;
    }

    const int fd_;
    const bool leads_;
    uint64_t sent_ = 0, received_ = 0;
    std::string wrong_;
};

/// On a free port, which it prints, or to one. -1: that failed.
int open_connection(bool connects, bool six, int port) {
    sockaddr_in four{.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    sockaddr_in6 sixth{.sin6_family = AF_INET6, .sin6_port = htons(static_cast<uint16_t>(port)), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    auto *const address = six ? reinterpret_cast<sockaddr *>(&sixth) : reinterpret_cast<sockaddr *>(&four);
    socklen_t size = six ? sizeof sixth : sizeof four;
    const int fd = socket(address->sa_family, SOCK_STREAM, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (connects) return connect(fd, address, size) == 0 ? fd : -1;
    if (bind(fd, address, size) != 0 || listen(fd, 1) != 0 || getsockname(fd, address, &size) != 0) return -1;
    printf("port %d\n", ntohs(six ? sixth.sin6_port : four.sin_port));
    const int accepted = accept(fd, nullptr, nullptr);
    close(fd);
    return accepted;
}

int run_steps(int count, char **arguments) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    std::string role = count > 1 ? arguments[1] : "";
    const auto equals = role.find('=');
    const int own_port = equals == std::string::npos ? 0 : atoi(role.c_str() + equals + 1);
    role.resize(std::min(equals, role.size()));
    const bool connects = role.starts_with("connect");
    if (count < 2 + connects) return 2;
    const int fd = open_connection(connects, role.ends_with("6"), connects ? atoi(arguments[2]) : own_port);
    if (fd < 0) return 3;
    std::vector<std::string> steps(arguments + 2 + connects, arguments + count);
    if (connects) {
        steps.emplace_back("quiet");
    } else if (std::find(steps.begin(), steps.end(), "ended") == steps.end()) {
        steps.emplace_back("ended");
    }
    End end(fd, connects);
    std::string wrong;
    for (auto step = steps.begin(); step != steps.end() && wrong.empty(); ++step) wrong = end.run(*step);
    if (!wrong.empty()) usleep(100'000);  // the library's helper has something to log
    close(fd);
    close(STDIN_FILENO);
    puts(wrong.empty() ? "end" : wrong.c_str());
    return 0;
}

}  // namespace
}  // namespace sansock::hostile

int main(int count, char **arguments) { return sansock::hostile::run_steps(count, arguments); }
