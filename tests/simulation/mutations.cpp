#include "mutations.hpp"

#include <algorithm>
#include <cstring>

namespace sansock::simulation {
namespace {

constexpr Mutation kMutations[] = {
    {"NONE", "placeholder"},
};

const Mutation *active = nullptr;

}  // namespace

std::span<const Mutation> mutations() { return kMutations; }

bool activate_mutation(const char *name) {
    active = nullptr;
    if (name == nullptr) return true;
    for (const Mutation &mutation : kMutations) {
        if (std::strcmp(mutation.name, name) == 0) active = &mutation;
    }
    return active != nullptr;
}

bool active_mutation_is(const char *name) { return active != nullptr && std::strcmp(active->name, name) == 0; }

}  // namespace sansock::simulation
