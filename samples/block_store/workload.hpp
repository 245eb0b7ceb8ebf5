// A verifying workload on one connection. It owns a slice of the volume, cut into slots of one request's size, and
// knows for each slot what must be in it: nothing but its generation, from which the content follows.
#pragma once
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "block_store/protocol.hpp"
#include "block_store/session.hpp"
#include "common/latency.hpp"
#include "common/random.hpp"

namespace block_store {

struct WorkloadOptions {
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;
    unsigned connections = 4;
    std::size_t queue_depth = 16;
    std::uint32_t request_size = 4096;
    std::uint64_t operations = 20'000;  ///< Per connection.
    std::uint64_t seed = 1;
};

inline constexpr std::array kMeasured{Operation::Read, Operation::Write, Operation::Trim, Operation::Flush};

struct WorkloadResult {
    std::array<samples::Latencies, kMeasured.size()> latencies;  ///< In the order of kMeasured.
    std::chrono::duration<double> elapsed{};
    std::uint64_t bytes_verified = 0;
};

class Workload {
public:
    Workload(const WorkloadOptions &options, unsigned index);

    /// Trims the slice, runs the mix, and reads everything again. Throws at the first wrong byte.
    WorkloadResult run();

private:
    struct Step {
        Operation operation{};
        std::uint64_t slot = 0;
    };
    struct InFlight {
        Step step;
        std::chrono::steady_clock::time_point start;
    };
    struct Slot {
        std::uint32_t generation = 0;  ///< 0: trimmed, so zeros.
        bool busy = false;             ///< Two requests for one slot could be done in either order.
    };

    Info ask_info();
    template <class NextStep>
    void run_steps(std::uint64_t count, NextStep next);
    Step choose_step();
    void submit(const Step &step);
    void complete(const Reply &reply, std::span<const std::byte> payload);
    void verify(const Step &step, std::span<const std::byte> payload);
    [[nodiscard]] std::vector<std::byte> content_of(std::uint64_t slot) const;
    [[nodiscard]] Request request_of(const Step &step) const;
    [[noreturn]] void fail(const Step &step, const std::string &what) const;

    WorkloadOptions options_;
    unsigned index_;
    Session session_;
    samples::Random random_;
    std::vector<Slot> slots_;
    std::unordered_map<std::uint64_t, InFlight> in_flight_;
    std::uint64_t next_tag_ = 0;
    std::uint32_t last_generation_ = 0;
    bool measuring_ = false;
    WorkloadResult result_;
};

}  // namespace block_store
