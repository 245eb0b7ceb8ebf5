#pragma once
#include <sansock/sdk/cpp/region.hpp>

#include "objects.hpp"

namespace sansock::verbs {

/// Registered memory, and the key that the device knows it by.
struct Region : sansock_region {
    MemoryRegion memory;
};

}  // namespace sansock::verbs
