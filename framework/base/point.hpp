// Places in the code that a test can stop at, and rules that it can break.
//
// A point stands between two stores, or a store and a call, that another process can tell apart: SANSOCK_POINT("S3.repeated") is
// where the repeat of transition S3 (docs/stream-protocol.md) is done and not yet announced. A build with SANSOCK_POINTS calls
// at_point() there, which the test defines: to run somebody else meanwhile, to stop for ever, or to die.
// SANSOCK_MUTATE(name, shipping, mutated) is the shipping expression, or the mutated one where the test asks for that mutation by name.
// What ships has neither: not a call, not a load, not a string.
#pragma once

#if defined(SANSOCK_POINTS)
namespace sansock {
void at_point(const char *name);
/// Whether the rule `name` is broken in this run.
bool is_mutated(const char *name);
}  // namespace sansock
#define SANSOCK_POINT(name) ::sansock::at_point(name)
#define SANSOCK_MUTATE(name, shipping, mutated) (::sansock::is_mutated(name) ? (mutated) : (shipping))
#else
#define SANSOCK_POINT(name) static_cast<void>(0)
#define SANSOCK_MUTATE(name, shipping, mutated) (shipping)
#endif
