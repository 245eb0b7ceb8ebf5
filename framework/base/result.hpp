// One error type for the whole framework: an errno code that a program can act on, and a sentence that a person can.
#pragma once
#include <cerrno>
#include <cstring>
#include <expected>
#include <string>
#include <utility>

namespace sansock {

struct Error {
    int code = 0;      ///< An errno value, never 0.
    std::string text;  ///< What is wrong, what was expected, what to do. No trailing full stop or newline.
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(int code, std::string text) { return std::unexpected(Error{code, std::move(text)}); }

/// The error of a system call that just failed: `what` names the call and its object.
[[nodiscard]] inline std::unexpected<Error> fail_errno(const std::string &what) {
    const int code = errno;
    return std::unexpected(Error{code, what + ": " + std::strerror(code)});
}

}  // namespace sansock
