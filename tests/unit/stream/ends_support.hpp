// Both ends of a connection over a real TCP socket pair on loopback. Nobody sleeps, so there is nobody to wake.
#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <memory>
#include <string>

#include "base/unique_fd.hpp"
#include "stream/end.hpp"

namespace sansock::stream {

class LoopbackEnvironment final : public Environment {
public:
    UniqueFd fd;
    uint64_t sent = 0, taken = 0;  ///< What went through these calls; the kernel's own counts have what passed them by.
    uint64_t passed_by = 0;

    long tcp_send(const iovec *parts, int count, int flags) override {
        msghdr message{};
        message.msg_iov = const_cast<iovec *>(parts);
        message.msg_iovlen = static_cast<size_t>(count);
        const long rc = answer(sendmsg(fd.get(), &message, flags | MSG_NOSIGNAL));
        if (rc > 0) sent += static_cast<uint64_t>(rc);
        return rc;
    }
    long tcp_receive(const iovec *parts, int count, int flags) override {
        msghdr message{};
        message.msg_iov = const_cast<iovec *>(parts);
        message.msg_iovlen = static_cast<size_t>(count);
        const long rc = answer(recvmsg(fd.get(), &message, flags));
        if (rc > 0 && (flags & MSG_PEEK) == 0) taken += static_cast<uint64_t>(rc);
        return rc == -ENOTCONN ? 0 : rc;
    }
    long tcp_unsent() override { return queue(SIOCOUTQ); }
    long tcp_unread() override { return queue(SIOCINQ); }
    long tcp_counts(KernelCounts &counts) override {
        counts = {sent + passed_by, taken + static_cast<uint64_t>(std::max(tcp_unread(), 0L))};
        return 0;
    }
    bool tcp_has_error() override { return (events() & POLLERR) != 0; }
    void tcp_shutdown_write() override { shutdown(fd.get(), SHUT_WR); }
    void tcp_acknowledge() override {
        const int on = 1;
        setsockopt(fd.get(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    }
    void tcp_guard(bool on) override {
        const linger option{on ? 1 : 0, 0};
        setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &option, sizeof option);
    }
    void tcp_poison() override {
        sockaddr none{};
        none.sa_family = AF_UNSPEC;
        connect(fd.get(), &none, sizeof none);
    }
    uint64_t now_ns() override { return 0; }
    void ring_peer_helper() override {}
    void ring_own_helper() override {}
    void wake_peer_readers() override {}
    void wake_peer_writers() override {}
    void wake_own() override {}

    /// A write past the library.
    void intrude(const std::string &bytes) {
        ASSERT_EQ(write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
        passed_by += bytes.size();
    }
    [[nodiscard]] short events() const {
        pollfd one{fd.get(), POLLIN | POLLOUT | POLLRDHUP, 0};
        return ::poll(&one, 1, 0) == 1 ? one.revents : static_cast<short>(0);
    }

private:
    static long answer(long rc) { return rc < 0 ? -errno : rc; }
    [[nodiscard]] long queue(unsigned long request) const {
        int bytes = 0;
        return ioctl(fd.get(), request, &bytes) < 0 ? -errno : bytes;
    }
};

/// One process's side: its arena, its view of the other's, its stream.
struct Side {
    static constexpr uint32_t kBufferSize = 4096, kBuffers = 6;

    LoopbackEnvironment kernel;
    memory::Arena arena;
    memory::PeerArena peer_arena;
    uint32_t slot = 0;
    std::unique_ptr<State> state = std::make_unique<State>();
    std::unique_ptr<End> end;

    Side() {
        EXPECT_EQ(arena.create(kBufferSize, uint64_t{kBuffers} * kBufferSize), 0);
        slot = arena.take_slot().value();
    }
    ~Side() {
        peer_arena.close();
        arena.close();
    }
    Side(const Side &) = delete;
    Side &operator=(const Side &) = delete;

    /// As framework/socket/meetings.cpp attaches it.
    void attach(Side &peer) {
        ASSERT_EQ(peer_arena.map(peer.arena.fd()), 0);
        end = std::make_unique<End>(*state, End::Memory{&arena, &arena.slot(slot), &peer_arena, &peer_arena.slot(peer.slot)}, kernel);
        state->out.window = uint64_t{4} * kBufferSize;
        state->out.buffers_max = 4;
        state->out.segment_buffer = memory::kInlineBuffer;
        state->epoch = 1;
        state->attached = 1;
    }
    long send(const std::string &bytes) {
        const iovec part{const_cast<char *>(bytes.data()), bytes.size()};
        return end->send(&part, 1, 0);
    }
    /// As lend() in framework/socket/io.cpp; the peer has yet to answer.
    void lend() {
        state->lent += 1;
        end->tell_lent();
        end->step(Reason::kExec, false);
    }
    [[nodiscard]] bool is_ready() const { return arena.slot(slot).cold.ready.load() == state->epoch.load(); }
    /// What receive() delivers; an errno as text.
    std::string receive() {
        char bytes[256];
        const iovec part{bytes, sizeof bytes};
        const long got = end->receive(&part, 1, 0);
        if (got < 0) end->error_told();
        return got < 0 ? strerrorname_np(static_cast<int>(-got)) : std::string(bytes, static_cast<size_t>(got));
    }
    [[nodiscard]] short events() const { return end->events(kernel.events()); }
    void abort() {
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        setsockopt(kernel.fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        kernel.fd.reset();
    }
    /// SO_ERROR, as framework/preload/sockets.cpp answers it.
    [[nodiscard]] int error() const {
        int error = 0;
        socklen_t size = sizeof error;
        EXPECT_EQ(getsockopt(kernel.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size), 0);
        return end->take_error(error);
    }
};

class EndsTest : public testing::Test {
protected:
    void SetUp() override {
        const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr *>(&address), size), 0);
        ASSERT_EQ(listen(listener.get(), 1), 0);
        ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr *>(&address), &size), 0);
        a.kernel.fd.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        EXPECT_LT(connect(a.kernel.fd.get(), reinterpret_cast<sockaddr *>(&address), size), 0);
        b.kernel.fd.reset(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        ASSERT_GE(b.kernel.fd.get(), 0);
        a.attach(b);
        b.attach(a);
    }
    /// Both directions leave TCP.
    void upgrade() {
        a.end->declare_ready();
        b.end->declare_ready();
        ASSERT_EQ(a.send("to b"), 4);
        ASSERT_EQ(b.send("to a"), 4);
        ASSERT_EQ(b.receive(), "to b");
        ASSERT_EQ(a.receive(), "to a");
        ASSERT_TRUE(a.end->on_provider(true) && a.end->on_provider(false));
        ASSERT_TRUE(b.end->on_provider(true) && b.end->on_provider(false));
    }

    /// `a` goes to TCP beside another program.
    void lend_a() {
        a.lend();
        b.end->progress();
        a.end->progress();
        b.end->progress();
        ASSERT_TRUE(a.end->at_rest_on_tcp());
    }

    Side a, b;
};

}  // namespace sansock::stream
