#pragma once

#include <sys/epoll.h>

#include <algorithm>
#include <string>

#include "case.hpp"

namespace sansock::parity {

inline int new_epoll() { return must("epoll_create1", epoll_create1(EPOLL_CLOEXEC)); }

/// epoll_ctl with a value that names the entry in transcripts.
inline int control(int set, int operation, int fd, std::uint32_t events, std::uint64_t name = 0) {
    epoll_event interest{.events = events, .data = {.u64 = name}};
    return epoll_ctl(set, operation, fd, &interest);
}

/// One line with what a wait brought, in the order of names, since the kernel's order is not promised.
inline void show_wait(Case &t, std::string_view label, int set, int timeout_ms = 0, int max = 16) {
    std::vector<epoll_event> events(static_cast<std::size_t>(max));
    const int ready = epoll_wait(set, events.data(), max, timeout_ms);
    if (ready < 0) return t.value(label, ready);
    events.resize(static_cast<std::size_t>(ready));
    std::ranges::sort(events, {}, [](const epoll_event &event) { return event.data.u64; });
    std::string text = std::to_string(ready);
    for (const epoll_event &event : events) {
        text += " [" + std::to_string(event.data.u64) + " " + event_names(event.events) + "]";
    }
    t.says(label, text);
}

}  // namespace sansock::parity
