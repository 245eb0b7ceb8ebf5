#include "block_store/workload.hpp"

#include <algorithm>
#include <stdexcept>

namespace block_store {
namespace {

using Clock = std::chrono::steady_clock;

// The mix in percent; flushes are the rest. Reads lead as in most storage traces, and trims stay rare enough that most
// reads meet written data.
constexpr std::uint64_t kReads = 50;
constexpr std::uint64_t kWrites = 45;
constexpr std::uint64_t kTrims = 4;

bool has_slot(Operation operation) { return operation != Operation::Flush; }

}  // namespace

Workload::Workload(const WorkloadOptions &options, unsigned index)
    : options_(options),
      index_(index),
      session_(options.host, options.port),
      random_(options.seed + index),
      result_{{samples::Latencies(options.operations), samples::Latencies(options.operations), samples::Latencies(options.operations),
               samples::Latencies(options.operations)}} {
    const Info info = ask_info();
    if (options.request_size > info.length_max || options.request_size % info.block_size != 0) {
        throw std::runtime_error("the request size must be a multiple of " + std::to_string(info.block_size) + " and at most " +
                                 std::to_string(info.length_max));
    }
    slots_.resize(info.volume_size / options.request_size / options.connections);
    if (slots_.size() <= options.queue_depth) {
        throw std::runtime_error("a volume of " + std::to_string(info.volume_size) +
                                 " bytes is too small for so many connections with such a queue depth and request size");
    }
}

WorkloadResult Workload::run() {
    std::uint64_t slot = 0;
    run_steps(slots_.size(), [&] { return Step{Operation::Trim, slot++}; });

    measuring_ = true;
    const auto start = Clock::now();
    run_steps(options_.operations, [this] { return choose_step(); });
    result_.elapsed = Clock::now() - start;
    measuring_ = false;

    run_steps(1, [] { return Step{Operation::Flush, 0}; });
    slot = 0;
    run_steps(slots_.size(), [&] { return Step{Operation::Read, slot++}; });
    return std::move(result_);
}

Info Workload::ask_info() {
    Info info;
    bool answered = false;
    session_.submit({Operation::Info, 0, 0, 0});
    while (!answered) {
        session_.progress([&](const Reply &reply, std::span<const std::byte> payload) {
            if (reply.status != Status::Ok || payload.size() != Info::kWireSize) {
                throw std::runtime_error("the server does not say how large its volume is");
            }
            info = parse_info(payload);
            answered = true;
        });
    }
    if (info.block_size == 0) throw std::runtime_error("the server says that its blocks have no bytes");
    return info;
}

/// Keeps the queue full until `count` steps are done.
template <class NextStep>
void Workload::run_steps(std::uint64_t count, NextStep next) {
    while (count > 0 || !in_flight_.empty()) {
        for (; count > 0 && in_flight_.size() < options_.queue_depth; --count) submit(next());
        session_.progress([this](const Reply &reply, std::span<const std::byte> payload) { complete(reply, payload); });
    }
}

Workload::Step Workload::choose_step() {
    const std::uint64_t dice = random_.below(100);
    if (dice >= kReads + kWrites + kTrims) return {Operation::Flush, 0};
    // There are more slots than requests in flight, so the search ends.
    std::uint64_t slot = random_.below(slots_.size());
    while (slots_[slot].busy) slot = (slot + 1) % slots_.size();
    if (dice < kReads) return {Operation::Read, slot};
    return {dice < kReads + kWrites ? Operation::Write : Operation::Trim, slot};
}

void Workload::submit(const Step &step) {
    Request request = request_of(step);
    request.tag = next_tag_++;
    std::vector<std::byte> payload;
    if (has_slot(step.operation)) {
        Slot &slot = slots_[step.slot];
        slot.busy = true;
        if (step.operation == Operation::Trim) slot.generation = 0;
        if (step.operation == Operation::Write) {
            slot.generation = ++last_generation_;
            payload = content_of(step.slot);
        }
    }
    in_flight_[request.tag] = {step, Clock::now()};
    session_.submit(request, payload);
}

void Workload::complete(const Reply &reply, std::span<const std::byte> payload) {
    const auto found = in_flight_.find(reply.tag);
    if (found == in_flight_.end()) throw std::runtime_error("the server answered a request that was not made");
    const auto [step, start] = found->second;
    in_flight_.erase(found);
    if (reply.status != Status::Ok) fail(step, name_of(reply.status));
    if (measuring_) {
        const auto kind = std::ranges::find(kMeasured, step.operation) - kMeasured.begin();
        result_.latencies[static_cast<std::size_t>(kind)].add(Clock::now() - start);
    }
    if (step.operation == Operation::Read) verify(step, payload);
    if (has_slot(step.operation)) slots_[step.slot].busy = false;
}

void Workload::verify(const Step &step, std::span<const std::byte> payload) {
    const std::vector<std::byte> expected = content_of(step.slot);
    if (payload.size() != expected.size()) fail(step, "it answered " + std::to_string(payload.size()) + " bytes");
    const auto different = std::ranges::mismatch(payload, expected).in1 - payload.begin();
    if (different != static_cast<std::ptrdiff_t>(payload.size())) {
        fail(step, "byte " + std::to_string(different) + " is wrong");
    }
    result_.bytes_verified += payload.size();
}

std::vector<std::byte> Workload::content_of(std::uint64_t slot) const {
    std::vector<std::byte> content(options_.request_size);
    const std::uint64_t generation = slots_[slot].generation;
    if (generation != 0) {
        samples::Random place(options_.seed ^ request_of({Operation::Read, slot}).offset);
        samples::Random(place.next() ^ generation).fill(content);
    }
    return content;
}

Request Workload::request_of(const Step &step) const {
    if (!has_slot(step.operation)) return {step.operation, 0, 0, 0};
    const std::uint64_t slot = index_ * slots_.size() + step.slot;
    return {step.operation, 0, slot * options_.request_size, options_.request_size};
}

void Workload::fail(const Step &step, const std::string &what) const {
    throw std::runtime_error(std::string(name_of(step.operation)) + " at offset " + std::to_string(request_of(step).offset) + ": " + what);
}

}  // namespace block_store
