// How two processes of one host find each other and set a connection up on shared memory.
//
// Both ends of a TCP connection know its two addresses. The first end to want more binds an abstract Unix socket named after
// them, the second connects to it: that socket becomes the lasting channel between the two processes, over which all
// further connections between them are set up. Nothing is trusted. Credentials are checked before any descriptor is passed, and
// each end proves that it holds the connection by passing its own TCP socket, which the other checks to be the mirror
// of its own, and closes. Only the helper thread comes here.
#pragma once
#include "socket/agent.hpp"
#include "socket/channel.hpp"
#include "socket/courier.hpp"
#include "socket/far.hpp"
#include "socket/process.hpp"

namespace sansock::socket {

inline constexpr uint32_t kFirstEpoch = 1;

struct HiddenCloser {
    void operator()(int fd) const { Process::get()->close_hidden(fd); }
};
using HiddenFd = BasicFd<HiddenCloser>;

/// What a descriptor in the helper's epoll set stands for.
struct Watch {
    enum Kind : uint8_t { kDoorbell = 1, kChannel, kMeeting, kSocket, kCourier, kAgent } kind;
    uint32_t index = 0;
    uint32_t generation = 0;
    [[nodiscard]] uint64_t pack() const { return (uint64_t{kind} << 56) | (uint64_t{generation & 0xffffff} << 32) | index; }
    static Watch unpack(uint64_t word) {
        return {static_cast<Kind>(word >> 56), static_cast<uint32_t>(word), static_cast<uint32_t>(word >> 32) & 0xffffff};
    }
};

/// How much this end may keep, and in how many buffers; nothing is kept just now. With the connection's fd_lock held.
void fit_window(Connection &connection, const Choice &choice);

class Meetings final : public Introductions {
public:
    explicit Meetings(Process &process) : process_(process), couriers_(process) {}
    bool open();
    /// The line to the daemon, which brings processes of two hosts together.
    void set_agent(const Agent &agent) { agent_ = &agent; }
    [[nodiscard]] int epoll_fd() const { return epoll_fd_; }

    /// A connection has moved enough to be worth it.
    void begin(Connection &connection) { begin(connection, now_ns() + process_.policy().rendezvous_timeout_ns); }
    void channel_readable(uint32_t peer_index);
    void meeting_readable(uint32_t connection_index);
    void timers();
    /// Connections that rest on TCP, whose provider carries messages, go by it again when their time has come (meeting_return.cpp).
    void return_to_providers();
    /// The connection's reason and what is behind it, into the log.
    void warn(Connection &connection, stream::Reason reason);
    [[nodiscard]] uint64_t next_due_ns() const { return std::min({next_due_ns_, couriers_.next_due_ns(), couriers_.return_due_ns()}); }
    [[nodiscard]] Couriers &couriers() { return couriers_; }
    /// From now on the end of its TCP connection is seen.
    /// The helper shall hear of the connection's end; and of bytes by TCP, while none may come there (`bytes`).
    void watch_socket(Connection &connection, bool bytes);
    /// TCP has ended, as the kernel tells, and the peer is on another host: what it has said of that is to come first. With its fd_lock.
    void ask_before_end(Connection &connection);
    /// Channels to other hosts: what is left to send, and the words that there was no room for.
    void flush_far();

    void daemon_is_there() override;
    void found(const AgentFound &found) override;
    void expect(const AgentExpect &expect) override;
    void channel(const AgentChannel &channel, UniqueFd fd) override;

private:
    /// Where a connection's meeting stands. Between hosts the end that connected looks up, and the other one waits to be asked for.
    struct Meeting {
        enum State : uint8_t { kIdle = 0, kBinding, kListening, kConnecting, kProposed, kRetry, kHeld, kLooking, kAwaiting } state;
        uint32_t generation;   ///< Of the connection that this meeting is about.
        int listener;          ///< + 1
        uint32_t peer;         ///< Index + 1: the channel it is set up over.
        uint64_t due_ns;       ///< When the state must be looked at again.
        uint64_t deadline_ns;  ///< When the meeting is given up.
        uint32_t slot, arena;
        bool has_slot;
        bool slot_named;  ///< The peer was told of the slot: it is ours alone again only when the peer says so.
        Choice choice;
        uint64_t refused;  ///< Providers that the peer does not have, a bit each.
        void *endpoint;    ///< Of the provider; not yet the connection's.
        Courier *courier;  ///< Or that, where the provider carries messages.
        Message proposal;  ///< kHeld: it came before we had moved anything.
        OfferFds proposal_fds;
        bool registered;  ///< The daemon knows of the connection.
        bool expected;    ///< It has been asked for, with this token.
        uint8_t token[kTokenSize];
        uint64_t look_wait_ns;
        uint32_t failures;  ///< Of this connection's meetings, which had reasons that pass.
    };
    struct Channel {
        enum State : uint8_t { kNew = 0, kGreeted, kUp } state;
        bool connected_by_us;
        uint64_t first;          ///< Token of the connection that we met over; 0: none.
        sockaddr_in6 server;     ///< Where we connected to: further connections there try this channel first.
        uint64_t deadline_ns;    ///< When it must be up.
        bool deaf;               ///< It has left an answer waiting for too long: the next ones do not wait.
        uint64_t full_until_ns;  ///< It took no more; not before then is it tried again.
    };
    /// What was said in the log.
    struct Offence {
        uint32_t uid;
        int32_t pid;
        stream::Reason reason;
    };
    static constexpr uint32_t kOffencesKept = 16;
    static constexpr const char *kNoDaemon = "no sansockd on this host";

