#include "socket/far.hpp"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>
#include <utility>

#include "socket/message.hpp"

namespace sansock::socket {
namespace {

constexpr uint32_t kMirrorBuffer = memory::kPage;  ///< A mirror's buffers are never used: it is for the slots.

/// Under the channel's lock. As sendmsg().
long write_to(int channel, std::span<const iovec> parts) {
    msghdr header{};
    header.msg_iov = const_cast<iovec *>(parts.data());
    header.msg_iovlen = parts.size();
    return raw_syscall(SYS_sendmsg, channel, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/// What is lost is lost: the helper finds the channel at its end.
int break_off(FarLink &link, int channel, long error) {
    link.broke.store(true);
    raw_syscall(SYS_shutdown, channel, SHUT_RDWR);
    return static_cast<int>(error);
}

bool is_for_later(long rc) { return rc == -EAGAIN || rc == -EINTR || rc == -EINPROGRESS || rc == -ENOTCONN; }

}  // namespace

int far_send(Peer &peer, FarType type, const void *body, uint32_t size) {
    FarLink &link = *peer.far;
    Process &process = *Process::get();
    if (link.owner != process.pid()) return -EPERM;
    const FarHead head{.type = type, .size = size};
    const uint32_t total = sizeof head + size;
    stream::Guard guard(peer.channel_lock);
    const int channel = peer.channel.load(std::memory_order_relaxed);
    if (channel < 0) return -EPIPE;
    long sent = 0;
    if (link.unsent == 0) {
        const iovec parts[2] = {{const_cast<FarHead *>(&head), sizeof head}, {const_cast<void *>(body), size}};
        sent = write_to(channel, parts);
        if (sent < 0 && !is_for_later(sent)) return break_off(link, channel, sent);
        sent = std::max(sent, 0L);
        if (sent == total) return 0;
    }
    if (link.unsent + total > sizeof link.out) return -EAGAIN;
    const auto *from_head = reinterpret_cast<const uint8_t *>(&head);
    uint8_t whole[sizeof head + kFarBodyMax];
    std::memcpy(whole, from_head, sizeof head);
    std::memcpy(whole + sizeof head, body, size);
    const auto rest = total - static_cast<uint32_t>(sent);
    std::memcpy(link.out + link.unsent, whole + sent, rest);
    link.unsent += rest;
    if (!link.flush_wanted.exchange(true)) process.ring_helper();
    return 0;
}

void far_begin(Peer &peer, const void *bytes, uint32_t size) {
    stream::Guard guard(peer.channel_lock);
    std::memcpy(peer.far->out, bytes, size);
    peer.far->unsent = size;
}

bool far_flush(Peer &peer) {
    FarLink &link = *peer.far;
    stream::Guard guard(peer.channel_lock);
    link.flush_wanted.store(false);
    const int channel = peer.channel.load(std::memory_order_relaxed);
    if (channel < 0) link.unsent = 0;
    while (link.unsent > 0) {
        const iovec part{link.out, link.unsent};
        const long sent = write_to(channel, {&part, 1});
        if (sent < 0 && !is_for_later(sent)) break_off(link, channel, sent);
        if (sent <= 0) return false;
        link.unsent -= static_cast<uint32_t>(sent);
        std::memmove(link.out, link.out + sent, link.unsent);
    }
    return true;
}

bool far_conclude(Peer &peer) {
    FarLink &link = *peer.far;
    stream::Guard guard(peer.channel_lock);
    const int channel = peer.channel.load(std::memory_order_relaxed);
    if (channel < 0 || link.owner != Process::get()->pid()) return true;
    int unacknowledged = 0;
    if (link.unsent > 0 || link.owes.load() || raw_syscall(SYS_ioctl, channel, SIOCOUTQ, &unacknowledged) < 0 || unacknowledged > 0)
        return false;
    raw_syscall(SYS_shutdown, channel, SHUT_WR);
    return true;
}

int far_receive(Peer &peer, FarHead &head, const uint8_t *&body) {
    FarLink &link = *peer.far;
    for (;;) {
        uint32_t wanted = sizeof head;
        if (link.received >= sizeof head) {
            std::memcpy(&head, link.in, sizeof head);
            if (head.magic != kFarMagic || head.size > kFarBodyMax) return -EPROTO;
            wanted += head.size;
        }
        if (link.received == wanted && wanted >= sizeof head && link.received >= sizeof head) {
            body = link.in + sizeof head;
            link.received = 0;  // it stays there until the next call
            return 0;
        }
        const long got =
            raw_syscall(SYS_recvfrom, peer.channel.load(), link.in + link.received, wanted - link.received, MSG_DONTWAIT, nullptr, nullptr);
        if (got == 0) {
            if (link.received > 0) link.broke.store(true);
            return -EPIPE;
        }
        if (got < 0) return is_for_later(got) ? -EAGAIN : static_cast<int>(got);
        link.received += static_cast<uint32_t>(got);
    }
}

namespace {

void owe(FarLink &link, FarLink::Owed &owed, const FarSlot &slot) {
    owed.slots[slot.arena][slot.slot / 64].fetch_or(uint64_t{1} << slot.slot % 64);
    link.owes.store(true, std::memory_order_release);
    Process::get()->ring_helper();
}

/// Tries again what is owed, until it is owed once more. False: it is.
template <class Pay>
bool pay(FarLink::Owed &owed, Pay pay_one) {
    for (uint32_t arena = 0; arena < kArenasPerPeer; ++arena) {
        for (uint32_t word = 0; word < memory::kSlotsPerArena / 64; ++word) {
            std::atomic<uint64_t> &slots = owed.slots[arena][word];
            while (const uint64_t left = slots.load()) {
                const auto bit = static_cast<uint32_t>(__builtin_ctzll(left));
                slots.fetch_and(~(uint64_t{1} << bit));
                pay_one(FarSlot{arena, word * 64 + bit});
                if ((slots.load() >> bit & 1) != 0) return false;
            }
        }
    }
    return true;
}

}  // namespace

void far_tell(Peer &peer, uint32_t arena, uint32_t slot) {
    FarLink &link = *peer.far;
    if (link.owner != Process::get()->pid()) {  // the parent's helper speaks for us, as long as it lives
        const uint64_t one = 1;
        raw_syscall(SYS_write, link.owner_doorbell, &one, sizeof one);
        return;
    }
    stream::Guard guard(link.words_lock);
    const FarWords words{{arena, slot}, stream::read_words(peer.ours[arena].slot(slot))};
    if (far_send(peer, FarType::kWords, &words, sizeof words) == -EAGAIN) owe(link, link.owed_words, {arena, slot});
}

void far_ask(Peer &peer, FarType type, const FarSlot &slot) {
    FarLink &link = *peer.far;
    if (type == FarType::kTold) far_tell(peer, slot.arena, slot.slot);  // a child's of ours as well
    if (link.owes.load() || far_send(peer, type, &slot, sizeof slot) == -EAGAIN)
        owe(link, type == FarType::kAsk ? link.owed_questions : link.owed_answers, slot);
}

bool far_pay(Peer &peer) {
    FarLink &link = *peer.far;
    if (!link.owes.exchange(false)) return true;
    // In this order: behind an answer nothing is missing.
    const auto ask = [&](FarType type, FarLink::Owed &owed) {
        return [&peer, type, &owed, &link](const FarSlot &slot) {
            if (far_send(peer, type, &slot, sizeof slot) == -EAGAIN) owe(link, owed, slot);
        };
    };
    return pay(link.owed_words, [&](const FarSlot &slot) { far_tell(peer, slot.arena, slot.slot); }) &&
           pay(link.owed_answers, ask(FarType::kTold, link.owed_answers)) &&
           pay(link.owed_questions, ask(FarType::kAsk, link.owed_questions));
}

bool far_mirror(Peer &peer, uint32_t arena, uint32_t slot) {
    if (arena >= kArenasPerPeer || slot >= memory::kSlotsPerArena) return false;
    if (arena != 0 && !peer.far->mirrors[0].is_open() && !far_mirror(peer, 0, 0)) return false;  // whose head is looked at
    memory::Arena &mirror = peer.far->mirrors[arena];
    if (!mirror.is_open()) {
        if (mirror.create(kMirrorBuffer, kMirrorBuffer) < 0) return false;
        mirror.forget_fd();
        peer.theirs[arena] = memory::PeerArena::of(mirror);
        if (arena == 0) peer.their_head.store(&peer.theirs[0].header());
        peer.their_arenas.store(std::max(peer.their_arenas.load(), arena + 1));
    }
    std::memset(static_cast<void *>(&mirror.slot(slot)), 0, sizeof(memory::Slot));
    return true;
}

void far_release(Peer &peer) {
    if (const int doorbell = std::exchange(peer.far->owner_doorbell, -1); doorbell >= 0) Process::get()->close_hidden(doorbell);
    for (uint32_t i = 0; i < kArenasPerPeer; ++i) {
        if (!peer.far->mirrors[i].is_open()) continue;
        peer.theirs[i] = {};
        peer.far->mirrors[i].close();
    }
}

}  // namespace sansock::socket
