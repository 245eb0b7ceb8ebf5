// The status page's files (framework/control/page), which are built in.
#pragma once

namespace sansock::control {

extern const char *const kPageHtml;
extern const char *const kPageCss;
extern const char *const kPageJs;

}  // namespace sansock::control
