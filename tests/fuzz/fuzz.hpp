// What the fuzzers have in common. Each is one function of bytes: under libFuzzer it is given what finds new paths, in every test run the
// corpus with changes that are the same each time (replay.cpp).
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

namespace sansock::fuzz {

[[noreturn]] inline void broken(const char *what, const char *file, int line) {
    std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    std::abort();
}

/// Aborts, in builds of every kind.
#define MUST(what) (static_cast<bool>(what) ? static_cast<void>(0) : ::sansock::fuzz::broken(#what, __FILE__, __LINE__))

/// Takes the bytes apart, from the front; when there are no more, all is 0.
class Input {
public:
    Input(const uint8_t *data, size_t size) : rest_(reinterpret_cast<const char *>(data), size) {}

    [[nodiscard]] bool is_empty() const { return rest_.empty(); }
    [[nodiscard]] size_t left() const { return rest_.size(); }

    template <class T>
    T take() {
        T value{};
        copy(&value, sizeof value);
        return value;
    }
    /// Of one byte.
    uint32_t below(uint32_t limit) { return take<uint8_t>() % limit; }
    std::string_view bytes(size_t size) {
        const std::string_view taken = rest_.substr(0, size);
        rest_.remove_prefix(taken.size());
        return taken;
    }
    std::string_view all() { return bytes(rest_.size()); }
    /// What is missing stays as it is.
    void copy(void *to, size_t size) {
        const std::string_view taken = bytes(size);
        if (!taken.empty()) std::memcpy(to, taken.data(), taken.size());
    }
    /// A number near to one that matters is more dangerous than a wild one.
    uint64_t number(uint64_t near) {
        switch (below(4)) {
            case 0: return take<uint64_t>();
            case 1: return near + take<uint8_t>() - 128;
            case 2: return near + take<uint16_t>();
            default: return near;
        }
    }

private:
    std::string_view rest_;
};

/// A file in memory that holds these bytes.
inline UniqueFd memory_file(std::string_view bytes, unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING) {
    UniqueFd fd(memfd_create("fuzz", flags));
    MUST(fd && write(fd.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    return fd;
}

inline std::string path_of(const UniqueFd &fd) { return "/proc/self/fd/" + std::to_string(fd.get()); }

}  // namespace sansock::fuzz
