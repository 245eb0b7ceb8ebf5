#include "connector.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "common/kernel.hpp"
#include "connectors.hpp"
#include "queue.hpp"

namespace sansock::verbs {
namespace {

using plugins::kernel;
using plugins::same;
using sdk::Failure;

constexpr std::uint64_t kMillisecond = 1'000'000;

[[noreturn]] void refuse(const char *what) { throw Failure::from_errno(what); }

std::int32_t status_of(rdma_cm_event_type event) noexcept {
    switch (event) {
        case RDMA_CM_EVENT_ADDR_ERROR:
        case RDMA_CM_EVENT_ROUTE_ERROR:
        case RDMA_CM_EVENT_UNREACHABLE: return SANSOCK_ETIMEDOUT;
        case RDMA_CM_EVENT_REJECTED:
        case RDMA_CM_EVENT_DISCONNECTED: return SANSOCK_ECONNRESET;
        case RDMA_CM_EVENT_DEVICE_REMOVAL: return SANSOCK_ENODEV;
        default: return SANSOCK_EIO;
    }
}

}  // namespace

Connector::Connector(const sansock_host &host, Device &device, const Transport &transport, const Settings &settings)
    : host_(host),
      device_(device),
      transport_(transport),
      settings_(settings),
      bell_(sdk::UniqueFd::checked(static_cast<int>(kernel(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK)), "eventfd")) {
    // Signals are for the application's own threads.
    sigset_t all, before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        thread_ = std::thread([this] { run(); });
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    } catch (const std::system_error &error) {
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        throw Failure(SANSOCK_ENOMEM, std::string("no thread for connections: ") + error.what());
    }
    ::pthread_setname_np(thread_.native_handle(), "sansock-verbs");
    connectors().add(*this);
}

Connector::~Connector() {
    connectors().remove(*this);
    begin_to_stop();
    thread_.join();
}

void Connector::begin_to_stop() noexcept {
    stops_.store(true);
    ring();
}

void Connector::ring() noexcept {
    const std::uint64_t one = 1;
    kernel(SYS_write, bell_.get(), &one, sizeof one);
}

void Connector::log(std::int32_t level, const std::string &text) const noexcept { host_.ops->log(&host_, level, text.c_str()); }

Line *Connector::line_of(const rdma_cm_id *id) const noexcept {
    const auto found = std::ranges::find_if(lines_, [&](const Line *line) { return line->id.get() == id; });
    return found == lines_.end() ? nullptr : *found;
}

void Connector::add(Line &line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(&line);
}

void Connector::require_device() {
    const std::lock_guard lock(mutex_);
    if (device_.is_lost()) throw Failure(SANSOCK_ENODEV, "the device has been removed");
}

void Connector::expect(Line &line) {
    const std::lock_guard lock(mutex_);
    line.phase = Line::Phase::expected;
}

void Connector::answer(Line &line, const Card &peer) {
    const std::lock_guard lock(mutex_);
    line.peer = peer;
    line.has_answer = true;
    line.due_ns = now_ns() + 2 * settings_.connect_timeout_ns;
    if (line.id) accept(line);
    ring();
}

void Connector::dial(Line &line) {
    const std::lock_guard lock(mutex_);
    line.id = device_.new_id();
    sockaddr_storage from, to;
    (void)plugins::to_kernel(device_.address(), 0, from);
    (void)plugins::to_kernel(line.peer.address, line.peer.port, to);
    const auto patience_ms = static_cast<int>(settings_.connect_timeout_ns / kMillisecond);
    if (rdma_resolve_addr(line.id.get(), reinterpret_cast<sockaddr *>(&from), reinterpret_cast<sockaddr *>(&to), patience_ms) != 0) {
        refuse("the way to the peer");
    }
    line.phase = Line::Phase::dialing;
    // The peer may not have the answer yet.
    line.due_ns = now_ns() + 2 * settings_.connect_timeout_ns;
    ring();
}

void Connector::give_up(Line &line, std::int32_t status) noexcept {
    const std::lock_guard lock(mutex_);
    if (line.id && line.phase == Line::Phase::expected) (void)rdma_reject(line.id.get(), nullptr, 0);
    fail(line, status);
}

void Connector::drop(Line &line) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase(lines_, &line);
    // Nobody may wait here for the peer's host as the connector's thread does then, and so would who destroys the queue pair. In error, it
    // never gets as far as to receive anything.
    if (line.is_calling) {
        to_error(line);
    } else {
        end(line);
    }
    if (!line.id) return;
    graves_.push_back({std::move(line.id), line.queues, std::move(line.pair)});
    ring();
}

