// The points of the code under test, numbered.
#pragma once
#include <span>

namespace sansock::simulation {

std::span<const char *const> point_names();

}  // namespace sansock::simulation
