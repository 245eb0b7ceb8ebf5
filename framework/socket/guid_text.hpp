// A provider's GUID as text.
#pragma once

namespace sansock::socket {

/// As in reports: lower case, no braces; ends with a zero byte.
struct GuidText {
    char text[40];
};

}  // namespace sansock::socket
