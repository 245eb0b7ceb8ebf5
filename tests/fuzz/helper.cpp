// Packets of another process's helper, with descriptors: what is taken for a message has the length of one and no more descriptors than it
// may bring, and none is left open.
#include <sys/socket.h>

#include <optional>

#include "fuzz.hpp"
#include "socket/channel.hpp"
#include "socket/process.hpp"

using namespace sansock;

namespace sansock::socket {
long Process::close_hidden(int) { MUST(false); }  // for a process of an application, which this is not
}  // namespace sansock::socket
std::atomic<socket::Process *> socket::Process::instance_{nullptr};

namespace {

constexpr size_t kDescriptorsMax = 12;

void send_packet(int to, std::string_view bytes, const int *fds, size_t count) {
    iovec part{const_cast<char *>(bytes.data()), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kDescriptorsMax)] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (count > 0) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        cmsghdr *const entry = CMSG_FIRSTHDR(&header);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(sizeof(int) * count);
        std::memcpy(CMSG_DATA(entry), fds, sizeof(int) * count);
    }
    MUST(sendmsg(to, &header, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
}

/// The lowest number that is free.
int next_descriptor() { return UniqueFd(dup(STDERR_FILENO)).get(); }

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz::Input input(data, size);
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    const UniqueFd ours(pair[0]), theirs(pair[1]);
    const int on = 1;
    MUST(setsockopt(ours.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    const int free_before = next_descriptor();
    for (int i = 0; i < 8 && !input.is_empty(); ++i) {
        socket::Message message{.type = static_cast<socket::MessageType>(input.below(10))};
        std::string bytes;
        size_t count = input.below(kDescriptorsMax + 1);
        if (const uint8_t how = input.take<uint8_t>(); how < 200) {
            if (how < 100) input.copy(&message, how * sizeof message / 100);
            message.offer.size = static_cast<uint32_t>(input.number(socket::kOfferMax));
            bytes.assign(reinterpret_cast<const char *>(&message), sizeof message);
            if (how % 8 == 0) bytes.resize(static_cast<size_t>(input.number(sizeof message)) % (2 * sizeof message));
        } else {
            bytes = input.bytes(input.take<uint16_t>() % (2 * sizeof message));
        }
        const int fds[kDescriptorsMax] = {};  // as often as is asked for
        send_packet(theirs.get(), bytes, fds, count);
        std::optional<socket::Received> received(std::in_place);
        const int answer = socket::receive_message(ours.get(), *received);
        MUST(answer == 0 || answer == -EPROTO);
        MUST(received->sender.pid == getpid() && received->more.count <= socket::kOfferFdsMax);
        MUST(received->message.offer.bytes().size() <= socket::kOfferMax);
        if (answer == 0) {
            MUST(bytes.size() == sizeof message && received->message.magic == socket::kMessageMagic);
            MUST(std::memcmp(&received->message, bytes.data(), bytes.size()) == 0);
            MUST(count <= (socket::brings_offer(received->message.type) ? 1 + socket::kOfferFdsMax : 1) && static_cast<bool>(received->fd) == (count > 0));
        }
        received.reset();
        MUST(next_descriptor() == free_before);
    }
    return 0;
}