    void begin(Connection &connection, uint64_t deadline_ns);
    void watch(int fd, const Watch &watch, uint32_t events) const;
    /// Before such a descriptor is closed: a forked child may hold a copy, and the registration lasts as long as that.
    void unwatch(int fd) const;
    void stop_listening(Meeting &meeting) const;
    bool settle_requirement(Connection &connection);
    void give_up(Connection &connection, stream::Reason reason);
    [[nodiscard]] bool may_pass(const Connection &connection, stream::Reason reason);
    void try_later(Connection &connection);
    void blame(Connection &connection, stream::Reason reason, const Peer &peer, const char *what);
    void broke_protocol(Peer &peer, const char *what);
    void expire_channels(uint64_t now);
    void expire_required(uint64_t now);
    bool has_rings();
    /// The meeting of this very connection; what an earlier user of its place left behind is ended first.
    Meeting &meeting_of(Connection &connection);
    void end_meeting(Meeting &meeting);
    void wait_until(Meeting &meeting, uint64_t due_ns);

    void meet_far(Connection &connection);
    void ask_later(Connection &connection);
    void look_up(Connection &connection);
    void look_up_again(Connection &connection);
    void connect_far(Connection &connection, const AgentFound &found);
    Peer *new_far_peer(HiddenFd fd, uint64_t holder);
    void far_readable(Peer &peer);
    void far_message(Peer &peer, Received &received);
    void far_words(Peer &peer, const FarWords &words);
    void far_told(Peer &peer, const FarSlot &slot);
    void far_hello(Peer &peer, const Message &message);
    void far_proposed(Peer &peer, const Message &proposal);
    void far_lost(Peer &peer);
    void expire_far(uint64_t now);
    void rest_far(uint64_t now);
    Connection *attached_at(Peer &peer, const FarSlot &slot);
    int send(Peer &peer, const Message &message, int fd = -1, const OfferFds &more = {});

    void meet_by_name(Connection &connection, bool may_bind);
    void new_channel(HiddenFd fd, Connection &connection, bool connected_by_us);
    void close_channel(Peer &peer);
    void peer_deserts(const Peer &peer);
    void handle(Peer &peer, Received &received);
    void hello(Peer &peer, Received &received);
    void welcome(Peer &peer, Received &received);
    void arena(Peer &peer, Received &received);
    void channel_up(Peer &peer);
    void proposed(Peer &peer, Received &received);
    void accepted(Peer &peer, Received &received);
    void meet_again(Connection &connection, const Choice &choice, uint64_t refused, Peer *same);
    void declined(Peer &peer, const Message &message);
    void ask_to_return(Courier &courier, Connection &connection);
    void asked_to_return(Peer &peer, Received &received);
    void returned(Peer &peer, Received &received);
    bool begin_epoch(Courier &courier, Connection &connection, const Choice &choice, const Message &peer);
    void released(Peer &peer, const Message &message);
    void wake_object(Peer &peer, Received &received);

    Peer *channel_for(const Connection &connection);
    void propose(Connection &connection, Peer &peer);
    void answer(Connection &connection, Peer &peer, const Message &proposal, const OfferFds &fds);
    stream::Reason make_endpoint(Meeting &meeting);
    [[nodiscard]] bool is_usable(const Meeting &meeting) const {
        return meeting.courier != nullptr || process_.runtime()->shares_memory(meeting.endpoint);
    }
    void decline(Peer &peer, const Message &proposal, stream::Reason reason);
    /// Why there is none, or kNone.
    stream::Reason make_arena(Peer &peer, const Choice &choice);
    stream::Reason take_slot(Connection &connection, Peer &peer);
    stream::Reason attach(Connection &connection, Peer &peer, const Message &message);
    enum class Proof : uint8_t { kNone, kGiven, kEnded /* the connection is over meanwhile */ };
    [[nodiscard]] Proof proof(const Connection &connection, const Received &received) const;
    /// The connection over which `channel` was made, while that is still what it waits for; nullptr when it has gone on without it.
    Connection *first_of(const Channel &channel);
    static uint64_t token_of(const Connection &connection);
    Connection *connection_of(uint64_t token);
    Connection *find(const sockaddr_in6 &local, const sockaddr_in6 &remote);
    [[nodiscard]] uint32_t index_of(const Peer &peer) const { return static_cast<uint32_t>(&peer - process_.peers().data()); }

    Process &process_;
    Couriers couriers_;
    const Agent *agent_ = nullptr;
    FarLink *links_ = nullptr;  ///< By peer; reserved with the first one.
    uint64_t rest_due_ns_ = UINT64_MAX;
    int epoll_fd_ = -1;
    uint64_t started_ = 0;
    uint64_t next_due_ns_ = UINT64_MAX;
    Meeting *meetings_ = nullptr;
    Channel *channels_ = nullptr;
    uint64_t required_due_ns_ = UINT64_MAX;
    uint64_t rings_looked_ns_ = 0;
    Offence offences_[kOffencesKept] = {};
    uint32_t offences_next_ = 0;
};

}  // namespace sansock::socket
