// Counts the system calls that one thread makes, whoever makes them: the program, libc, or a preloaded library with an
// instruction of its own. The kernel hands each to a signal handler (syscall user dispatch, Linux 5.11), which makes it
// in the thread's name. That costs a microsecond a call, and nothing where there are none; a tracer would stop the
// thread, and what waits for it would no longer behave as it does otherwise.
#pragma once
#include <cstdint>

namespace bench {

/// For the calling thread, until stop_counting_calls(). False: this kernel cannot. No more than one thread of a process
/// at a time.
bool count_calls();
void stop_counting_calls();
/// So far. Waiting for a moment in time (clock_nanosleep) is the measuring program's pace, and is not counted.
std::uint64_t calls_counted();

/// How often the other threads of this process were woken up, each of which takes a system call at least.
std::uint64_t wakes_of_other_threads();

}  // namespace bench
