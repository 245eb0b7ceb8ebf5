// The points of the code under test, numbered.
#pragma once
#include <span>

namespace sansock::simulation {

std::span<const char *const> point_names();
/// The first ones are those of one host, of which a seed's scenario names one.
inline constexpr size_t kPointsWithin = 58;

}  // namespace sansock::simulation
