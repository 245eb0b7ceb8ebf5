#pragma once
#include <string>

#include "base/result.hpp"
#include "provider_conformance.hpp"

namespace sansock::validator {

struct Arguments {
    conformance::Target target;
    std::string pattern = "*";  ///< Of cases to run.
    int seed = 0;               ///< 0 draws one.
    bool verbose = false;       ///< Show what passing cases print, too.
    bool help = false;
};

extern const char kUsage[];

[[nodiscard]] Result<Arguments> parse_arguments(int count, char **values);

}  // namespace sansock::validator