void Connector::to_error(Line &line) noexcept {
    if (!line.pair) return;
    ibv_qp_attr attributes{};
    attributes.qp_state = IBV_QPS_ERR;
    (void)ibv_modify_qp(line.pair.get(), &attributes, IBV_QP_STATE);
}

void Connector::end(Line &line) noexcept {
    // The peer is told rather than left to find out. Where there is no connection yet, this would wait for there to be one.
    if (line.phase == Line::Phase::established) (void)rdma_disconnect(line.id.get());
    line.pair.reset();
    line.phase = Line::Phase::ended;
    line.due_ns = UINT64_MAX;
}

/// An id goes when all events are through that it has, and the kernel may wait for a peer before that.
void Connector::bury() noexcept {
    std::vector<Grave> graves;
    {
        const std::lock_guard lock(mutex_);
        graves.swap(graves_);
    }
}

void Connector::run() noexcept {
    while (!stops_.load()) {
        const std::uint64_t due = look_at_lines();
        std::array<pollfd, 2> fds{{{device_.events().fd, POLLIN, 0}, {bell_.get(), POLLIN, 0}}};
        timespec patience{};
        if (due != UINT64_MAX) {
            const std::uint64_t now = now_ns();
            const std::uint64_t left = due > now ? due - now : 0;
            patience = {static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
        }
        kernel(SYS_ppoll, fds.data(), fds.size(), due == UINT64_MAX ? nullptr : &patience, nullptr, 8);
        if (stops_.load()) break;
        std::uint64_t rung = 0;
        if (fds[1].revents != 0) kernel(SYS_read, bell_.get(), &rung, sizeof rung);
        if (fds[0].revents != 0) take_events();
        bury();
    }
    has_stopped_.store(true);
}

void Connector::take_events() noexcept {
    rdma_cm_event *event = nullptr;
    while (rdma_get_cm_event(&device_.events(), &event) == 0) {
        take(*event);
        (void)rdma_ack_cm_event(event);
    }
}

void Connector::take(const rdma_cm_event &event) noexcept {
    std::unique_lock lock(mutex_);
    if (event.event == RDMA_CM_EVENT_CONNECT_REQUEST) return come_in(event);
    if (event.id == device_.door()) {
        if (event.event == RDMA_CM_EVENT_DEVICE_REMOVAL) lose_device();
        return;
    }
    Line *line = line_of(event.id);
    if (line == nullptr || line->phase == Line::Phase::ended || line->failure.load(std::memory_order_relaxed) != 0) return;
    try {
        go_on(*line, event, lock);
    } catch (const Failure &failure) {
        log(SANSOCK_LOG_INFO, std::string("no connection to ") + plugins::text_of(line->peer.address) + ": " + failure.what());
        fail(*line, failure.status());
    }
}

/// The kernel waits for us to let go of everything that we have of it.
void Connector::lose_device() noexcept {
    device_.lose();
    for (Line *line : lines_) fail(*line, SANSOCK_ENODEV);
}

/// A request for a connection. The token says for whom.
void Connector::come_in(const rdma_cm_event &event) noexcept {
    ConnectionId id(event.id);
    const auto token = read_greeting(event.param.conn.private_data, event.param.conn.private_data_len);
    for (Line *line : lines_) {
        const bool waits = line->phase == Line::Phase::expected && !line->id && line->failure.load(std::memory_order_relaxed) == 0;
        if (!token || !waits || !same(line->own.token, *token)) continue;
        line->id = std::move(id);
        try {
            if (line->has_answer) accept(*line);
        } catch (const Failure &failure) {
            log(SANSOCK_LOG_INFO, std::string("a connection could not be accepted: ") + failure.what());
            fail(*line, failure.status());
        }
        return;
    }
    (void)rdma_reject(id.get(), nullptr, 0);
}

rdma_conn_param Connector::parameters_for(Line &line, const Greeting &greeting) const noexcept {
    rdma_conn_param parameters{};
    parameters.private_data = &greeting;
    parameters.private_data_len = sizeof greeting;
    parameters.responder_resources = parameters.initiator_depth = 1;
    parameters.qp_num = line.pair->qp_num;
    if (settings_.traffic_class) {
        std::uint8_t traffic_class = *settings_.traffic_class;
        (void)rdma_set_option(line.id.get(), RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, &traffic_class, sizeof traffic_class);
    }
    transport_.prepare(*line.id, parameters);
    return parameters;
}

/// The request is there, and the answer. Throws sdk::Failure.
void Connector::accept(Line &line) {
    const auto from = plugins::from_kernel(*rdma_get_peer_addr(line.id.get()));
    if (from != line.peer.address) {
        (void)rdma_reject(line.id.get(), nullptr, 0);
        throw Failure(SANSOCK_EPROTO, "the request comes from " + (from ? plugins::text_of(*from) : "nowhere") + ", the answer names " +
                                          plugins::text_of(line.peer.address));
    }
    const Greeting ours = greeting(line.peer.token);
    rdma_conn_param parameters = parameters_for(line, ours);
    transport_.raise(*line.id, *line.pair);
    if (rdma_accept(line.id.get(), &parameters) != 0) refuse("rdma_accept");
    line.phase = Line::Phase::accepting;
}

void Connector::check_greeting(const Line &line, const rdma_conn_param &parameters) const {
    const auto token = read_greeting(parameters.private_data, parameters.private_data_len);
    if (!token || !same(*token, line.own.token)) throw Failure(SANSOCK_EPROTO, "who has accepted does not know the answer");
}

void Connector::go_on(Line &line, const rdma_cm_event &event, std::unique_lock<std::mutex> &lock) {
    const bool dials = line.phase == Line::Phase::dialing;
    switch (event.event) {
        case RDMA_CM_EVENT_ADDR_RESOLVED:
            if (event.status != 0) break;
            if (rdma_resolve_route(line.id.get(), static_cast<int>(settings_.connect_timeout_ns / kMillisecond)) != 0) refuse("a route");
            return;
        case RDMA_CM_EVENT_ROUTE_RESOLVED: {
            const Greeting ours = greeting(line.peer.token);
            rdma_conn_param parameters = parameters_for(line, ours);
            // A software driver waits for the peer's host here. The id stays meanwhile, for it is this thread that buries ids; the line may
            // go.
            rdma_cm_id *const id = line.id.get();
            line.is_calling = true;
            lock.unlock();
            const int error = rdma_connect(id, &parameters) == 0 ? 0 : errno;
            lock.lock();
            if (line_of(id) != &line) return;
            line.is_calling = false;
            if (error == 0) return;
            errno = error;
            refuse("rdma_connect");
        }
        case RDMA_CM_EVENT_CONNECT_RESPONSE:
            check_greeting(line, event.param.conn);
            transport_.raise(*line.id, *line.pair);
            if (rdma_establish(line.id.get()) != 0) refuse("rdma_establish");
            return establish(line);
        case RDMA_CM_EVENT_ESTABLISHED:
            if (event.status != 0) break;
            if (dials) check_greeting(line, event.param.conn);
            return establish(line);
        case RDMA_CM_EVENT_TIMEWAIT_EXIT:
        case RDMA_CM_EVENT_ADDR_CHANGE: return;
        default: break;
    }
    if (line.phase != Line::Phase::established) {
        log(SANSOCK_LOG_INFO, std::string("no connection to ") + plugins::text_of(line.peer.address) + ": " + rdma_event_str(event.event) +
                                  " " + std::to_string(event.status));
    }
    fail(line, status_of(event.event));
}

void Connector::establish(Line &line) noexcept {
    line.phase = Line::Phase::established;
    line.due_ns = UINT64_MAX;
    line.is_established.store(true, std::memory_order_release);
    line.queue->ring();
}

void Connector::fail(Line &line, std::int32_t status) noexcept {
    if (line.failure.load(std::memory_order_relaxed) != 0) return;
    line.due_ns = UINT64_MAX;
    to_error(line);
    line.failure.store(status, std::memory_order_release);
    line.queue->ring();
}

/// When it has to be looked at again.
std::uint64_t Connector::look_at(Line &line, std::uint64_t now) noexcept {
    if (line.may_end.load(std::memory_order_acquire) && !line.has_ended.load(std::memory_order_relaxed)) {
        end(line);
        line.has_ended.store(true, std::memory_order_release);
        line.queue->ring();
    }
    if (now >= line.due_ns) fail(line, SANSOCK_ETIMEDOUT);
    return line.due_ns;
}

std::uint64_t Connector::look_at_lines() noexcept {
    const std::lock_guard lock(mutex_);
    const std::uint64_t now = now_ns();
    std::uint64_t due = UINT64_MAX;
    for (Line *line : lines_) due = std::min(due, look_at(*line, now));
    return due;
}

}  // namespace sansock::verbs
