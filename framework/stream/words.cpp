#include "stream/words.hpp"

namespace sansock::stream {
namespace {

template <class Number>
Number read(const std::atomic<Number> &word) {
    return word.load(std::memory_order_acquire);
}

template <class Number>
void lay(std::atomic<Number> &word, Number value) {
    word.store(value, std::memory_order_release);
}

}  // namespace

/// What is stored last is read first.
Words read_words(const memory::Slot &mine) {
    const memory::ColdWords &cold = mine.cold;
    Words words{};
    words.state = read(cold.state);
    words.stepped = read(cold.stepped);
    words.step = read(cold.step);
    words.frozen = read(cold.frozen);
    words.frozen_at = read(cold.frozen_at);
    words.fin = read(cold.fin);
    words.fin_at = read(cold.fin_at);
    words.switched = read(cold.switched);
    words.switched_at = read(cold.switched_at);
    words.ready = read(cold.ready);
    words.resting = read(cold.resting);
    words.pinned = read(cold.pinned);
    words.reason = read(cold.reason);
    words.consumed = read(mine.hot.consumed);
    return words;
}

void lay_down(const Words &words, memory::Slot &mirror) {
    memory::ColdWords &cold = mirror.cold;
    lay(mirror.hot.consumed, words.consumed);
    lay(cold.reason, words.reason);
    lay(cold.pinned, words.pinned);
    lay(cold.resting, words.resting);
    lay(cold.switched_at, words.switched_at);
    lay(cold.switched, words.switched);
    lay(cold.fin_at, words.fin_at);
    lay(cold.fin, words.fin);
    lay(cold.frozen_at, words.frozen_at);
    lay(cold.frozen, words.frozen);
    lay(cold.step, words.step);
    lay(cold.ready, words.ready);
    lay(cold.stepped, words.stepped);
    lay(cold.state, words.state);
    mirror.hot.attention.fetch_add(1, std::memory_order_release);
}

}  // namespace sansock::stream
