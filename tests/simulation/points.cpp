#include "points.hpp"

#include <string_view>

namespace sansock::simulation {
namespace {

// framework/: grep SANSOCK_POINT. The last ones of each part are the simulation's own, around what the kernel does.
constexpr const char *kNames[] = {"D1.copied",        "D1.full",     "D1.listed",    "D1.locked",    "D1.published", "D2.consumed",
                                  "D2.copied",        "D2.found",    "D2.from-tcp",  "D2.locked",    "D2.looked-up", "D3.published",
                                  "D3.want-room",     "E1.fin",      "E1.named",     "E1.told",      "E2.looked",    "E3.fin",
                                  "E3.named",         "E4.closed",   "E4.left",      "E5.looked",    "E5.seen",      "S1.asked",
                                  "S1.freezing",      "S1.frozen",   "S1.named",     "S1.stopped",   "S1.told",      "S2.looked",
                                  "S3.ended",         "S3.told",     "S3.repeated",  "S3.repeating", "S3.stepped",   "S4.over",
                                  "S5.frozen",        "S5.named",    "S5.stepped",   "U2.covered",   "U2.ready",     "U3.counted",
                                  "U3.moved",         "U3.named",    "U3.quiet",     "U3.stayed",    "U3.switched",  "U5.arrived",
                                  "U5.counted",       "lock.give",   "lock.take",    "spin",         "call",         "kernel",
                                  "parking",          "parked",      "wire",         "helper",       "M1.arrived",   "M1.posted",
                                  "M2.worth-telling", "M3.reposted", "M4.completed", "provider",     "channel"};

}  // namespace

std::span<const char *const> point_names() { return kNames; }
static_assert(std::string_view(kNames[kPointsWithin - 1]) == "helper");

}  // namespace sansock::simulation
