// A copy that survives a bad user pointer: Linux answers EFAULT where memcpy would end the program.
//
// The copy is assembly that touches neither the stack nor a callee-saved register, so that a SIGSEGV or SIGBUS handler that
// finds the fault inside it can simply return to the caller with "not copied" (recover_guarded_copy). 3 ns for 64 bytes, like memcpy.
#pragma once
#include <cstddef>

namespace sansock {

/// Copies n bytes; true, or false when either side is not accessible (some of the destination may then have been written).
/// Without an installed handler a bad pointer raises the signal as memcpy would.
extern "C" bool sansock_guarded_copy(void *to, const void *from, size_t n) noexcept;
inline bool guarded_copy(void *to, const void *from, size_t n) { return sansock_guarded_copy(to, from, n); }
/// The same, but what is written goes to memory and leaves no cache line behind, neither here nor with a processor that held it.
extern "C" bool sansock_guarded_copy_past_cache(void *to, const void *from, size_t n) noexcept;
inline bool guarded_copy_past_cache(void *to, const void *from, size_t n) { return sansock_guarded_copy_past_cache(to, from, n); }

/// For a signal handler: when `ucontext` (the third argument of a SA_SIGINFO handler) was interrupted inside a guarded copy, makes that
/// copy answer false and says true; otherwise changes nothing and says false.
bool recover_guarded_copy(void *ucontext) noexcept;

}  // namespace sansock
