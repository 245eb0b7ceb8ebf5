// Rules of the protocol that the simulation can break, one at a time, to show that it would notice.
#pragma once
#include <span>

namespace sansock::simulation {

struct Mutation {
    const char *name;  ///< As in SANSOCK_MUTATE, and in tests/model/run where the model breaks the same rule.
    const char *rule;
};

std::span<const Mutation> mutations();
/// nullptr: the code as it ships. Answers false for a name that is not in the list.
bool activate_mutation(const char *name);
bool active_mutation_is(const char *name);

}  // namespace sansock::simulation
