#include "second_process.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace sansock::conformance {

void send_offer(int channel, const plugin::Offer &offer) {
    iovec bytes{const_cast<std::uint8_t *>(offer.bytes.data()), offer.bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(SANSOCK_OFFER_FDS_MAX * sizeof(int))> control{};
    msghdr message{.msg_iov = &bytes, .msg_iovlen = 1};
    if (!offer.fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(offer.fds.size() * sizeof(int));
        cmsghdr *const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(offer.fds.size() * sizeof(int));
        for (std::size_t at = 0; at < offer.fds.size(); ++at) {
            const int fd = offer.fds[at].get();
            std::memcpy(CMSG_DATA(header) + at * sizeof fd, &fd, sizeof fd);
        }
    }
    if (::sendmsg(channel, &message, MSG_NOSIGNAL) < 0) throw std::runtime_error("sendmsg");
}

plugin::Offer receive_offer(int channel) {
    plugin::Offer offer;
    offer.bytes.resize(SANSOCK_OFFER_BYTES_MAX);
    iovec bytes{offer.bytes.data(), offer.bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(SANSOCK_OFFER_FDS_MAX * sizeof(int))> control{};
    msghdr message{.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.data(), .msg_controllen = control.size()};
    const ssize_t got = ::recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    if (got <= 0) throw std::runtime_error("recvmsg");
    offer.bytes.resize(static_cast<std::size_t>(got));
    if (const cmsghdr *header = CMSG_FIRSTHDR(&message)) {
        for (std::size_t at = 0; at < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++at) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + at * sizeof fd, sizeof fd);
            offer.fds.emplace_back(fd);
        }
    }
    return offer;
}

Process::Process(const std::function<void(int channel)> &body) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) throw std::runtime_error("socketpair");
    channel_.reset(pair[0]);
    pid_ = ::fork();
    if (pid_ != 0) {
        ::close(pair[1]);
        return;
    }
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    channel_.reset();
    try {
        body(pair[1]);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "second process: %s\n", error.what());
        ::_exit(1);
    }
    ::_exit(0);
}

void Process::kill() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    (void)wait();
}

int Process::wait() {
    int status = 0;
    if (pid_ > 0) ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
}

void wait_until(const std::function<bool()> &done, End &end) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
        if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("it did not happen in twenty seconds");
        end.poll();
    }
}

}  // namespace sansock::conformance
