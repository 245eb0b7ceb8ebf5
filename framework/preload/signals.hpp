// In front of the application's signal handlers: what interrupts the library in the middle waits until it is through.
#pragma once
#include <signal.h>

namespace sansock::preload {

/// sigaction() for any signal but those of faults.hpp.
int change_action(int number, const struct sigaction *action, struct sigaction *before);
/// signal() for any signal but those.
sighandler_t change_handler(int number, sighandler_t handler);

}  // namespace sansock::preload
