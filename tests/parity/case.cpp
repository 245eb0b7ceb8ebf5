#include "case.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "kernel_counts.hpp"
#include "pattern.hpp"

namespace sansock::parity {

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kAwaitMs = 5000;
constexpr int kMessageSize = 16;

void send_and_receive(int fd) {
    const char message[kMessageSize] = "warm";
    send_all(fd, message, sizeof message);
    if (receive_up_to(fd, sizeof message).result != kMessageSize) die("warm-up");
}

}  // namespace

Connection Case::connect(int family) {
    const Connection connection = connect_cold(family);
    warm(connection);
    return connection;
}

Connection Case::connect_cold(int family) {
    if (options_.subject_connects) {
        if (listener_family_ != family) peer_port_ = peer_.listen(family);
        listener_family_ = family;
        const int fd = connected_to(family, peer_port_);
        return {fd, Remote(peer_, peer_.accept())};
    }
    if (listener_family_ != family) listener_ = listening_socket(family);
    listener_family_ = family;
    const int connection = peer_.connect(family, local_port(listener_));
    return {must("accept", accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)), Remote(peer_, connection)};
}

void Case::ping_pong(const Connection &connection, int calls) {
    connection.peer.start_echo(static_cast<std::size_t>(calls) * kMessageSize);
    for (int i = 0; i < calls; ++i) send_and_receive(connection.fd);
    connection.peer.finish();
}

void Case::warm(const Connection &connection) {
    settle(connection.fd, [&](int calls) { ping_pong(connection, calls); });
}

void Case::warm_wherever(const Connection &connection) {
    if (options_.settle_ms >= 0) ping_pong(connection, options_.warm_calls + 1);
}

void Case::warm(int one, int other) {
    settle(one, [&](int calls) {
        std::thread echo([&] {
            for (int i = 0; i < calls; ++i) {
                const Outcome message = receive_up_to(other, kMessageSize);
                send_all(other, message.bytes.data(), message.bytes.size());
            }
        });
        for (int i = 0; i < calls; ++i) send_and_receive(one);
        echo.join();
    });
}

namespace {

bool others_sleep() {
    for (const auto &task : std::filesystem::directory_iterator("/proc/self/task")) {
        if (task.path().filename() == std::to_string(gettid())) continue;
        std::ifstream file(task.path() / "stat");
        const std::string line{std::istreambuf_iterator<char>(file), {}};
        const auto name_end = line.rfind(')');  // the name before it may hold anything
        if (name_end != std::string::npos && line[name_end + 2] != 'S') return false;
    }
    return true;
}

}  // namespace

void Case::settle(int fd, const std::function<void(int calls)> &ping_pong) {
    constexpr int kProbeCalls = 4;
    if (options_.settle_ms < 0) return;  // as fresh as they come
    const auto deadline = Clock::now() + std::chrono::milliseconds(options_.settle_ms);
    ++warmed_;
    if (options_.warm_calls > 0) ping_pong(options_.warm_calls);
    do {
        const KernelCounts before = kernel_counts(fd);
        ping_pong(kProbeCalls);
        if (before == kernel_counts(fd)) {
            ++on_provider_;
            break;
        }
    } while (Clock::now() < deadline);
    // A library's own thread may be at work still, and take the lowest free numbers for a moment.
    if (!others_sleep()) let_others_block();
}

void Case::still_works(const Connection &connection) {
    value("send", send(connection.fd, "there", 5, 0));
    outcome("peer", connection.peer.receive_up_to(5));
    connection.peer.send("back");
    char buffer[4];
    data("recv", recv(connection.fd, buffer, sizeof buffer, MSG_WAITALL), buffer);
}

void Case::report_provider_use() const {
    transcript_.remark("on provider: " + std::to_string(on_provider_) + " of " + std::to_string(warmed_));
}

void Case::data(std::string_view label, ssize_t result, const void *bytes) {
    Outcome outcome = Outcome::of(result);
    if (result > 0) outcome.bytes.assign(static_cast<const char *>(bytes), static_cast<std::size_t>(result));
    transcript_.outcome(label, outcome);
}

void Case::events(std::string_view label, long result, unsigned events) {
    const Outcome outcome = Outcome::of(result);
    if (result < 0) {
        transcript_.outcome(label, outcome);
    } else {
        transcript_.says(label, std::to_string(result) + " " + event_names(events));
    }
}

void Case::await(int fd, int events) {
    pollfd entry{.fd = fd, .events = static_cast<short>(events)};
    if (poll(&entry, 1, kAwaitMs) != 1) says("awaited in vain", event_names(static_cast<unsigned>(events)));
}

void Case::await_unread(int fd, int count) {
    await(std::to_string(count) + " unread bytes", [=] {
        int unread = -1;
        return ioctl(fd, FIONREAD, &unread) == 0 && unread == count;
    });
}

void Case::await(std::string_view label, const std::function<bool()> &condition) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(kAwaitMs);
    while (!condition()) {
        if (Clock::now() > deadline) {
            says("awaited in vain", label);
            return;
        }
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
}

void let_others_block() {
    constexpr auto kLeast = std::chrono::milliseconds(20), kMost = std::chrono::milliseconds(2000);
    const auto begun = Clock::now();
    do {
        std::this_thread::sleep_for(kLeast);
    } while (!others_sleep() && Clock::now() - begun < kMost);
}

Outcome interrupted(int signal, const std::function<Outcome()> &body) {
    std::atomic<bool> done = false;
    Outcome outcome;
    std::thread thread([&] {
        outcome = body();
        done = true;
    });
    let_others_block();
    while (!done) {
        pthread_kill(thread.native_handle(), signal);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    thread.join();
    return outcome;
}

namespace {
std::atomic<int> handled_count;
void count_signal(int) { handled_count.fetch_add(1); }
}  // namespace

void handle(int signal, int flags, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler != nullptr ? handler : count_signal;
    action.sa_flags = flags;
    must("sigaction", sigaction(signal, &action, nullptr));
    handled_count = 0;
}

int handled() { return handled_count; }

void set_nonblocking(int fd, bool on) {
    const int flags = must("F_GETFL", fcntl(fd, F_GETFL));
    must("F_SETFL", fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

void set_timeout(int fd, int name, int milliseconds) {
    const timeval time{.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    must("socket timeout", setsockopt(fd, SOL_SOCKET, name, &time, sizeof time));
}

std::size_t fill(int fd, std::uint64_t seed) {
    constexpr auto kPause = std::chrono::milliseconds(100);  // an acknowledgement that makes room may be delayed for 40 ms
    Pattern pattern(seed);
    char chunk[16 * 1024];
    std::size_t total = 0, left = 0;
    bool paused = false;
    while (true) {
        if (left == 0) pattern.fill(chunk, left = sizeof chunk);
        const ssize_t n = send(fd, chunk + sizeof chunk - left, left, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && paused) return total;
        if (n < 0) std::this_thread::sleep_for(kPause);
        paused = n < 0;
        if (n < 0) continue;
        total += static_cast<std::size_t>(n);
        left -= static_cast<std::size_t>(n);
    }
}

}  // namespace sansock::parity
