#pragma once

#include <cerrno>
#include <string>

namespace sansock::parity {

/// What a system call said: its value, errno where the value is -1, and the bytes it brought.
struct Outcome {
    long result = 0;
    int error = 0;
    std::string bytes;

    /// To be called directly on the system call's value, before anything else can change errno.
    static Outcome of(long result) { return {result, result < 0 ? errno : 0, {}}; }
};

}  // namespace sansock::parity
