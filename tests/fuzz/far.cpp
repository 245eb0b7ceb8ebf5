// Messages of another host's helper, in whatever pieces TCP brings them: each is found whole and at its place, or the channel ends.
#include "socket/far.hpp"

#include <sys/socket.h>

#include <vector>

#include "fuzz.hpp"

using namespace sansock;

// Sending has to do with a process and its helper; receiving, all that is done here, has not.
namespace sansock::socket {
void Process::ring_helper() { MUST(false); }
long Process::close_hidden(int) { MUST(false); }
}  // namespace sansock::socket
std::atomic<socket::Process *> socket::Process::instance_{nullptr};

namespace {

struct Told {
    socket::FarHead head;
    std::string body;
};

/// What the bytes say to whoever has them all.
std::vector<Told> told_by(std::string_view bytes, bool &sound) {
    std::vector<Told> told;
    sound = true;
    for (socket::FarHead head; bytes.size() >= sizeof head;) {
        std::memcpy(&head, bytes.data(), sizeof head);
        sound = head.magic == socket::kFarMagic && head.size <= socket::kFarBodyMax;
        if (!sound || bytes.size() - sizeof head < head.size) break;
        told.push_back({head, std::string(bytes.substr(sizeof head, head.size))});
        bytes.remove_prefix(sizeof head + head.size);
    }
    return told;
}

std::string stream_of(fuzz::Input &input) {
    std::string bytes;
    while (input.left() > 4 && bytes.size() < 16384) {
        const uint8_t how = input.take<uint8_t>();
        if (how < 16) {
            bytes += input.bytes(how);
            continue;
        }
        const std::string_view body = input.bytes(how < 32 ? input.take<uint16_t>() : how);
        const socket::FarHead head{.type = static_cast<socket::FarType>(input.below(6)),
                                   .size = static_cast<uint32_t>(how == 255 ? input.number(socket::kFarBodyMax) : body.size())};
        bytes.append(reinterpret_cast<const char *>(&head), sizeof head).append(body);
    }
    return bytes;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static socket::FarLink link;
    static socket::Peer peer;
    fuzz::Input input(data, size);
    const uint8_t piece = input.take<uint8_t>();
    const std::string bytes = stream_of(input);
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    UniqueFd ours(pair[0]), theirs(pair[1]);
    peer.far = &link;
    peer.channel = ours.get();
    link.received = 0;

    bool sound = false;
    const std::vector<Told> wanted = told_by(bytes, sound);
    size_t found = 0;
    int answer = -EAGAIN;
    const auto receive_all = [&] {
        socket::FarHead head;
        const uint8_t *body = nullptr;
        while ((answer = socket::far_receive(peer, head, body)) == 0) {
            MUST(found < wanted.size() && std::memcmp(&head, &wanted[found].head, sizeof head) == 0);
            MUST(body >= link.in && body + head.size <= std::end(link.in));
            MUST(wanted[found].body == std::string_view(reinterpret_cast<const char *>(body), head.size));
            ++found;
        }
    };
    for (size_t at = 0; at < bytes.size() && answer == -EAGAIN;) {
        const size_t part = std::min(bytes.size() - at, piece == 0 ? bytes.size() : size_t{piece} * 3);
        MUST(write(theirs.get(), bytes.data() + at, part) == static_cast<ssize_t>(part));
        at += part;
        receive_all();
    }
    MUST(found == wanted.size() && answer == (sound ? -EAGAIN : -EPROTO));
    theirs.reset();
    if (sound) {
        receive_all();
        MUST(answer == -EPIPE);
    }
    return 0;
}
