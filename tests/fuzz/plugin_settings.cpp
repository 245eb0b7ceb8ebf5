// The block of YAML that a plugin is given: refused with its place, or settings that are in their bounds.
#include <sansock/sdk/cpp/failure.hpp>

#include "common/units.hpp"
#include "fuzz.hpp"
#include "portable/settings.hpp"
#include "simulated/settings.hpp"

using namespace sansock;

namespace {

template <class Parse, class Check>
void parse(Parse parse_settings, const std::string &yaml, Check check) {
    try {
        check(parse_settings(yaml.c_str(), "/etc/sansock.yaml:12"));
    } catch (const sdk::Failure &failure) {
        MUST(failure.status() == SANSOCK_EINVAL && std::string_view(failure.what()).starts_with("/etc/sansock.yaml:"));
    }
}

bool is_between(uint64_t number, uint64_t min, uint64_t max) { return number >= min && number <= max; }

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const std::string yaml(reinterpret_cast<const char *>(data), size);
    parse(portable::parse_settings, yaml, [](const portable::Settings &read) {
        MUST(is_between(read.message_bytes_max, portable::kMessageBytesMin, portable::kMessageBytesMax));
        MUST(is_between(read.connect_timeout_ns, 10'000'000, 60'000'000'000) &&
             is_between(read.timeout_ns, 2'000'000'000, 3600'000'000'000));
        MUST(read.ports.first <= read.ports.last && (!read.address || portable::names_a_host(*read.address)));
    });
    parse(simulated::parse_settings, yaml, [](const simulated::Settings &read) {
        MUST(is_between(read.message_bytes_max, 4096, 1 << 20));
        if (!read.simulation) return;
        MUST(read.simulation->completion_error_rate >= 0 && read.simulation->completion_error_rate <= 1);
        MUST(read.simulation->latency_ns + read.simulation->jitter_ns <= simulated::kDelayNsMax);
    });
    (void)plugins::parse_size(yaml), (void)plugins::parse_duration(yaml);
    return 0;
}
