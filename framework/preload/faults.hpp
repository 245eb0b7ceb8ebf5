// EFAULT instead of SIGSEGV: the handler behind guarded_copy().
#pragma once

namespace sansock::preload {

/// Installs the handler for SIGSEGV and SIGBUS, once, in front of whatever the application has; from then on the application's own
/// actions for these two are kept here and called from it. Called when the first connection is tracked.
void install_fault_handler();

}  // namespace sansock::preload
