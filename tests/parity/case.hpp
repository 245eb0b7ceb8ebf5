#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "outcome.hpp"
#include "peer.hpp"
#include "sockets.hpp"
#include "transcript.hpp"

namespace sansock::parity {

struct Options {
    Peer::Kind peer = Peer::Kind::kProcess;
    bool subject_connects = false;
    int warm_calls = 32;
    /// How long to go on with small messages until the connection has left the kernel's TCP path.
    int settle_ms = 0;
    std::uint64_t seed = 1;
};

/// An established connection: our descriptor, and the peer's end of it.
struct Connection {
    int fd;
    Remote peer;
};

/// One case at work. A case ends with its process, so it closes descriptors only where closing is its subject.
class Case {
public:
    explicit Case(const Options &options) : options_(options), peer_(options.peer) {}

    /// A connection that has carried messages both ways, enough for it to be moved to a provider.
    Connection connect(int family = AF_INET);
    /// A connection that has carried nothing yet.
    Connection connect_cold(int family = AF_INET);
    /// Moves messages both ways, for a cold connection. Afterwards nothing is unread at either end.
    void warm(const Connection &connection);
    /// As warm(), for a connection that something may rightly keep on TCP: it is not counted.
    void warm_wherever(const Connection &connection);
    /// As warm(), for a connection of which the case itself holds both ends.
    void warm(int one, int other);

    Peer &peer() { return peer_; }
    [[nodiscard]] const Options &options() const { return options_; }

    /// Each writes one line: the value of a call, or its errno.
    void value(std::string_view label, long result) { transcript_.outcome(label, Outcome::of(result)); }
    void data(std::string_view label, ssize_t result, const void *bytes);
    void outcome(std::string_view label, const Outcome &outcome) { transcript_.outcome(label, outcome); }
    /// The value of poll or of a thing like it, and the events of one entry.
    void events(std::string_view label, long result, unsigned events);
    void says(std::string_view label, std::string_view text) { transcript_.says(label, text); }
    void yes_no(std::string_view label, bool yes) { transcript_.says(label, yes ? "yes" : "no"); }

    /// Waits until poll reports one of `events`; not reaching it in five seconds is a line in the transcript.
    void await(int fd, int events);
    /// Waits until exactly `count` bytes are unread.
    void await_unread(int fd, int count);
    /// Waits until `condition` holds.
    void await(std::string_view label, const std::function<bool()> &condition);

    /// That what came before left the connection as it was: it carries bytes both ways.
    void still_works(const Connection &connection);

    /// Written at the end, for the driver: how many of the warm connections had left the kernel's path.
    void report_provider_use() const;

private:
    void ping_pong(const Connection &connection, int calls);
    void settle(int fd, const std::function<void(int calls)> &ping_pong);

    Options options_;
    Transcript transcript_;
    Peer peer_;
    int peer_port_ = -1;
    int listener_ = -1;
    int listener_family_ = AF_UNSPEC;
    int warmed_ = 0;
    int on_provider_ = 0;
};

/// Waits until every other thread of the process sleeps, within a bound, so that a call is tested while it sleeps.
void let_others_block();

/// `body` in a thread of its own, interrupted by `signal` again and again until it returns: at whatever moment it goes
/// to sleep, a signal will find it.
Outcome interrupted(int signal, const std::function<Outcome()> &body);

/// Installs `handler` for `signal` and gives the case a clean count.
void handle(int signal, int flags, void (*handler)(int) = nullptr);
/// How often the handler that handle() installs by default has run.
int handled();

void set_nonblocking(int fd, bool on);
void set_timeout(int fd, int name, int milliseconds);

/// Sends until nothing more is taken, and not a moment later either, since TCP's buffers grow while they are in use.
/// The result is the number of bytes of Pattern(seed) sent.
std::size_t fill(int fd, std::uint64_t seed);

/// Cases about one subject. Those that need a process at the other end are not run with a thread: what they examine is
/// who else holds a descriptor, and a thread shares them all.
struct Subject {
    struct Entry {
        const char *name;
        void (*run)(Case &);
    };

    const char *name;
    bool needs_process = false;
    std::vector<Entry> entries = {};

    void add(const char *entry, void (*run)(Case &)) { entries.push_back({entry, run}); }
};

}  // namespace sansock::parity
