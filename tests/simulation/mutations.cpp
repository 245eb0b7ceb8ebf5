#include "mutations.hpp"

#include <algorithm>
#include <cstring>

namespace sansock::simulation {
namespace {

constexpr Mutation kMutations[] = {
    {"FREE_BEFORE_CONSUMED", "D2, I1: room is given back before the application has the bytes"},
    {"NO_DATA_BELL", "D3: a parked peer is not woken"},
    {"FREEZE_WITHOUT_LOCK", "S1: a reader goes on after Z was named"},
    {"NO_STEP_BELL", "S1: the peer's helper is not rung"},
    {"REPEAT_BELOW_X", "S3: repeat from Z, not from max(Z, X)"},
    {"STEPPED_BEFORE_REPLAY", "S3: `stepped` is stored before the bytes are in the kernel"},
    {"FIN_FORGOTTEN", "S3: no kernel FIN after a STEP"},
    {"EPOCH_EARLY", "S4: a new epoch once one end has stepped"},
    {"KERNEL_FIN_ON_SHUTDOWN", "I4: shutdown sends the kernel's FIN while on the provider"},
    {"CLOSE_FORGETS_KEPT", "E3: close with kept output lets the TCP socket go"},
    {"LEAVE_UNSEEN", "E4: a FIN behind unread bytes is all that tells of a close"},
    {"END_NOT_FORWARDED", "E5: the helper does not wake who sleeps on the window"},
    {"UNREAD_OUTPUT_IS_CLEAN", "E5: a peer that died with input unread ends cleanly"},
    {"DELIVER_FOREIGN", "I3: foreign bytes are not looked for"},
    {"NO_COUNT_BEFORE_REPLAY", "I3: the kernel's count is not compared before the repeat"},
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
