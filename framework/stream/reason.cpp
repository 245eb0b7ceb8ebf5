#include "stream/reason.hpp"

namespace sansock::stream {

const char *reason_name(Reason reason) {
    switch (reason) {
        case Reason::kNone: return nullptr;
        case Reason::kNotYet: return "not-yet";
        case Reason::kForbidden: return "forbidden";
        case Reason::kNoRoute: return "no-route";
        case Reason::kRemoteHost: return "remote-host";
        case Reason::kPeerSilent: return "peer-silent";
        case Reason::kPeerDeclined: return "peer-declined";
        case Reason::kPeerUser: return "peer-user";
        case Reason::kSharedFd: return "shared-fd";
        case Reason::kUnseenIo: return "unseen-io";
        case Reason::kForeignBytes: return "foreign-bytes";
        case Reason::kHalfClosed: return "half-closed";
        case Reason::kUnmodelled: return "unmodelled-call";
        case Reason::kExec: return "exec";
        case Reason::kPassed: return "passed-fd";
        case Reason::kNoProvider: return "no-provider";
        case Reason::kMaxMemory: return "max-memory";
        case Reason::kNoResources: return "no-resources";
        case Reason::kProtocol: return "protocol-error";
        case Reason::kProviderFailed: return "provider-failed";
        case Reason::kDrained: return "drained";
        case Reason::kIoUring: return "io-uring";
        case Reason::kStandardIo: return "standard-io";
        case Reason::kChannelLost: return "channel-lost";
    }
    return "unknown";
}

}  // namespace sansock::stream
