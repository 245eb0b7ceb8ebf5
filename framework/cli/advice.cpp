#include "cli/advice.hpp"

namespace sansock::cli {
namespace {

constexpr Advice kAdvice[] = {
    {"not-yet", "it ended before it had moved upgrade_after calls or bytes, or before the set-up was through",
     "nothing: such a connection would not have repaid it; else lower upgrade_after"},
    {"forbidden", "its route says policy: forbid", "change the route"},
    {"no-route", "no route matches", "add one; routes: [] moves nothing"},
    {"remote-host",
     "the peer is on another host, and no provider of the route crosses hosts, or the two hosts' daemons do not bring them together; "
     "detail has which. While that may pass it tries again",
     "docs/operating.md, \"Between hosts\""},
    {"peer-silent", "nobody answered at the other end within timeouts.rendezvous",
     "run the peer's program under sansock, too; if it is, see detail: somebody else may hold the meeting's name"},
    {"peer-declined", "the other end answered and would not; detail has its reason", "look at the other end's configuration"},
    {"peer-user", "the two ends run as different users", "list them in access.allow, at both ends"},
    {"shared-fd", "several processes hold the connection, or a child that was forked with it uses a path that only its parent has",
     "nothing, if it is meant so"},
    {"unseen-io", "bytes went past the library: by io_uring, or by a system call of the program's own", ""},
    {"foreign-bytes", "bytes appeared on TCP while a provider carried the stream: the connection was reset",
     "whoever writes to that socket must not"},
    {"half-closed", "one direction had ended before it could move, or ended while the other end did not cover the provider yet", "nothing"},
    {"unmodelled-call", "a call that only the kernel can serve: urgent data, O_ASYNC, splice, ...", "nothing"},
    {"exec", "the socket went, or may still belong, to another program: exec with it, system, popen or posix_spawn beside it",
     "nothing: where this program goes on with it, it comes back a moment after the last such program has ended. FD_CLOEXEC on the socket "
     "avoids it"},
    {"passed-fd", "the descriptor was passed to a process that is no relative", "nothing"},
    {"no-provider", "no provider of the route could be opened, or the two ends name none in common; the log says which",
     "sansock providers, sansock check"},
    {"max-memory", "the provider's max_memory is used up in this process", "raise it, or close idle connections"},
    {"no-resources", "descriptors, threads or address space ran out", "raise the limit (ulimit -n, -u, -v)"},
    {"protocol-error", "the peer said what cannot be: it was refused, or reset where it had moved; detail names it",
     "update both ends; if they are, distrust that peer"},
    {"provider-failed", "the provider failed in mid-stream; nothing was lost, and it is tried again",
     "the log, and the provider's own diagnostics"},
    {"drained", "an operator has taken the provider out of service, and the route names no other", "sansock undrain; docs/operating.md"},
    {"io-uring", "the process uses io_uring, whose reads and writes nobody sees", ""},
    {"standard-io", "the socket was given to libc's streams (fdopen, dprintf)", "nothing"},
    {"channel-lost",
     "the channel to the peer's process on another host broke while a provider carried the stream: the connection was reset",
     "look at the network, or a firewall that forgets connections"},
};

}  // namespace

std::span<const Advice> advice() { return kAdvice; }

}  // namespace sansock::cli
