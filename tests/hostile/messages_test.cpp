// Every message that a peer can get wrong, in every field that the victim looks at.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstring>
#include <functional>
#include <random>

#include "outcome.hpp"

namespace sansock::hostile {
namespace {

using socket::Message;
using socket::MessageType;
using socket::Received;

constexpr const char *kNoMessage = "sends what is no message";
constexpr const char *kOutOfTurn = "sends a message out of turn";
constexpr const char *kNoArena = "passes what is no arena";
constexpr const char *kNotTheEnd = "does not hold the other end that it claims";

struct Lie {
    const char *name;
    std::function<void(Peer &)> tell;
    const char *reason;
    const char *detail;
};

void PrintTo(const Lie &lie, std::ostream *to) { *to << lie.name; }

std::string name_of(const testing::TestParamInfo<Lie> &info) { return info.param.name; }

/// The rest of the greeting up to, and without, our arena.
void welcome(Peer &peer) {
    Received received;
    ASSERT_TRUE(peer.send(peer.hello()));
    ASSERT_TRUE(peer.receive(MessageType::kArena, received));
    const UniqueFd doorbell(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    ASSERT_TRUE(peer.send(peer.message(MessageType::kWelcome), {doorbell.get()}));
}

/// A lie that needs no arena: a message as it ought to be, changed.
Lie changed(const char *name, Message (Peer::*make)() const, const std::function<void(Message &)> &change, const char *detail) {
    return {name,
            [=](Peer &peer) {
                Message message = (peer.*make)();
                change(message);
                ASSERT_TRUE(peer.send(message));
            },
            "protocol-error", detail};
}

Lie first_message(const char *name, MessageType type) {
    return {name, [=](Peer &peer) { ASSERT_TRUE(peer.send(peer.message(type))); }, "protocol-error", kOutOfTurn};
}

Lie sized(const char *name, size_t size) {
    return {name,
            [=](Peer &peer) {
                char bytes[sizeof(Message) + 64] = {};
                const Message hello = peer.hello();
                std::memcpy(bytes, &hello, sizeof hello);
                ASSERT_TRUE(peer.send_raw(bytes, size));
            },
            "protocol-error", kNoMessage};
}

Lie with_descriptors(const char *name, int count) {
    return {name, [=](Peer &peer) { ASSERT_TRUE(peer.send(peer.hello(), std::vector<int>(static_cast<size_t>(count), peer.tcp()))); },
            "protocol-error", kNoMessage};
}

class Greeting : public testing::TestWithParam<Lie> {};

TEST_P(Greeting, GoneWrongLeavesTheConnectionOnTcp) {
    Victim victim({"accept"});
    Peer peer = Peer::connected_to(victim);
    ASSERT_TRUE(peer.exchange(2));
    ASSERT_TRUE(peer.connect_channel());
    ASSERT_NO_FATAL_FAILURE(GetParam().tell(peer));
    EXPECT_TRUE(peer.sees_channel_closed());
    expect_stayed(victim, peer, true, GetParam().reason, named() + GetParam().detail);
}

Lie doorbell(const char *name, const std::function<int()> &open) {
    return {name,
            [=](Peer &peer) {
                Received received;
                ASSERT_TRUE(peer.send(peer.hello()));
                ASSERT_TRUE(peer.receive(MessageType::kArena, received));
                const UniqueFd fd(open());
                ASSERT_TRUE(peer.send(peer.message(MessageType::kWelcome), fd ? std::vector<int>{fd.get()} : std::vector<int>{}));
            },
            "protocol-error", "passes what is no doorbell"};
}

Lie arena(const char *name, const std::function<int()> &open, const char *detail = kNoArena) {
    return {name,
            [=](Peer &peer) {
                ASSERT_NO_FATAL_FAILURE(welcome(peer));
                const UniqueFd fd(open());
                ASSERT_TRUE(peer.send(peer.message(MessageType::kArena), fd ? std::vector<int>{fd.get()} : std::vector<int>{}));
            },
            "protocol-error", detail};
}

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

/// A memfd with an arena's header, changed, then sealed.
int memory_with(const std::function<void(memory::Header &, memory::ArenaShape &)> &change, int seals = kSeals, unsigned flags = 0) {
    const int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
    memory::ArenaShape shape;
    memory::Header header{};
    header.magic = memory::kArenaMagic;
    header.version = memory::kLayoutVersion;
    header.slots = shape.slots;
    header.buffer_size = shape.buffer_size;
    header.size = shape.size();
    change(header, shape);
    if (ftruncate(fd, static_cast<off_t>(shape.size())) != 0) return -1;
    if ((flags & MFD_HUGETLB) == 0 && pwrite(fd, &header, offsetof(memory::Header, log_head), 0) < 0) return -1;
    fcntl(fd, F_ADD_SEALS, seals);
    return fd;
}

Lie header(const char *name, const std::function<void(memory::Header &)> &change) {
    return arena(name, [=] { return memory_with([&](memory::Header &head, memory::ArenaShape &) { change(head); }); });
}

const Lie kGreetings[] = {
    sized("Nothing", 0),
    sized("TooShort", sizeof(Message) - 1),
    sized("TooLong", sizeof(Message) + 1),
    changed(
        "WrongMagic", &Peer::hello, [](Message &m) { m.magic ^= 1; }, kNoMessage),
    changed(
        "UnknownType", &Peer::hello, [](Message &m) { m.type = static_cast<MessageType>(99); }, kOutOfTurn),
    changed(
        "WrongVersion", &Peer::hello, [](Message &m) { m.version += 1; }, "speaks another version"),
    changed(
        "WrongPid", &Peer::hello, [](Message &m) { m.pid = 1; }, "gives another process's number"),
    changed(
        "WrongNamespace", &Peer::hello, [](Message &m) { m.network_namespace ^= 1; }, "is of another network namespace"),
    with_descriptors("TwoDescriptors", 2),
    with_descriptors("ManyDescriptors", 16),
    first_message("WelcomeFirst", MessageType::kWelcome),
    first_message("ArenaFirst", MessageType::kArena),
    first_message("ProposeFirst", MessageType::kPropose),
    first_message("AcceptFirst", MessageType::kAccept),
    first_message("DeclineFirst", MessageType::kDecline),
    first_message("WakeObjectFirst", MessageType::kWakeObject),
    first_message("ReleasedFirst", MessageType::kReleased),
    doorbell("NoDoorbell", [] { return -1; }),
    doorbell("DoorbellIsAFile", [] { return open("/dev/null", O_WRONLY | O_CLOEXEC); }),
    doorbell("DoorbellIsASocket", [] { return ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); }),
    doorbell("DoorbellBlocks", [] { return eventfd(0, EFD_CLOEXEC); }),
    {"TwoDoorbells",
     [](Peer &peer) {
         ASSERT_NO_FATAL_FAILURE(welcome(peer));
         const UniqueFd fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
         ASSERT_TRUE(peer.send(peer.message(MessageType::kWelcome), {fd.get()}));
     },
     "protocol-error", kOutOfTurn},
    {"ArenaBeforeDoorbell",
     [](Peer &peer) {
         ASSERT_TRUE(peer.send(peer.hello()));
         const UniqueFd fd(memory_with([](auto &, auto &) {}));
         ASSERT_TRUE(peer.send(peer.message(MessageType::kArena), {fd.get()}));
     },
     "protocol-error", kOutOfTurn},
    {"ArenaOutOfOrder",
     [](Peer &peer) {
         ASSERT_NO_FATAL_FAILURE(welcome(peer));
         Message message = peer.message(MessageType::kArena);
         message.arena = 3;
         const UniqueFd fd(memory_with([](auto &, auto &) {}));
         ASSERT_TRUE(peer.send(message, {fd.get()}));
     },
     "protocol-error", kOutOfTurn},
    {"ProposeWithoutArena",
     [](Peer &peer) {
         ASSERT_NO_FATAL_FAILURE(welcome(peer));
         ASSERT_TRUE(peer.send(peer.message(MessageType::kPropose), {peer.tcp()}));
     },
     "protocol-error", kOutOfTurn},
    arena(
        "NoArena", [] { return -1; }, kOutOfTurn),
    arena("ArenaIsAFile", [] { return open("/dev/zero", O_RDONLY | O_CLOEXEC); }),
    arena("ArenaIsADirectory", [] { return open("/tmp", O_RDONLY | O_CLOEXEC | O_DIRECTORY); }),
    arena("ArenaWithoutSeals", [] { return memory_with([](auto &, auto &) {}, 0); }),
    arena("ArenaMayShrink", [] { return memory_with([](auto &, auto &) {}, kSeals & ~F_SEAL_SHRINK); }),
    arena("ArenaMayGrow", [] { return memory_with([](auto &, auto &) {}, kSeals & ~F_SEAL_GROW); }),
    arena("ArenaMayBeUnsealed", [] { return memory_with([](auto &, auto &) {}, kSeals & ~F_SEAL_SEAL); }),
    arena("ArenaOfHugePages",
          [] {
              return memory_with(
                  [](auto &, memory::ArenaShape &shape) {
                      shape.slots = 0, shape.buffers = ((2 << 20) - memory::kHeaderSize) / shape.buffer_size;
                  },
                  kSeals, MFD_HUGETLB);
          }),
    arena("ArenaIsEmpty",
          [] {
              const int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
              fcntl(fd, F_ADD_SEALS, kSeals);
              return fd;
          }),
    arena("ArenaIsTruncated", [] { return memory_with([](memory::Header &, memory::ArenaShape &shape) { shape.slots = 7; }); }),
    header("ArenaMagic", [](memory::Header &head) { head.magic ^= 1; }),
    header("ArenaVersion", [](memory::Header &head) { head.version += 1; }),
    header("ArenaSlots", [](memory::Header &head) { head.slots = 0xffff'ffff; }),
    header("ArenaBufferSize", [](memory::Header &head) { head.buffer_size = 0xffff'f000; }),
    header("ArenaBuffers", [](memory::Header &head) { head.buffers = 60'000; }),
    header("ArenaSize", [](memory::Header &head) { head.size = ~uint64_t{0}; }),
};

INSTANTIATE_TEST_SUITE_P(Lies, Greeting, testing::ValuesIn(kGreetings), name_of);

/// After an honest greeting.
class Proposal : public testing::TestWithParam<Lie> {};

TEST_P(Proposal, GoneWrongLeavesTheConnectionOnTcp) {
    Victim victim({"accept"});
    Peer peer = Peer::connected_to(victim);
    ASSERT_TRUE(peer.exchange(2));
    ASSERT_TRUE(peer.connect_channel());
    ASSERT_TRUE(peer.greet());
    ASSERT_NO_FATAL_FAILURE(GetParam().tell(peer));
    std::this_thread::sleep_for(std::chrono::milliseconds(600));  // past the time that a meeting may take
    expect_stayed(victim, peer, true, GetParam().reason, GetParam().detail[0] == '\0' ? "" : named() + GetParam().detail);
}

Lie proposal(const char *name, const std::function<void(Message &)> &change, const char *reason, const char *detail) {
    return {name,
            [=](Peer &peer) {
                Message message = peer.proposal();
                change(message);
                ASSERT_TRUE(peer.send(message, {peer.tcp()}));
            },
            reason, detail};
}

Lie proof(const char *name, const std::function<int()> &open) {
    return {name,
            [=](Peer &peer) {
                const UniqueFd fd(open());
                ASSERT_TRUE(peer.send(peer.proposal(), fd ? std::vector<int>{fd.get()} : std::vector<int>{}));
            },
            "peer-silent", kNotTheEnd};
}

Lie out_of_turn(const char *name, const Message &message, const char *detail) {
    return {name, [=](Peer &peer) { ASSERT_TRUE(peer.send(message)); }, "protocol-error", detail};
}

Message message_of(MessageType type, uint32_t arena = 0, uint32_t slot = 0) {
    Message message;
    message.type = type;
    message.arena = arena;
    message.slot = slot;
    return message;
}

const Lie kProposals[] = {
    proof("NoProof", [] { return -1; }),
    proof("ProofIsAFile", [] { return open("/dev/null", O_RDONLY | O_CLOEXEC); }),
    proof("ProofIsNotConnected", [] { return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }),
    proof("ProofIsADatagramSocket", [] { return ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); }),
    proposal(
        "OtherConnection", [](Message &m) { m.local.sin6_port ^= 1; }, "peer-silent", ""),
    proposal(
        "OtherProvider", [](Message &m) { m.guid[0] ^= 1; }, "no-provider", ""),
    proposal(
        "EndlessProviderName", [](Message &m) { std::memset(m.guid, 'x', sizeof m.guid); }, "no-provider", ""),
    proposal(
        "NoOffer", [](Message &m) { m.offer.size = 0; }, "no-provider", ""),
    proposal(
        "OfferTooShort", [](Message &m) { m.offer.size -= 1; }, "no-provider", ""),
    proposal(
        "OfferTooLong", [](Message &m) { m.offer.size = ~0u; }, "no-provider", ""),
    proposal(
        "OfferCorrupt", [](Message &m) { std::memset(m.offer.data, 0xa5, sizeof m.offer.data); }, "no-provider", ""),
    proposal(
        "UnknownArena", [](Message &m) { m.arena = 1; }, "protocol-error", "names memory that it has not shared"),
    proposal(
        "ArenaFarOff", [](Message &m) { m.arena = ~0u; }, "protocol-error", "names memory that it has not shared"),
    proposal(
        "SlotFarOff", [](Message &m) { m.slot = memory::kSlotsPerArena; }, "protocol-error", "names memory that it has not shared"),
    proposal(
        "AsTheAnswer", [](Message &m) { m.type = MessageType::kAccept; }, "peer-silent", ""),
    out_of_turn("ReleasesUnknownArena", message_of(MessageType::kReleased, 1), "names memory that we have not shared"),
    out_of_turn("ReleasesSlotFarOff", message_of(MessageType::kReleased, 0, ~0u), "names memory that we have not shared"),
    out_of_turn("DeclinesUnknownArena", message_of(MessageType::kDecline, 16), "names memory that we have not shared"),
    out_of_turn("WakeObjectWithoutDescriptor", message_of(MessageType::kWakeObject), "passes what is no wake object"),
    {"WakeObjectIsAPipe",
     [](Peer &peer) {
         int ends[2];
         ASSERT_EQ(0, pipe2(ends, O_CLOEXEC | O_NONBLOCK));
         const UniqueFd reading(ends[0]), writing(ends[1]);
         Message message = message_of(MessageType::kWakeObject);
         message.waker = 5;
         ASSERT_TRUE(peer.send(message, {writing.get()}));
     },
     "protocol-error", "passes what is no wake object"},
};

INSTANTIATE_TEST_SUITE_P(Lies, Proposal, testing::ValuesIn(kProposals), name_of);

/// Bytes of an otherwise honest conversation change at random: whatever the victim makes of it, its own TCP goes on.
TEST(Messages, CorruptAnywhere) {
    const unsigned seed = std::random_device{}();
    std::mt19937 random(seed);
    for (int round = 0; round < 25; ++round) {
        SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
        Victim victim({"accept"});
        Peer peer = Peer::connected_to(victim);
        ASSERT_TRUE(peer.exchange(2));
        ASSERT_TRUE(peer.connect_channel());
        ASSERT_TRUE(peer.greet());
        Message message = peer.proposal();
        auto *bytes = reinterpret_cast<unsigned char *>(&message);
        for (unsigned i = 0; i < 1 + random() % 8; ++i) bytes[random() % sizeof message] = static_cast<unsigned char>(random());
        ASSERT_TRUE(peer.send(message, {peer.tcp()}));
        EXPECT_TRUE(peer.exchange(3)) << victim.log();
        peer.finish();
        EXPECT_EQ("end", victim.ending());
    }
}

}  // namespace
}  // namespace sansock::hostile
