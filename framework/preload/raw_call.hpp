// System calls by number, on descriptors that the library knows.
#pragma once

namespace sansock::preload {

/// True when the call was made here; `result` is then as libc gives it, errno included.
bool raw_call(long number, const long *words, long &result);

}  // namespace sansock::preload
