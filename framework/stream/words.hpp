// What an end says beside its bytes, as one message: for a peer on another host, who cannot look into its slot.
//
// A message holds all of the cold words as they stand, so that none is ever out of turn: who was told the newest needs no older one. The
// peer's framework lays it down in a slot of its own memory (a mirror), where its stream reads it as it would the peer's.
#pragma once
#include "memory/layout.hpp"

namespace sansock::stream {

struct Words {
    uint64_t switched_at, frozen_at, fin_at, consumed;
    uint32_t ready, switched, frozen, step, stepped, fin, state, pinned, reason, resting;
};
static_assert(sizeof(Words) == 72);

/// Any thread, while others store. A word that is there is there with all that was stored before it.
Words read_words(const memory::Slot &mine);
/// One thread at a time. The stream checks what it finds there, as it does in a peer's slot.
void lay_down(const Words &words, memory::Slot &mirror);

}  // namespace sansock::stream
