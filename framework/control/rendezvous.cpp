#include "control/rendezvous.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "control/proof.hpp"

namespace sansock::control {
namespace {

using socket::AgentConnection;
using socket::AgentFound;
using socket::AgentType;
using socket::FoundStatus;

constexpr uint32_t kLookingMax = 128;  ///< Look-ups of a process: their answers fit into its channel.
constexpr auto kNotThereFor = std::chrono::milliseconds(5);

AgentFound found(uint64_t id, FoundStatus status, const std::string &why) {
    AgentFound found;
    found.id = id;
    found.status = status;
    why.copy(found.why, sizeof found.why - 1);
    return found;
}

void refuse_for(const Line &line, uint64_t id, const std::string &why) {
    const AgentFound refused = found(id, FoundStatus::kRefused, why);
    line.insist(&refused, sizeof refused);
}

bool in(const config::Address &address, const char *v4, const char *v6) {
    return config::Subnet::parse(v4)->contains(address) || config::Subnet::parse(v6)->contains(address);
}

}  // namespace

Result<std::unique_ptr<Rendezvous>> Rendezvous::start(const Options &options) {
    const auto service = Where::parse(options.service);
    if (!service) return std::unexpected(service.error());
    if (service->port == 0 || (options.channels.empty() && service->port == UINT16_MAX))
        return fail(EINVAL, fmt::format("port {} is none for the rendezvous; allowed: 1 to 65534, the same at all hosts", service->port));
    Where channels = *service;
    ++channels.port;
    if (!options.channels.empty()) {
        const auto named = Where::parse(options.channels);
        if (!named) return std::unexpected(named.error());
        if (named->port == 0) return fail(EINVAL, "port 0 is none for channels; allowed: 1 to 65535");
        channels = *named;
    }
    const auto network = own_network();
    if (!network) return std::unexpected(network.error());
    auto identity = Identity::open(options.pki);
    if (!identity) return std::unexpected(identity.error());
    auto service_listener = service->listen();
    if (!service_listener) return std::unexpected(service_listener.error());
    auto channel_listener = channels.listen();
    if (!channel_listener) return std::unexpected(channel_listener.error());

    std::unique_ptr<Rendezvous> made(
        new Rendezvous(std::move(*identity), *network, fmt::format("{}, channels at {}", service->text(), channels.text())));
    made->peers_ = std::make_unique<Peers>(*made->identity_, made->counts_, service->port, Peers::Times{});
    made->channels_ = std::make_unique<Channels>(std::move(*channel_listener), made->register_, made->counts_);
    made->server_ = std::make_unique<RendezvousServer>(std::move(*service_listener), *made->identity_, made->register_, made->counts_,
                                                       channels.port, [self = made.get()] { self->look(false); });
    return made;
}

void Rendezvous::look(bool anyway) {
    if (identity_->look(anyway)) peers_->forgive();
}

void Rendezvous::hear(const std::shared_ptr<Line> &line, const AgentConnection &said, const UniqueFd &proof) {
    switch (said.head.type) {
        case AgentType::kRegister: return add(line, said, proof);
        case AgentType::kForget: return register_.remove(*line, said.id);
        case AgentType::kLookUp: return look_up(line, said);
        default: return;
    }
}

void Rendezvous::forget(const Line &line) { register_.remove_all(line); }

void Rendezvous::refuse(const Line &line, const AgentConnection &said) {
    if (said.head.type != AgentType::kForget)
        refuse_for(line, said.id, "this host's daemon does not meet those of other hosts: it was started without --rendezvous");
}

void Rendezvous::add(const std::shared_ptr<Line> &line, const AgentConnection &said, const UniqueFd &proof) {
    const Pair pair{Side::of(said.local), Side::of(said.remote)};
    const auto cookie = prove(proof.get(), pair, network_);
    const auto added = cookie ? register_.add(line, said.id, pair, *cookie) : std::unexpected(cookie.error());
    if (added) {
        ++counts_.registered;
        return;
    }
    ++counts_.not_registered;
    log_.warn(fmt::format("uid {}, pid {} cannot register a connection: {}", line->who.uid, line->who.pid, added.error().text));
    refuse_for(*line, said.id, added.error().text);
}

void Rendezvous::answer(Line &line, uint64_t id, const Pair &pair, const Reply &reply) {
    counts_.count_asked(reply.status);
    AgentFound said = found(id, reply.status, reply.why);
    if (reply.status == FoundStatus::kHere) {
        said.holder = reply.holder;
        std::ranges::copy(reply.token, said.token);
        said.channel = Side{.address = pair.remote.address, .port = reply.channel_port}.name();
    }
    line.insist(&said, sizeof said);
}

void Rendezvous::look_up(const std::shared_ptr<Line> &line, const AgentConnection &said) {
    const auto pair = register_.pair_of(*line, said.id);
    if (!pair) return refuse_for(*line, said.id, fmt::format("no connection is registered with the id {}", said.id));
    const auto answer_at_once = [&](FoundStatus status, std::string why) {
        answer(*line, said.id, *pair, {.status = status, .why = std::move(why)});
    };
    const config::Address host = pair->remote.host();
    if (in(host, "127.0.0.0/8", "::1/128")) return answer_at_once(FoundStatus::kNotThere, "both ends are on this host");
    if (in(host, "169.254.0.0/16", "fe80::/10"))
        return answer_at_once(FoundStatus::kNotThere,
                              fmt::format("{} is an address of a link, which no certificate can name", host.text()));
    if (register_.is_not_there(*line, said.id, Register::Clock::now()))
        return answer_at_once(FoundStatus::kNotThere, "it was not there a moment ago");
    if (line->looking >= kLookingMax)
        return answer_at_once(FoundStatus::kBusy,
                              fmt::format("{} look-ups of this process wait already; allowed: {}", kLookingMax, kLookingMax));
    ++line->looking;
    peers_->ask(
        {.pair = *pair, .asker = line->key, .user = line->who.uid, .tell = [this, line, id = said.id, pair = *pair](const Reply &reply) {
             --line->looking;
             if (reply.status == FoundStatus::kNotThere) register_.note_not_there(*line, id, Register::Clock::now() + kNotThereFor);
             answer(*line, id, pair, reply);
         }});
}

wire::Hosts Rendezvous::hosts() {
    const auto now = gauges();
    wire::Hosts hosts;
    hosts.where = where_;
    hosts.name = identity_->current()->own().names.host;
    hosts.valid_until = now.expiry;
    hosts.connections = static_cast<int64_t>(now.connections);
    hosts.asked = static_cast<int64_t>(now.peers_asked);
    hosts.unreachable = static_cast<int64_t>(now.peers_unreachable);
    return hosts;
}

RendezvousCounts::Gauges Rendezvous::gauges() {
    const auto peers = peers_->count();
    return {.connections = register_.connections(),
            .tokens = register_.tokens(Register::Clock::now()),
            .sessions = server_->sessions(),
            .unproven = channels_->unproven(),
            .peers_asked = peers.asked,
            .peers_unreachable = peers.unreachable,
            .expiry = identity_->current()->own().until};
}

}  // namespace sansock::control
