#include "control/line.hpp"

#include <sys/random.h>

#include <cerrno>
#include <cstring>
#include <new>

namespace sansock::control {
namespace {

uint64_t any_key() {
    uint64_t key = 0;
    while (key == 0) {
        if (getrandom(&key, sizeof key, 0) != sizeof key) throw std::bad_alloc();  // not for so few bytes
    }
    return key;
}

}  // namespace

Line::Line(UniqueFd channel_fd, const ucred &peer) : channel(std::move(channel_fd)), who(peer), key(any_key()) {}

Line::Told Line::tell(const void *message, size_t size, int descriptor) const {
    iovec part{const_cast<void *>(message), size};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {};
    if (descriptor >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        cmsghdr *const entry = CMSG_FIRSTHDR(&header);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(sizeof descriptor);
        std::memcpy(CMSG_DATA(entry), &descriptor, sizeof descriptor);
    }
    if (sendmsg(channel.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return Told::kYes;
    // Too many descriptors under way are as little its end as a full channel.
    return errno == EAGAIN || errno == EINTR || errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM ? Told::kFull : Told::kGone;
}

void Line::insist(const void *message, size_t size) const {
    if (tell(message, size) == Told::kFull) shutdown(channel.get(), SHUT_RDWR);
}

}  // namespace sansock::control
