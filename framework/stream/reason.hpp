// Reason codes as operators read them.
#pragma once
#include "stream/state.hpp"

namespace sansock::stream {

/// The stable name of a reason, as in reports ("peer-silent"); nullptr for kNone.
const char *reason_name(Reason reason);

}  // namespace sansock::stream
