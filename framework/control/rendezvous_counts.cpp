#include "control/rendezvous_counts.hpp"

#include <algorithm>

namespace sansock::control {
namespace {

template <class Counts, class Names>
void tell_all(Exposition &to, std::string_view label, const Names &names, const Counts &counts) {
    for (size_t i = 0; i < counts.size(); ++i) to.sample("_total", {{label, names[i]}}, counts[i].load());
}

}  // namespace

void RendezvousCounts::count_certificate(bool ours, std::string_view reason) {
    for (size_t i = 0; i < kReasons; ++i) {
        if (reason == pki::kRefusalReasons[i]) ++certificates[ours ? 1 : 0][i];
    }
}

void RendezvousCounts::tell(Exposition &to, const Gauges &now) const {
    const auto gauge = [&](const char *name, const char *help, uint64_t value) {
        to.family(name, "gauge", "", help);
        to.sample("", {}, value);
    };
    to.family("sansock_rendezvous_lookups", "counter", "", "What processes of this host asked for, by what they were answered.");
    tell_all(to, "outcome", kOutcomes, asked);
    to.family("sansock_rendezvous_answers", "counter", "", "What other hosts asked for, by what they were answered.");
    tell_all(to, "outcome", kOutcomes, answered);
    to.family("sansock_rendezvous_registrations", "counter", "", "Connections that processes registered.");
    to.sample("_total", {}, registered.load());
    to.family("sansock_rendezvous_registrations_refused", "counter", "", "Connections that processes could not register.");
    to.sample("_total", {}, not_registered.load());
    to.family("sansock_rendezvous_certificates_refused", "counter", "",
              "Handshakes and questions that failed for a certificate, by whose it was.");
    for (size_t whose = 0; whose < certificates.size(); ++whose) {
        for (size_t i = 0; i < kReasons; ++i)
            to.sample("_total", {{"whose", whose == 0 ? "peer" : "own"}, {"reason", pki::kRefusalReasons[i]}},
                      certificates[whose][i].load());
    }
    to.family("sansock_rendezvous_sessions_failed", "counter", "", "Other hosts' connections that were closed, for something else.");
    tell_all(to, "reason", kSessionNames, sessions_failed);
    to.family("sansock_rendezvous_channels", "counter", "", "What came to the channel port, by what became of it.");
    tell_all(to, "outcome", kChannelNames, channels);
    gauge("sansock_rendezvous_connections", "Connections that are registered.", now.connections);
    gauge("sansock_rendezvous_tokens", "Tokens that have not been shown yet.", now.tokens);
    gauge("sansock_rendezvous_sessions", "Connections of other hosts' daemons.", now.sessions);
    gauge("sansock_rendezvous_channels_unproven", "Connections to the channel port that have shown no token yet.", now.unproven);
    to.family("sansock_rendezvous_peers", "gauge", "", "Other hosts that this one asks.");
    to.sample("", {{"state", "asked"}}, now.peers_asked);
    to.sample("", {{"state", "unreachable"}}, now.peers_unreachable);
    to.family("sansock_rendezvous_certificate_expiry_timestamp_seconds", "gauge", "seconds", "When the certificate of this host ends.");
    to.sample("", {}, static_cast<uint64_t>(std::max<int64_t>(now.expiry, 0)));
}

}  // namespace sansock::control
