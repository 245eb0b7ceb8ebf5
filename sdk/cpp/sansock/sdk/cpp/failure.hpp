// How C++ code says no at the edge of the contract: [control] calls throw a Failure, which becomes a status and a
// sentence.
#pragma once
#include <sansock/sdk/status.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <utility>

namespace sansock::sdk {

class Failure : public std::exception {
public:
    /// `text` is one sentence for an operator, without a full stop.
    Failure(std::int32_t status, std::string text) : status_(status), text_(std::move(text)) {}

    /// The system call that just failed. Errno numbers that the contract does not know become EIO.
    static Failure from_errno(const std::string &what) {
        const int code = errno;
        return Failure(to_status(code), what + ": " + std::strerror(code));
    }

    std::int32_t status() const noexcept { return status_; }
    const char *what() const noexcept override { return text_.c_str(); }

private:
    static std::int32_t to_status(int code) noexcept {
        switch (code) {
            case EMFILE:
            case ENFILE:
            case ENOSPC:
            case ENOMEM: return SANSOCK_ENOMEM;
            case EACCES:
            case EPERM: return SANSOCK_EPERM;
            case ENOENT:
            case ENXIO:
            case ENODEV: return SANSOCK_ENODEV;
            default: return SANSOCK_EIO;
        }
    }

    std::int32_t status_;
    std::string text_;
};

/// Runs `call` and keeps every exception on this side of the contract.
template <class Call>
std::int32_t guarded(sansock_error *error, Call &&call) noexcept {
    const auto say = [error](std::int32_t status, const char *text) {
        std::strncpy(error->text, text, sizeof error->text - 1);
        error->text[sizeof error->text - 1] = '\0';
        return status;
    };
    try {
        call();
        return SANSOCK_OK;
    } catch (const Failure &failure) {
        return say(failure.status(), failure.what());
    } catch (const std::bad_alloc &) {
        return say(SANSOCK_ENOMEM, "out of memory");
    } catch (const std::exception &other) {
        return say(SANSOCK_EIO, other.what());
    } catch (...) {
        return say(SANSOCK_EIO, "an unknown exception was thrown");
    }
}

}  // namespace sansock::sdk
