// System calls that nobody stands in front of.
//
// A plugin runs inside programs whose calls are intercepted, so that their connections can be moved onto providers. What a provider calls
// for itself is not to be moved onto anything, so it is called by libc's own `syscall`, looked up in libc itself. That is no point of
// cancellation either: no thread of the application is torn out of the middle of a provider.
#pragma once
#include <sys/syscall.h>

#include <type_traits>

namespace sansock::plugins {

namespace detail {
using SystemCall = long (*)(long number, ...);
extern const SystemCall system_call;

template <class T>
long word(T value) noexcept {
    if constexpr (std::is_pointer_v<T>) {
        return reinterpret_cast<long>(value);
    } else if constexpr (std::is_null_pointer_v<T>) {
        return 0;
    } else {
        return static_cast<long>(value);
    }
}
}  // namespace detail

/// The result as libc gives it: -1 and errno.
template <class... Args>
long kernel(long number, Args... args) noexcept {
    return detail::system_call(number, detail::word(args)...);
}

}  // namespace sansock::plugins
