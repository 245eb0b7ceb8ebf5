#include "peer.hpp"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

namespace sansock::hostile {
namespace {

using socket::Message;
using socket::MessageType;
using socket::Received;

/// The runtime that victims load: it makes offers as they want them.
socket::Runtime &runtime() {
    static socket::Runtime *const opened = [] {
        void *library = dlopen(SANSOCK_RUNTIME, RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) std::abort();
        static const socket::Launch launch{.program = "hostile", .config = SANSOCK_HOSTILE_CONFIG};
        return reinterpret_cast<decltype(&sansock_runtime_open)>(dlsym(library, "sansock_runtime_open"))(launch);
    }();
    return *opened;
}

const socket::Choice &choice() {
    static const socket::Choice chosen =
        runtime().choose(sockaddr_in6{.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, 0, nullptr);
    return chosen;
}

bool readable(int fd, int patience_ms = kPatienceMs) {
    pollfd wait{fd, POLLIN, 0};
    return poll(&wait, 1, patience_ms) == 1;
}

sockaddr_in loopback(int port) {
    return {.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
}

constexpr uint32_t kEpoch = 1;

}  // namespace

Peer Peer::connected_to(Victim &victim) {
    Peer peer;
    peer.connector_ = true;
    const sockaddr_in address = loopback(victim.port());
    peer.tcp_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(peer.tcp_.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0) std::abort();
    return peer;
}

Peer Peer::listening() {
    Peer peer;
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    peer.listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (bind(peer.listener_.get(), reinterpret_cast<sockaddr *>(&address), size) != 0 || listen(peer.listener_.get(), 1) != 0 ||
        getsockname(peer.listener_.get(), reinterpret_cast<sockaddr *>(&address), &size) != 0) {
        std::abort();
    }
    peer.port_ = ntohs(address.sin_port);
    return peer;
}

void Peer::accept_tcp() { tcp_.reset(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }

bool Peer::send_tcp(const std::string &bytes) {
    if (::send(tcp_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) return false;
    out += bytes.size();
    return true;
}

std::string Peer::receive_tcp(size_t size) {
    std::string bytes;
    while (bytes.size() < size && readable(tcp_.get())) {
        char data[4096];
        const ssize_t got = recv(tcp_.get(), data, std::min(sizeof data, size - bytes.size()), 0);
        if (got <= 0) break;
        bytes.append(data, static_cast<size_t>(got));
    }
    in += bytes.size();
    return bytes;
}

bool Peer::exchange(int count) {
    for (int i = 0; i < count; ++i) {
        const std::string bytes(64, static_cast<char>('a' + i % 26));
        if (!send_tcp(bytes) || receive_tcp(64) != bytes) return false;
    }
    return true;
}

bool Peer::echo(int count) {
    for (int i = 0; i < count; ++i) {
        const std::string bytes = receive_tcp(64);
        if (bytes.size() != 64 || !send_tcp(bytes)) return false;
    }
    return true;
}

socket::MeetingName Peer::name() const {
    sockaddr_in6 local{}, remote{};
    if (!socket::socket_addresses(tcp_.get(), local, remote)) std::abort();
    return socket::meeting_name(socket::network_namespace_of(tcp_.get()), connector_ ? local : remote, connector_ ? remote : local);
}

bool Peer::squat() {
    squat_.reset(socket::bind_meeting(name()));
    return squat_.get() >= 0;
}

bool Peer::accept_channel(int patience_ms) {
    if (!readable(squat_.get(), patience_ms)) return false;
    channel_.reset(accept4(squat_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    const int on = 1;
    return setsockopt(channel_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0;
}

bool Peer::connect_channel() {
    const socket::MeetingName meeting = name();
    return eventually([&] {
        const int fd = socket::connect_meeting(meeting);
        if (fd >= 0) channel_.reset(fd);
        return fd >= 0;
    });
}

Message Peer::message(MessageType type) const {
    Message made;
    made.type = type;
    if (!socket::socket_addresses(tcp_.get(), made.local, made.remote)) std::abort();
    return made;
}

Message Peer::hello() const {
    Message made = message(MessageType::kHello);
    made.pid = getpid();
    made.started = socket::process_start_time(getpid());
    made.network_namespace = socket::network_namespace_of(tcp_.get());
    return made;
}

bool Peer::send_raw(const void *data, size_t size, const std::vector<int> &fds) const {
    iovec part{const_cast<void *>(data), size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 16)] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (!fds.empty()) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
        cmsghdr *entry = CMSG_FIRSTHDR(&header);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
        std::memcpy(CMSG_DATA(entry), fds.data(), fds.size() * sizeof(int));
    }
    return sendmsg(channel_.get(), &header, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}

bool Peer::receive(MessageType type, Received &received) {
    while (readable(channel_.get())) {
        if (socket::receive_message(channel_.get(), received) != 0) return false;
        const Message &got = received.message;
        if (got.type == MessageType::kWelcome) their_doorbell_.reset(dup(received.fd.get()));
        if (got.type == MessageType::kArena && got.arena == 0 && their_arena_.map(received.fd.get()) != 0) return false;
        if (got.type == type) return true;
    }
    return false;
}

bool Peer::sees_channel_closed() {
    Received received;
    while (readable(channel_.get())) {
        if (socket::receive_message(channel_.get(), received) == -EPIPE) return true;
    }
    return false;
}

bool Peer::greet() {
    Received received;
    if (!send(hello()) || !receive(MessageType::kHello, received)) return false;
    doorbell_.reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (ours_.create(choice().buffer_size, choice().max_memory) != 0) return false;
    return send(message(MessageType::kWelcome), {doorbell_.get()}) && send(message(MessageType::kArena), {ours_.fd()}) &&
           receive(MessageType::kArena, received);
}

Message Peer::proposal() {
    Message made = message(MessageType::kPropose);
    slot_ = ours_.take_slot().value();
    made.slot = slot_;
    made.token = 0x1234;
    std::memcpy(made.guid, choice().guid, sizeof made.guid);
    socket::OfferFds none;
    void *endpoint = runtime().create(choice());
    if (endpoint == nullptr || !runtime().offer(endpoint, made.offer, none)) std::abort();
    return made;
}

Message Peer::acceptance(const Message &proposal) {
    Message made = message(MessageType::kAccept);
    slot_ = ours_.take_slot().value();
    made.slot = slot_;
    made.peer_token = proposal.token;
    their_slot_ = proposal.slot;
    socket::OfferFds none;
    void *endpoint = runtime().create(choice());
    if (endpoint == nullptr || !runtime().accept(endpoint, proposal.offer, none, made.offer, none)) std::abort();
    return made;
}

bool Peer::attach() {
    if (!greet()) return false;
    Received received;
    if (!connector_) {
        return receive(MessageType::kPropose, received) && send(acceptance(received.message), {tcp_.get()});
    }
    if (!send(proposal(), {tcp_.get()}) || !receive(MessageType::kAccept, received)) return false;
    their_slot_ = received.message.slot;
    return true;
}

void Peer::ring() const {
    const uint64_t one = 1;
    if (write(their_doorbell_.get(), &one, sizeof one) != sizeof one) std::abort();
}

void Peer::attention() const {
    mine().hot.attention.fetch_add(1, std::memory_order_release);
    ring();
}

bool Peer::move() {
    if (!exchange()) return false;  // its thread leaves the kernel's read, in which it slept since before they met
    mine().hot.consumed.store(in);
    mine().cold.ready.store(kEpoch);
    attention();
    if (!eventually([&] { return theirs().cold.ready.load() == kEpoch; })) return false;
    mine().hot.segment.store(memory::SegmentWord::pack(out, memory::kInlineBuffer));
    mine().hot.tail.store(out);
    mine().cold.switched_at.store(out);
    mine().cold.switched.store(kEpoch);
    attention();
    // While its last bytes wait to be acknowledged, the victim goes on over TCP.
    const auto moved = [&] { return theirs().cold.switched.load() == kEpoch; };
    for (int round = 0; round < 100; ++round) {
        const std::string bytes(64, static_cast<char>('A' + round % 26));
        send_provider(bytes);
        if (!eventually([&] { return moved() || readable(tcp_.get(), 0); })) return false;
        if ((moved() ? receive_provider(64) : receive_tcp(64)) != bytes) return false;
        if (moved()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}

void Peer::send_provider(const std::string &bytes) {
    mine().hot.segment.store(memory::SegmentWord::pack(out, memory::kInlineBuffer));
    std::memcpy(mine().inline_buffer, bytes.data(), bytes.size());
    std::atomic_ref(out).fetch_add(bytes.size(), std::memory_order_relaxed);  // a thread may spoil words near it meanwhile
    mine().hot.tail.store(out, std::memory_order_release);
    attention();
}

std::string Peer::receive_provider(size_t size) {
    const memory::HotLine &hot = theirs().hot;
    if (!eventually([&] { return hot.tail.load(std::memory_order_acquire) >= in + size; })) return {};
    const uint64_t word = hot.segment.load();
    if (memory::SegmentWord::buffer(word) != memory::kInlineBuffer) return {};
    const std::string bytes(reinterpret_cast<const char *>(theirs().inline_buffer) + memory::SegmentWord::distance(word, in), size);
    in += size;
    mine().hot.consumed.store(in, std::memory_order_release);
    return bytes;
}

}  // namespace sansock::hostile
