#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "outcome.hpp"

namespace sansock::parity {

/// What a case writes down: one line per call, with all that must be the same with and without the preload library, and
/// nothing else (no numbers of descriptors, no ports, no times). Each line goes out with one write, so that a case that
/// hangs or dies leaves what it had seen, and forked children can write too.
class Transcript {
public:
    /// Writes to a duplicate of the present standard output, since cases replace descriptors 0 to 2.
    Transcript();

    void says(std::string_view label, std::string_view text) const;
    void outcome(std::string_view label, const Outcome &outcome) const;
    /// For the driver, not compared.
    void remark(std::string_view text) const;

private:
    int fd_;
};

/// `EAGAIN` for EAGAIN.
std::string errno_name(int error);
/// `IN|RDHUP`, the names that poll and epoll share.
std::string event_names(unsigned events);
/// Quoted where it is short, else its length and checksum.
std::string shown(std::string_view bytes);

}  // namespace sansock::parity
