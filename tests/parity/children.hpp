// Children of a case.
#pragma once
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "case.hpp"

namespace sansock::parity {

/// `body` in a forked child; it ends by _exit, so that nothing but the descriptors is given up.
inline int in_child(const std::function<void()> &body) {
    const int child = must("fork", fork());
    if (child == 0) {
        body();
        _exit(0);
    }
    return child;
}

inline void wait_for(Case &t, int child) {
    int status = -1;
    must("waitpid", waitpid(child, &status, 0));
    t.value("the child's status", status);
}

}  // namespace sansock::parity
