// What every provider must do, whoever wrote it: the fixture and its tools.
//
// The cases are in this folder's *_test.cpp and know nothing of any particular provider. A program that links them says
// with INSTANTIATE_TEST_SUITE_P which providers to try; sansock-validate runs each case in a process of its own.
#pragma once
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "plugin/host.hpp"

namespace sansock::conformance {

/// A provider to try.
struct Target {
    std::string label;   ///< For the test's name.
    std::string plugin;  ///< By the name in its manifest.
    std::string yaml;
    std::vector<std::filesystem::path> directories;  ///< Where plugins are looked for; empty for the usual places.
};
void PrintTo(const Target &target, std::ostream *out);

/// Registered memory of its own, filled with zeros.
class Memory {
public:
    Memory(plugin::Provider &provider, std::uint64_t bytes);
    ~Memory();
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;

    [[nodiscard]] std::uint8_t *at(std::uint64_t offset) { return base_ + offset; }
    [[nodiscard]] sansock_slice slice(std::uint64_t offset, std::uint64_t length) { return {base_ + offset, length, region_->get()}; }

private:
    UniqueFd fd_;
    std::uint64_t bytes_;
    std::uint8_t *base_ = nullptr;
    std::optional<plugin::Region> region_;
};

/// One endpoint with a queue and memory of its own, and everything it has reported.
struct End {
    explicit End(plugin::Provider &provider, std::uint32_t send_depth = 8, std::uint32_t receive_depth = 8,
                 std::uint64_t memory_bytes = 64 * 1024);

    /// Polls once and keeps what came.
    void poll();
    [[nodiscard]] std::size_t count(std::uint32_t kind, std::optional<std::int32_t> status = std::nullopt) const;
    [[nodiscard]] bool established() const { return count(SANSOCK_COMPLETION_STATE, SANSOCK_OK) == 1; }
    /// The status of the reported failure; 0 when none was.
    [[nodiscard]] std::int32_t failure() const;

    /// Posts `length` bytes of the memory from `offset` on.
    [[nodiscard]] std::int32_t send(std::uint64_t offset, std::uint64_t length, std::uint64_t token = 0);
    [[nodiscard]] std::int32_t receive(std::uint64_t offset, std::uint64_t length, std::uint64_t token = 0);

    Memory memory;
    plugin::CompletionQueue queue;
    std::optional<plugin::Endpoint> endpoint;  ///< May be closed before the rest.
    std::vector<sansock_completion> reported;
};

/// The seed of this run: --gtest_random_seed (sansock-validate: --seed), or else a new one. Printed with each failure.
[[nodiscard]] unsigned seed();

class ProviderConformance : public ::testing::TestWithParam<Target> {
protected:
    ProviderConformance() : random(seed()), trace_(__FILE__, __LINE__, "seed " + std::to_string(seed())) {}

    /// Opened at the first call, so that a case can fork before.
    [[nodiscard]] plugin::Provider &provider();

    /// Polls both until `done`, for at most twenty seconds; then the case fails.
    void poll_until(const std::function<bool()> &done, std::initializer_list<End *> ends);

    /// Carries the offer and the answer and waits until both ends report to be established.
    void connect(End &offering, End &answering);

    [[nodiscard]] std::uint32_t below(std::uint32_t bound) { return std::uniform_int_distribution<std::uint32_t>(0, bound - 1)(random); }

    std::mt19937 random;

private:
    ::testing::ScopedTrace trace_;
    std::optional<plugin::Host> host_;
    std::optional<plugin::Provider> provider_;
};

/// A provider opened the way the fixture does it, for a second process.
[[nodiscard]] Result<plugin::Provider> open_target(const Target &target, std::optional<plugin::Host> &host);

/// Byte `at` of the message that starts with `start`.
[[nodiscard]] inline std::uint8_t pattern(std::uint64_t start, std::uint64_t at) {
    return static_cast<std::uint8_t>((start * 31 + at) * 2654435761U >> 16);
}
void fill(Memory &memory, std::uint64_t offset, std::uint64_t length, std::uint64_t start);
[[nodiscard]] ::testing::AssertionResult holds(Memory &memory, std::uint64_t offset, std::uint64_t length, std::uint64_t start);

}  // namespace sansock::conformance
