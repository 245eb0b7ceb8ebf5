#include "control/peers.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/printable.hpp"
#include "control/Rendezvous.h"
#include "control/rendezvous_wire.hpp"
#include "control/where.hpp"

namespace sansock::control {
namespace {

using socket::FoundStatus;

Reply busy(std::string why) { return {.status = FoundStatus::kBusy, .why = std::move(why)}; }

/// Believes nothing that could not be.
Reply reply_of(const wire::Answer &answer) {
    Reply reply{.why = printable(answer.why.substr(0, sizeof socket::AgentFound::why))};
    switch (answer.outcome) {
        case wire::Outcome::HERE: break;
        case wire::Outcome::NOT_THERE: reply.status = FoundStatus::kNotThere; return reply;
        case wire::Outcome::BUSY: reply.status = FoundStatus::kBusy; return reply;
        default: reply.status = FoundStatus::kRefused; return reply;
    }
    if (answer.token.size() != reply.token.size() || answer.holder_key == 0 || answer.channel_port <= 0 || answer.channel_port > UINT16_MAX)
        return {.status = FoundStatus::kRefused, .why = "the other host's daemon answers what cannot be"};
    reply.status = FoundStatus::kHere;
    std::memcpy(reply.token.data(), answer.token.data(), reply.token.size());
    reply.holder = static_cast<uint64_t>(answer.holder_key);
    reply.channel_port = static_cast<uint16_t>(answer.channel_port);
    return reply;
}

Tls::Failure unreachable(const std::string &what) { return {.what = Tls::Failure::kEnd, .text = what}; }

}  // namespace

Peers::Peers(Identity &identity, RendezvousCounts &counts, uint16_t port, Times times)
    : identity_(identity), counts_(counts), port_(port), times_(times) {}

Peers::~Peers() {
    std::unique_lock lock(mutex_);
    stopped_ = true;
    for (const auto &[address, peer] : peers_) peer->come.notify_all();
    ended_.wait(lock, [this] { return threads_ == 0; });
}

Peers::Count Peers::count() const {
    const std::scoped_lock lock(mutex_);
    Count count;
    for (const auto &[address, peer] : peers_) {
        count.asked += peer->has_thread && peer->failures == 0 ? 1 : 0;
        count.unreachable += peer->failures > 0 ? 1 : 0;
    }
    return count;
}

void Peers::forgive() {
    const std::scoped_lock lock(mutex_);
    for (const auto &[address, peer] : peers_) peer->retry = {};
}

void Peers::ask(Query query) {
    if (const auto not_asked = enqueue(query)) query.tell(*not_asked);
}

Peers::PeerPtr Peers::find(const config::Address &address, Clock::time_point now) {
    if (const auto found = peers_.find(address); found != peers_.end()) return found->second;
    if (peers_.size() >= kPeersMax)
        std::erase_if(peers_, [&](const auto &entry) { return !entry.second->has_thread && entry.second->retry <= now; });
    if (peers_.size() >= kPeersMax) return nullptr;
    auto peer = std::make_shared<Peer>();
    peer->address = address;
    peers_.emplace(address, peer);
    return peer;
}

std::optional<Reply> Peers::enqueue(Query &query) {
    const auto now = Clock::now();
    const std::scoped_lock lock(mutex_);
    const PeerPtr peer = find(query.pair.remote.host(), now);
    if (!peer) return busy("too many other hosts cannot be reached");
    if (now < peer->retry) return peer->failure;
    size_t &mine = peer->of_user[query.user];
    if (peer->waiting.size() >= kWaitingMax || (query.user != 0 && mine >= kWaitingOfUserMax))
        return busy("too many look-ups wait for that host");
    if (!peer->has_thread) {
        if (auto not_begun = start(peer, query.user)) {
            if (mine == 0) peer->of_user.erase(query.user);
            return not_begun;
        }
    }
    ++mine;
    peer->waiting.push_back({std::move(query), now + times_.call});
    peer->come.notify_one();
    return std::nullopt;
}

std::optional<Reply> Peers::start(const PeerPtr &peer, uid_t user) {
    const auto found = threads_of_.find(user);
    if (stopped_ || threads_ >= kThreadsMax || (user != 0 && found != threads_of_.end() && found->second >= kThreadsOfUserMax))
        return busy("too many other hosts are asked at once");
    try {
        std::thread([this, peer] { work(peer); }).detach();
    } catch (const std::system_error &) {
        return busy("this host's daemon has no thread left");
    }
    peer->has_thread = true;
    peer->thread_of = user;
    ++threads_;
    ++threads_of_[user];
    return std::nullopt;
}

Peers::Waiting Peers::take(Peer &peer) {
    Waiting next = std::move(peer.waiting.front());
    peer.waiting.pop_front();
    if (const auto user = peer.of_user.find(next.query.user); --user->second == 0) peer.of_user.erase(user);
    return next;
}

void Peers::note(Peer &peer, const Called &called) {
    if (called.reached) {
        peer.failures = 0;
        peer.retry = {};
        return;
    }
    constexpr int kDoublings = 16;
    const auto off = times_.hold_off * (1 << std::min(peer.failures, kDoublings));
    peer.retry = Clock::now() + std::min<Clock::duration>(off, times_.hold_off_max);
    ++peer.failures;
    peer.failure = called.reply;
}

void Peers::work(const PeerPtr &peer) {
    std::unique_ptr<Tls> connection;
    std::unique_lock lock(mutex_);
    for (;;) {
        if (peer->failures == 0) peer->come.wait_for(lock, times_.idle, [&] { return stopped_ || !peer->waiting.empty(); });
        if (peer->waiting.empty()) break;
        const Waiting next = take(*peer);
        const bool stopped = stopped_;
        lock.unlock();
        Called called{.reply = busy("the other host's daemon is slow"), .reached = true};
        if (!stopped && Clock::now() < next.until) called = call(connection, *peer, next);
        lock.lock();
        note(*peer, called);
        std::vector<Waiting> told;
        while (!called.reached && !peer->waiting.empty()) told.push_back(take(*peer));
        lock.unlock();
        next.query.tell(called.reply);
        for (const Waiting &other : told) other.query.tell(called.reply);
        lock.lock();
    }
    peer->has_thread = false;
    if (const auto user = threads_of_.find(peer->thread_of); --user->second == 0) threads_of_.erase(user);
    --threads_;
    ended_.notify_all();
    lock.unlock();
}

Tls::Outcome<std::unique_ptr<Tls>> Peers::connect(const config::Address &address, Tls::Deadline deadline) {
    sockaddr_storage name{};
    const socklen_t size = to_sockaddr(address, port_, name);
    UniqueFd fd(::socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return std::unexpected(unreachable(std::strerror(errno)));
    const int yes = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (::connect(fd.get(), reinterpret_cast<sockaddr *>(&name), size) != 0 && errno != EINPROGRESS)
        return std::unexpected(unreachable(std::strerror(errno)));
    pollfd awaited{fd.get(), POLLOUT, 0};
    int count = 0;
    do {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        count = poll(&awaited, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    } while (count < 0 && errno == EINTR);
    if (count <= 0) return std::unexpected(unreachable("it does not answer"));
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
    if (error != 0) return std::unexpected(unreachable(std::strerror(error)));
    return Tls::call(std::move(fd), identity_.current(), address, deadline);
}

Peers::Called Peers::failed(const config::Address &address, const Tls::Failure &failure) {
    const std::string text = printable(failure.text);
    if (failure.what != Tls::Failure::kCertificate) {  // as most hosts are
        std::string why = fmt::format("no daemon answers at {} port {}: {}", address.text(), port_, text);
        spdlog::debug("{}", why);
        return {.reply = {.status = FoundStatus::kNoDaemon, .why = std::move(why)}};
    }
    counts_.count_certificate(failure.ours, failure.reason);
    std::string why = failure.ours ? fmt::format("{} does not like the certificate of this host: {}", address.text(), text)
                                   : fmt::format("{} is refused for its certificate: {}", address.text(), text);
    log_.warn(why);
    return {.reply = {.status = FoundStatus::kRefused, .why = std::move(why)}};
}

/// A connection that was there before may have ended at the other side meanwhile: then there is another try.
Peers::Called Peers::call(std::unique_ptr<Tls> &connection, const Peer &peer, const Waiting &waiting) {
    const auto deadline = Clock::now() + times_.call;
    const Query &query = waiting.query;
    if (connection && (connection->credentials() != identity_.current() || time(nullptr) >= connection->peer().until)) connection.reset();
    try {
        for (;;) {
            const bool is_new = !connection;
            if (is_new) {
                auto made = connect(peer.address, deadline);
                if (!made) return failed(peer.address, made.error());
                connection = std::move(*made);
            }
            const Frame out;
            wire::Question question;
            question.version = 1;
            question.asker = wire_of(query.pair.local);
            question.holder = wire_of(query.pair.remote);
            question.asker_key = static_cast<int64_t>(query.asker);
            wire::RendezvousClient(out.protocol).send_look_up(question);
            const auto asked = connection->write_frame(out.written(), deadline);
            // Also where it could not be asked: it may have said why not.
            const auto answered = connection->read_frame(deadline, times_.call);
            if (answered) {
                const Frame in(*answered);
                wire::Answer answer;
                wire::RendezvousClient(in.protocol).recv_look_up(answer);
                return {.reply = reply_of(answer), .reached = true};
            }
            connection.reset();
            if (is_new || answered.error().what != Tls::Failure::kEnd) return failed(peer.address, answered.error());
        }
    } catch (const std::exception &error) {  // of Thrift
        connection.reset();
        return failed(peer.address, {.what = Tls::Failure::kRubbish, .text = error.what()});
    }
}

}  // namespace sansock::control
