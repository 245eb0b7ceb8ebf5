// What the daemon of another host asks, or answers, as bytes of Thrift: a question is answered by a message that can be read, or refused by
// an exception, and only what is true of it reaches the process that holds the connection.
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include "control/rendezvous_server.hpp"
#include "control/rendezvous_wire.hpp"
#include "fuzz.hpp"

using namespace sansock;
using namespace sansock::control;

namespace {

struct Host {
    Host() {
        spdlog::set_level(spdlog::level::off);
        int pair[2];
        MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        process.reset(pair[1]);
        line = std::make_shared<Line>(UniqueFd(pair[0]), ucred{});
        MUST(connections.add(line, 1, {.local = side(2), .remote = side(1)}, 1));
        names->addresses = {side(1).host()};
    }
    static Side side(uint8_t last) {
        Side side{.port = static_cast<uint16_t>(7000 + last)};
        side.address[10] = side.address[11] = 0xff;
        side.address[12] = 10;
        side.address[15] = last;
        return side;
    }
    Register connections;
    RendezvousCounts counts;
    Seldom log;
    std::shared_ptr<pki::Names> names = std::make_shared<pki::Names>();
    std::shared_ptr<Line> line;
    UniqueFd process;
    wire::RendezvousProcessor processor{std::make_shared<Answerer>(connections, counts, log, names, 7470)};
};

/// As the daemon that has asked.
void hear(const std::string &bytes) {
    const Frame in(bytes);
    try {
        wire::Answer answer;
        wire::RendezvousClient(in.protocol).recv_look_up(answer);
        MUST(answer.token.size() + answer.why.size() <= bytes.size());
    } catch (const std::exception &) {
    }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static Host host;
    const std::string bytes(reinterpret_cast<const char *>(data), size);
    hear(bytes);
    const Frame in(bytes), out;
    bool answered = false;
    try {
        answered = host.processor.process(in.protocol, out.protocol, nullptr);
    } catch (const apache::thrift::TException &) {
    }
    socket::AgentExpect expect;
    while (recv(host.process.get(), &expect, sizeof expect, MSG_DONTWAIT) > 0) {
        MUST(expect.id == 1 && expect.head.type == socket::AgentType::kExpect);
        MUST(Side::of(expect.local) == Host::side(2) && Side::of(expect.remote) == Host::side(1));
    }
    if (!answered) return 0;
    const Frame said(out.written());
    std::string name;
    apache::thrift::protocol::TMessageType type{};
    int32_t number = 0;
    said.protocol->readMessageBegin(name, type, number);
    if (type != apache::thrift::protocol::T_REPLY) return 0;
    wire::Rendezvous_look_up_result result;
    result.read(said.protocol.get());
    MUST(result.__isset.success && result.success.outcome >= wire::Outcome::HERE && result.success.outcome <= wire::Outcome::BUSY);
    MUST(result.success.outcome != wire::Outcome::HERE || result.success.token.size() == 16);
    return 0;
}
