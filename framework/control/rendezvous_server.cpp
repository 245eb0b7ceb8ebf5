#include "control/rendezvous_server.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <system_error>

#include "base/printable.hpp"
#include "control/rendezvous_wire.hpp"

namespace sansock::control {
namespace {

using socket::AgentExpect;
using socket::FoundStatus;

wire::Outcome::type wire_of(FoundStatus status) { return static_cast<wire::Outcome::type>(status); }

}  // namespace

void Answerer::look_up(wire::Answer &answer, const wire::Question &question) {
    const auto say = [&](FoundStatus status, std::string why) {
        counts_.count_answered(status);
        answer.outcome = wire_of(status);
        answer.why = std::move(why);
    };
    const auto asker = side_of(question.asker), holder = side_of(question.holder);
    if (question.version < 1 || !asker || !holder || question.asker_key == 0)
        return say(FoundStatus::kRefused, "the question is none; allowed: two addresses of 16 bytes with ports, a version and a key");
    if (!host_->speaks_for(asker->host())) {
        counts_.count_certificate(false, "address");
        log_.warn(fmt::format("{} asks about a connection of {}, which its certificate does not name: refused", host_->host,
                              asker->host().text()));
        return say(FoundStatus::kRefused, fmt::format("the certificate of {} does not name {}; issue it with all addresses of that host",
                                                      host_->host, asker->host().text()));
    }
    const Pair pair{.local = *holder, .remote = *asker};
    const auto held = register_.look_up(pair, host_, Register::Clock::now());
    if (held.by_several) return say(FoundStatus::kNotThere, "held by more than one process");
    if (!held.holder) return say(FoundStatus::kNotThere, "no process there has registered it");
    AgentExpect expect;
    expect.id = held.id;
    expect.asker = static_cast<uint64_t>(question.asker_key);
    std::ranges::copy(held.token, expect.token);
    expect.local = pair.local.name();
    expect.remote = pair.remote.name();
    host_->host.copy(expect.host, sizeof expect.host - 1);
    const Line::Told told = held.holder->tell(&expect, sizeof expect);
    if (told != Line::Told::kYes) {
        register_.withdraw(held.token);
        return told == Line::Told::kFull ? say(FoundStatus::kBusy, "the process that holds it takes no messages")
                                         : say(FoundStatus::kNotThere, "the process that held it has ended");
    }
    say(FoundStatus::kHere, "");
    answer.token.assign(reinterpret_cast<const char *>(held.token.data()), held.token.size());
    answer.holder_key = static_cast<int64_t>(held.holder->key);
    answer.channel_port = channel_port_;
}

RendezvousServer::RendezvousServer(UniqueFd listener, Identity &identity, Register &connections, RendezvousCounts &counts,
                                   uint16_t channel_port, std::function<void()> now_and_then)
    : listener_(std::move(listener)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      identity_(identity),
      register_(connections),
      counts_(counts),
      channel_port_(channel_port),
      now_and_then_(std::move(now_and_then)),
      accepting_([this] { accept_until_stopped(); }) {}

RendezvousServer::~RendezvousServer() {
    eventfd_write(stop_.get(), 1);
    accepting_.join();
    std::unique_lock lock(mutex_);
    for (const Session &session : sessions_) shutdown(session.socket.get(), SHUT_RDWR);
    gone_.wait(lock, [this] { return sessions_.empty(); });
}

size_t RendezvousServer::sessions() const {
    const std::scoped_lock lock(mutex_);
    return proven_;
}

void RendezvousServer::accept_until_stopped() {
    constexpr auto kFullFor = std::chrono::milliseconds(100);
    auto looked = Clock::now();
    for (;;) {
        pollfd awaited[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
        poll(awaited, std::size(awaited), static_cast<int>(std::chrono::milliseconds(kNowAndThen).count()));
        if (awaited[1].revents != 0) return;
        if (awaited[0].revents != 0) {
            try {
                accept_all();
            } catch (const std::system_error &error) {  // no descriptor, or no thread
                log_.warn(fmt::format("other hosts cannot be answered: {}", error.what()));
                std::this_thread::sleep_for(kFullFor);
            }
        }
        if (Clock::now() - looked < kNowAndThen) continue;
        now_and_then_();
        looked = Clock::now();
    }
}

bool RendezvousServer::may_come(const config::Address &from) const {
    const auto is_unproven = [](const Session &session) { return !session.is_proven; };
    const auto is_of_address = [&](const Session &session) { return !session.is_proven && session.from == from; };
    return std::ranges::count_if(sessions_, is_unproven) < static_cast<ptrdiff_t>(kUnprovenMax) &&
           std::ranges::count_if(sessions_, is_of_address) < static_cast<ptrdiff_t>(kUnprovenOfAddressMax);
}

void RendezvousServer::accept_all() {
    for (int turn = 0; turn < kTurns; ++turn) {
        sockaddr_storage name{};
        socklen_t size = sizeof name;
        UniqueFd socket(accept4(listener_.get(), reinterpret_cast<sockaddr *>(&name), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!socket) {
            if (errno == ECONNABORTED || errno == EINTR) continue;
            if (errno == EAGAIN) return;
            throw std::system_error(errno, std::generic_category());
        }
        const config::Address from = Side::of(name).host();
        const std::scoped_lock lock(mutex_);
        if (!may_come(from)) {
            ++counts_.sessions_failed[RendezvousCounts::kCrowded];
            log_.warn(fmt::format("{} has to wait: too many connections have yet to show a certificate", from.text()));
            continue;
        }
        const auto session = sessions_.insert(sessions_.end(), Session{.socket = std::move(socket), .from = from});
        try {
            std::thread([this, session] { serve(session); }).detach();
        } catch (const std::system_error &) {
            sessions_.erase(session);
            throw;
        }
    }
}

bool RendezvousServer::prove(Place session) {
    const std::scoped_lock lock(mutex_);
    const auto is_of_address = [&](const Session &other) { return other.is_proven && !other.is_over && other.from == session->from; };
    const bool address_is_full = std::ranges::count_if(sessions_, is_of_address) >= static_cast<ptrdiff_t>(kProvenOfAddressMax);
    if (address_is_full || proven_ >= kProvenMax) {
        Session *oldest = nullptr;
        for (Session &other : sessions_) {
            const bool may_go = other.is_proven && !other.is_busy && !other.is_over && (!address_is_full || is_of_address(other));
            if (may_go && (oldest == nullptr || other.used < oldest->used)) oldest = &other;
        }
        if (oldest == nullptr) return false;
        oldest->is_over = true;
        --proven_;
        shutdown(oldest->socket.get(), SHUT_RDWR);
    }
    session->is_proven = true;
    session->used = Clock::now();
    ++proven_;
    return true;
}

void RendezvousServer::set_busy(Place session, bool is_busy) {
    const std::scoped_lock lock(mutex_);
    session->is_busy = is_busy;
    session->used = Clock::now();
}

void RendezvousServer::log_failure(const config::Address &from, const Tls::Failure &failure) {
    switch (failure.what) {
        case Tls::Failure::kEnd:
        case Tls::Failure::kIdle: return;
        case Tls::Failure::kCertificate:
            counts_.count_certificate(failure.ours, failure.reason);
            log_.warn(failure.ours ? fmt::format("{} does not like the certificate of this host: {}", from.text(), printable(failure.text))
                                   : fmt::format("{} is refused for its certificate: {}", from.text(), printable(failure.text)));
            return;
        case Tls::Failure::kLate:
            ++counts_.sessions_failed[RendezvousCounts::kLate];
            log_.warn(fmt::format("{} is cut off: it takes too long", from.text()));
            return;
        case Tls::Failure::kRubbish:
            ++counts_.sessions_failed[RendezvousCounts::kRubbish];
            log_.warn(fmt::format("{} is cut off: it does not say what a daemon would: {}", from.text(), printable(failure.text)));
            return;
    }
}

void RendezvousServer::serve(Place session) {
    const int yes = 1, number = session->socket.get();
    setsockopt(number, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    try {
        const auto tls = Tls::answer(UniqueFd(fcntl(number, F_DUPFD_CLOEXEC, 0)), identity_.current(), Clock::now() + kWithin);
        if (!tls) {
            log_failure(session->from, tls.error());
        } else if (prove(session)) {
            converse(session, **tls);
        } else {
            ++counts_.sessions_failed[RendezvousCounts::kCrowded];
        }
    } catch (const std::exception &error) {  // of Thrift, or for want of memory
        ++counts_.sessions_failed[RendezvousCounts::kRubbish];
        log_.warn(fmt::format("{} is cut off: {}", session->from.text(), printable(error.what())));
    }
    const std::scoped_lock lock(mutex_);
    if (session->is_proven && !session->is_over) --proven_;
    sessions_.erase(session);
    gone_.notify_all();
}

void RendezvousServer::converse(Place session, Tls &tls) {
    const auto host = std::make_shared<const pki::Names>(tls.peer().names);
    wire::RendezvousProcessor processor(std::make_shared<Answerer>(register_, counts_, log_, host, channel_port_));
    for (;;) {
        const auto asked = tls.read_frame(Clock::now() + kIdle, kWithin);
        if (!asked) return log_failure(session->from, asked.error());
        // Who had to show a certificate has to show it again when one of the two has changed, or has come to its end.
        if (tls.credentials() != identity_.current() || time(nullptr) >= tls.peer().until) return;
        set_busy(session, true);
        const Frame in(*asked), out;
        if (!processor.process(in.protocol, out.protocol, nullptr)) return;
        const auto answered = tls.write_frame(out.written(), Clock::now() + kWithin);
        if (!answered) return log_failure(session->from, answered.error());
        set_busy(session, false);
    }
}

}  // namespace sansock::control
