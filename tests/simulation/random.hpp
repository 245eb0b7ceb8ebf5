// All chance of a simulation comes from its seed.
#pragma once
#include <cstdint>
#include <initializer_list>

namespace sansock::simulation {

class Random {
public:
    explicit Random(uint64_t seed = 0) : state_(seed * 0x9e37'79b9'7f4a'7c15 + 0x1234'5678) {}

    uint64_t next() {  // splitmix64
        uint64_t z = state_ += 0x9e37'79b9'7f4a'7c15;
        z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9;
        z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11eb;
        return z ^ (z >> 31);
    }
    /// 0 to limit - 1.
    uint64_t below(uint64_t limit) { return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * limit) >> 64); }
    uint64_t between(uint64_t least, uint64_t most) { return least + below(most - least + 1); }
    bool chance(unsigned percent) { return below(100) < percent; }
    template <class T>
    T one_of(std::initializer_list<T> values) {
        return values.begin()[below(values.size())];
    }
    /// Mostly small, sometimes near `most`: sizes as programs use them.
    uint64_t skewed(uint64_t most) { return 1 + below(1 + below(most)); }

private:
    uint64_t state_;
};

}  // namespace sansock::simulation
