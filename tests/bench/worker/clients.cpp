// The clients of latency, throughput, set-up: one connection at a time.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "figures.hpp"
#include "roles.hpp"
#include "transport.hpp"

namespace bench {
namespace {

constexpr std::size_t kDurationsMost = 4'000'000;

Clock::duration span_of(double seconds) { return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds)); }

/// A connection needs some traffic, and its two processes a moment, before it can leave TCP; caches and clocks need it
/// too.
Clock::duration warm_up_for(double seconds) { return std::max<Clock::duration>(span_of(seconds / 4), std::chrono::milliseconds(30)); }

}  // namespace

void measure_latency(const std::string &address, const std::vector<std::size_t> &sizes, double seconds) {
    Durations durations(kDurationsMost);
    for (const std::size_t size : sizes) {
        const int fd = open_connection(address, Hello::Mode::kEcho, size);
        std::vector<std::byte> message(size);
        const auto play_until = [&](Clock::time_point end) {
            for (auto now = Clock::now(); now < end;) {
                send_all(fd, message);
                if (!receive_all(fd, message)) fail("the server went away");
                const auto then = Clock::now();
                durations.add(then - now);
                now = then;
            }
        };
        play_until(Clock::now() + warm_up_for(seconds));
        durations.clear();
        const auto start = Clock::now();
        play_until(start + span_of(seconds));
        const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
        Line(std::to_string(size))
            .add("rate", static_cast<double>(durations.count()) / elapsed)
            .add("p50", durations.percentile_us(0.50))
            .add("p99", durations.percentile_us(0.99))
            .add("p999", durations.percentile_us(0.999))
            .print();
        close(fd);
    }
}

void measure_throughput(const std::string &address, const std::vector<std::size_t> &sizes, double seconds) {
    for (const std::size_t size : sizes) {
        const int fd = open_connection(address, Hello::Mode::kSink, size);
        const std::vector<std::byte> message(size);
        std::uint64_t sent = 0;
        const auto send_until = [&](Clock::time_point end) {
            // The clock is not asked for each small write: it would cost as much as the write.
            const std::size_t batch = std::max<std::size_t>(1, 65536 / size);
            while (Clock::now() < end) {
                for (std::size_t i = 0; i < batch; ++i) send_all(fd, message);
                sent += batch * size;
            }
        };
        send_until(Clock::now() + warm_up_for(seconds));
        const std::uint64_t before = sent;
        const auto start = Clock::now();
        send_until(start + span_of(seconds));
        // The reader's word that it has everything ends the measurement; what was under way at its start is a part of
        // the warm-up's.
        shutdown(fd, SHUT_WR);
        std::uint64_t received = 0;
        if (!receive_all(fd, bytes_of(received))) fail("the server went away");
        const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
        if (received != sent) fail(std::to_string(sent) + " bytes were sent, " + std::to_string(received) + " arrived");
        Line(std::to_string(size)).add("rate", static_cast<double>(sent - before) / elapsed / 1e6).print();
        close(fd);
    }
}

void measure_setup(const std::string &address, double seconds) {
    Durations durations(kDurationsMost);
    const auto play_until = [&](Clock::time_point end) {
        for (auto now = Clock::now(); now < end;) {
            const int fd = open_connection(address, Hello::Mode::kOnce, 0);
            Hello answer;
            if (!receive_all(fd, bytes_of(answer))) fail("the server went away");
            close(fd);
            const auto then = Clock::now();
            durations.add(then - now);
            now = then;
        }
    };
    play_until(Clock::now() + warm_up_for(seconds));
    durations.clear();
    const auto start = Clock::now();
    play_until(start + span_of(seconds));
    const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    Line("1")
        .add("rate", static_cast<double>(durations.count()) / elapsed)
        .add("p50", durations.percentile_us(0.5))
        .add("p99", durations.percentile_us(0.99))
        .print();
}

}  // namespace bench
