// What processes say to the daemon: packets of any length, with descriptors. What one of them says it may be told to go for; the daemon
// goes on, tells of it what can be told, and keeps no descriptor.
#include "control/agents.hpp"

#include <spdlog/spdlog.h>
#include <sys/un.h>

#include "fuzz.hpp"

using namespace sansock;

namespace {

constexpr std::string_view kGoodbye = "no message";

struct Daemon {
    Daemon() {
        spdlog::set_level(spdlog::level::off);
        UniqueFd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const sockaddr_un any{.sun_family = AF_UNIX, .sun_path = {}};
        MUST(bind(listener.get(), reinterpret_cast<const sockaddr *>(&any), sizeof any.sun_family) == 0 && listen(listener.get(), 16) == 0);
        MUST(getsockname(listener.get(), reinterpret_cast<sockaddr *>(&name), &size) == 0);
        agents = std::make_unique<control::Agents>(std::move(listener));
    }
    [[nodiscard]] UniqueFd connect() const {
        UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        MUST(::connect(fd.get(), reinterpret_cast<const sockaddr *>(&name), size) == 0);
        return fd;
    }
    sockaddr_un name{};
    socklen_t size = sizeof name;
    std::unique_ptr<control::Agents> agents;
};

void send_packet(const UniqueFd &to, std::string_view bytes, int descriptor, size_t count) {
    iovec part{const_cast<char *>(bytes.data()), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor * 6)] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (count > 0) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(sizeof descriptor * count);
        cmsghdr *const entry = CMSG_FIRSTHDR(&header);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(sizeof descriptor * count);
        for (size_t i = 0; i < count; ++i) std::memcpy(CMSG_DATA(entry) + i * sizeof descriptor, &descriptor, sizeof descriptor);
    }
    (void)!sendmsg(to.get(), &header, MSG_NOSIGNAL);  // what does not fit any more is not said
}

template <class Message>
void say(fuzz::Input &input, const UniqueFd &to, Message message, int descriptor) {
    const uint8_t how = input.take<uint8_t>();
    constexpr size_t kBody = sizeof message - sizeof message.head;
    if ((how & 1) != 0) input.copy(reinterpret_cast<char *>(&message) + sizeof message.head, input.take<uint8_t>() % (kBody + 1));
    std::string bytes(reinterpret_cast<const char *>(&message), sizeof message);
    if ((how & 6) == 6) bytes.resize(input.number(bytes.size()) % 20000);
    send_packet(to, bytes, descriptor, (how & 8) != 0 ? input.below(6) : descriptor >= 0 ? 1 : 0);
}

/// A board with two fields, as far as the input does not say otherwise.
UniqueFd board_of(fuzz::Input &input) {
    socket::BoardHeader header{.magic = socket::kBoardMagic};
    header.connections = {.used_at = sizeof header, .rows_at = sizeof header + 8, .row_size = 256, .rows_max = 4, .fields = 2, .field = {}};
    header.connections.field[0] = {"phase", 0, 4};
    header.connections.field[1] = {"holders", 8, 16};
    for (uint32_t changes = input.below(4); changes > 0; --changes) {
        const size_t at = input.take<uint16_t>() % sizeof header;
        input.copy(reinterpret_cast<char *>(&header) + at, std::min<size_t>(input.below(9), sizeof header - at));
    }
    std::string bytes(reinterpret_cast<const char *>(&header), sizeof header);
    return fuzz::memory_file(bytes.append(input.bytes(input.take<uint8_t>())).append(1024, '\3'));
}

struct Visitor final : control::Agents::Visitor {
    void process(const control::Agent &agent) override { MUST(agent.greeted && agent.program.find('\n') == std::string::npos); }
    [[nodiscard]] bool wants(const control::Agent &) const override { return true; }
    void connection(const std::vector<const control::Agent *> &, const control::Agent &, const control::BoardView &board,
                    uint32_t index) override {
        MUST(index < board.connections.count() && board.connections.number(index, "phase") >= 3);
    }
};

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    // It remembers what processes have done that are gone; a new one remembers nothing, and is as fast as the first.
    static std::unique_ptr<Daemon> daemon;
    static int runs = 0;
    if (runs++ % 100 == 0) daemon = std::make_unique<Daemon>();
    fuzz::Input input(data, size);
    // What is passed in place of a socket, never the channel itself: it would live on where the daemon waits for its end.
    static const UniqueFd passed = fuzz::memory_file("not a board");
    UniqueFd process = daemon->connect();
    for (int i = 0; i < 6 && !input.is_empty(); ++i) {
        switch (input.below(5)) {
            case 0: say(input, process, socket::AgentHello{.pid = getpid()}, board_of(input).get()); break;
            case 1: say(input, process, socket::AgentDrained{.number = 1}, -1); break;
            case 2: say(input, process, socket::AgentReloaded{.number = 0}, -1); break;
            case 3: {
                const auto type = static_cast<socket::AgentType>(input.below(13));
                say(input, process, socket::AgentConnection{.head = {.type = type}}, input.below(2) != 0 ? passed.get() : -1);
                break;
            }
            case 4: send_packet(process, input.bytes(input.take<uint8_t>()), passed.get(), input.below(6)); break;
        }
    }
    send_packet(process, kGoodbye, -1, 0);
    // It serves until the process can read something; the last is that its channel is closed.
    for (int turns = 0;; ++turns) {
        MUST(turns < 100);
        daemon->agents->serve(process.get());
        Visitor visitor;
        daemon->agents->visit(visitor);
        (void)daemon->agents->counts();
        char bytes[4096];
        ssize_t got = 0;
        while ((got = recv(process.get(), bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        }
        if (got == 0 || errno != EAGAIN) break;
    }
    process.reset();
    const UniqueFd next(dup(STDERR_FILENO));
    MUST(next.get() < 512);  // others close them, a little later
    return 0;
}
