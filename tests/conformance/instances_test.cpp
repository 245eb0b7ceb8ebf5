// The providers of this repository, each in the ways in which it is used.
#include "provider_conformance.hpp"

namespace sansock::conformance {
namespace {

INSTANTIATE_TEST_SUITE_P(
    InTree, ProviderConformance,
    ::testing::Values(Target{"simulated", "simulated", "", {}},
                      Target{"simulated_network", "simulated", "simulation: {latency: 50us, bandwidth: 10Gbit, jitter: 20us, seed: 7}", {}},
                      Target{"simulated_exact_credits", "simulated", "simulation: {unreceived: fail}", {}},
                      Target{"simulated_short_messages", "simulated", "options: {message_max: 8 KiB}", {}}, Target{"portable", "portable", "", {}},
                      Target{"fault", "fault", "options: {wraps: simulated}", {}},
                      Target{"fault_network", "fault", "{options: {wraps: simulated}, simulation: {latency: 20us, jitter: 30us}}", {}},
                      Target{"fault_portable", "fault", "options: {wraps: portable}", {}}),
    [](const auto &each) { return each.param.label; });

}  // namespace
}  // namespace sansock::conformance
