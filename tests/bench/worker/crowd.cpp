// The clients of many connections: a closed loop over all of them, and the same crowd at rest.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "figures.hpp"
#include "roles.hpp"
#include "transport.hpp"

namespace bench {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMessage = 64;
constexpr std::size_t kDurationsMost = 4'000'000;

/// Connections with one message under way on each.
class Crowd {
public:
    Crowd(const std::string &address, std::size_t count) : epoll_(epoll_create1(EPOLL_CLOEXEC)), members_(count) {
        if (epoll_ < 0) fail_errno("epoll_create1");
        for (std::size_t i = 0; i < count; ++i) {
            members_[i].fd = open_connection(address, Hello::Mode::kEchoInLoop, kMessage);
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.u64 = i;
            if (epoll_ctl(epoll_, EPOLL_CTL_ADD, members_[i].fd, &event) != 0) fail_errno("epoll_ctl");
        }
    }
    Crowd(const Crowd &) = delete;
    Crowd &operator=(const Crowd &) = delete;
    ~Crowd() {
        for (const Member &member : members_) close(member.fd);
        close(epoll_);
    }

    /// Every connection sends its next message as soon as the last one is back, until `end`; then all come to rest.
    void play_until(Clock::time_point end, Durations &durations) {
        for (Member &member : members_) send(member);
        std::size_t under_way = members_.size();
        std::array<epoll_event, 256> events;
        while (under_way > 0) {
            const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 10'000);
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) fail("nothing came back for 10 s");
            for (int i = 0; i < count; ++i) {
                Member &member = members_[events[static_cast<std::size_t>(i)].data.u64];
                if (!take(member)) continue;
                const auto now = Clock::now();
                durations.add(now - member.sent);
                if (now < end) {
                    send(member);
                } else {
                    --under_way;
                }
            }
        }
    }

private:
    struct Member {
        int fd = -1;
        std::size_t missing = 0;
        Clock::time_point sent;
    };

    static void send(Member &member) {
        static const std::array<std::byte, kMessage> message{};
        member.sent = Clock::now();
        member.missing = kMessage;
        send_all(member.fd, message);
    }

    /// True when the message is back as a whole.
    static bool take(Member &member) {
        std::array<std::byte, kMessage> message;
        const ssize_t got = recv(member.fd, message.data(), member.missing, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
        if (got < 0) fail_errno("receive");
        if (got == 0) fail("the server went away");
        member.missing -= static_cast<std::size_t>(got);
        return member.missing == 0;
    }

    int epoll_;
    std::vector<Member> members_;
};

Clock::duration span_of(double seconds) { return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds)); }

/// Meeting a peer takes each connection its turn.
Clock::duration warm_up_for(std::size_t count) { return 50ms + count * 300us; }

}  // namespace

void measure_connections(const std::string &address, const std::vector<std::size_t> &counts, double seconds) {
    allow_descriptors();
    Durations durations(kDurationsMost);
    for (const std::size_t count : counts) {
        Crowd crowd(address, count);
        crowd.play_until(Clock::now() + warm_up_for(count), durations);
        durations.clear();
        const auto start = Clock::now();
        crowd.play_until(start + span_of(seconds), durations);
        const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
        Line(std::to_string(count))
            .add("rate", static_cast<double>(durations.count()) / elapsed)
            .add("p50", durations.percentile_us(0.5))
            .add("p99", durations.percentile_us(0.99))
            .print();
    }
}

void measure_idle(const std::string &address, std::size_t count, double seconds) {
    allow_descriptors();
    const int server = open_connection(address, Hello::Mode::kFigures, 0);
    Durations durations(kDurationsMost);
    // What a first connection brings along (threads, libraries, buffers of the programs) is no connection's.
    {
        Crowd first(address, 1);
        first.play_until(Clock::now() + warm_up_for(100), durations);
    }
    const Figures server_before = figures_over(server, kAll), client_before = own_figures(kAll);
    Crowd crowd(address, count);
    crowd.play_until(Clock::now() + warm_up_for(count), durations);
    const Figures server_full = figures_over(server, kAll), client_full = own_figures(kAll);
    const double memory = static_cast<double>(server_full.memory_bytes + client_full.memory_bytes) -
                          static_cast<double>(server_before.memory_bytes + client_before.memory_bytes);

    std::this_thread::sleep_for(200ms);  // what ends late is not idleness
    const Figures server_rest = figures_over(server, kCheap), client_rest = own_figures(kCheap);
    std::this_thread::sleep_for(span_of(seconds));
    const Figures client_end = own_figures(kCheap), server_end = figures_over(server, kCheap);
    const double cpu_ns =
        static_cast<double>(server_end.cpu_ns + client_end.cpu_ns) - static_cast<double>(server_rest.cpu_ns + client_rest.cpu_ns);
    Line(std::to_string(count))
        .add("cpu_ms_per_minute", cpu_ns / 1e6 * 60 / seconds)
        .add("kib_per_connection", memory / 1024 / static_cast<double>(count))
        .print();
}

}  // namespace bench
