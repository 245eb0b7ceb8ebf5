// System calls and allocations per round trip. Both ends count their own, over the same round trips.
#include <string>
#include <thread>
#include <vector>

#include "call_counter.hpp"
#include "counted.hpp"
#include "figures.hpp"
#include "roles.hpp"
#include "transport.hpp"

namespace bench {
namespace {

constexpr std::size_t kMessage = 64;

}  // namespace

void Counted::before_round(std::uint64_t round) {
    if (round == first_ / 2) {
        wakes_ = wakes_of_other_threads();
        possible_ = count_calls();
    } else if (round == first_) {
        calls_ = calls_counted();
        allocations_ = own_figures(kCheap).allocations;
    } else if (round == end_) {
        calls_ = calls_counted() - calls_;
        allocations_ = own_figures(kCheap).allocations - allocations_;
        stop_counting_calls();
        // Those of the settling rounds are among them: too many rather than too few.
        calls_ += wakes_of_other_threads() - wakes_;
    }
}

void measure_calls(const std::string &address, std::size_t rounds, double rate) {
    Hello hello;
    hello.mode = Hello::Mode::kCountedEcho;
    hello.size = kMessage;
    hello.first_counted = static_cast<std::uint32_t>(rounds / 2);  // by then the stream has moved, and counting has begun
    hello.counted = static_cast<std::uint32_t>(rounds);
    const int fd = connect_to(address);
    send_all(fd, bytes_of(hello));

    std::vector<std::byte> message(kMessage);
    Counted ours(hello.first_counted, hello.counted);
    const auto pause = std::chrono::nanoseconds(rate > 0 ? static_cast<std::int64_t>(1e9 / rate) : 0);
    auto due = Clock::now();
    for (std::uint64_t round = 0; round <= ours.end(); ++round) {
        ours.before_round(round);
        if (pause.count() > 0) std::this_thread::sleep_until(due += pause);
        send_all(fd, message);
        if (!receive_all(fd, message)) fail("the server went away");
    }
    Tally theirs;
    if (!receive_all(fd, bytes_of(theirs))) fail("the server went away");
    const Tally own = ours.tally();
    if (own.possible == 0 || theirs.possible == 0) fail("this kernel cannot count a thread's system calls; Linux 5.11 can");
    const auto each = [rounds](std::uint64_t sum) { return static_cast<double>(sum) / static_cast<double>(rounds); };
    Line(std::to_string(rounds))
        .add("calls", each(own.calls + theirs.calls))
        .add("allocations", each(own.allocations + theirs.allocations))
        .print();
}

void serve_counted_echo(int fd, const Hello &hello) {
    std::vector<std::byte> message(hello.size);
    Counted ours(hello.first_counted, hello.counted);
    for (std::uint64_t round = 0; round <= ours.end(); ++round) {
        ours.before_round(round);
        if (!receive_all(fd, message)) fail("the client went away");
        send_all(fd, message);
    }
    Tally tally = ours.tally();
    send_all(fd, bytes_of(tally));
}

}  // namespace bench
