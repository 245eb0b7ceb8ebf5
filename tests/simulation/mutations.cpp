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
    {"CLOSE_UNSEEN", "E4: a FIN behind unread bytes is all that tells of a close"},
    {"END_NOT_FORWARDED", "E5: the helper does not wake who sleeps on the window"},
    {"UNREAD_OUTPUT_IS_CLEAN", "E5: a peer that died with input unread ends cleanly"},
    {"DELIVER_FOREIGN", "I3: foreign bytes are not looked for"},
    {"NO_COUNT_BEFORE_REPLAY", "I3: the kernel's count is not compared before the repeat"},
    {"NO_COUNT_AT_CLOSE", "E2, I3: ... nor at a close that needs no repeat"},
    {"WINDOW_OVER_ROOM", "I2: the window is larger than what the kernel takes at once"},
    {"SWITCH_BUSY_QUEUE", "U3: switch while the kernel's send queue is not empty"},
    {"REPLAY_SHORT", "S3: what the kernel does not take of a repeat is forgotten"},
    {"SEND_BEFORE_PUBLISH", "D1: send() returns before its bytes are published"},
    {"STOP_WITHOUT_LOCK", "S1: a writer publishes after the repeat"},
    {"STEP_ONE_DIRECTION", "I5: the answer to STEP covers its own output only"},
    {"STEP_AFTER_RESET", "S1: a step is published after a reset"},
    {"ANSWER_BY_APPLICATION", "S2: a STEP waits for the application's next call"},
    {"FIN_BEFORE_STEPPED", "S3: the kernel's FIN goes out before `stepped`"},
    {"LEAVE_EARLY", "S5: exec when only this end has stepped"},
    {"LEAVE_UNSEEN", "S5: who leaves leaves no answer behind for a peer that was ready already"},
    {"NO_REREAD", "E5: the end of TCP is believed without another look at the tail"},
    {"REREAD_AFTER_STEPPED", "E5: the window is read although the peer had stepped"},
    {"WORDS_UNTOLD", "B1: whoever changes words does not tell them"},
    {"WORDS_OVERTAKE", "B1: words that were said before come behind those that were said after"},
    {"READY_WITHOUT_PATH", "M8: an end is ready in an epoch for which its path of the last one stands"},
    {"BYTES_BEFORE_WORD", "B2: bytes of the provider ahead of the word that the peer has switched break the path"},
    {"REPEATED_IS_FOREIGN", "B3: what is repeated before the peer's `step` is here is foreign"},
    {"END_BEFORE_WORDS", "B4: TCP's end is judged before the words that explain it"},
    {"NO_GUARD", "B5: the death of a process that keeps bytes is a clean end to the kernel"},
    {"GUARD_OFF_EARLY", "B5: the guard is taken off while bytes are kept"},
    {"GUARD_STAYS", "B5: the guard is left on when a STEP has given the kernel what was kept"},
    {"EXIT_FORGETS_KEPT", "B6: a process ends with bytes kept"},
    {"LAST_WORDS_LOST", "B6: ... or before the peer's kernel has what was said last"},
    {"CUT_GOES_ON", "B7: who was ready goes on by TCP when no word comes any more"},
    {"ROOM_OF_THE_GONE", "E5: who polls for room is told of the window's, though the peer has gone"},
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
