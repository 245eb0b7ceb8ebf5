#include "connectors.hpp"

#include <algorithm>
#include <ctime>
#include <utility>

#include "common/kernel.hpp"
#include "connector.hpp"

namespace sansock::verbs {
namespace {

constexpr int kTriesAtExit = 500;  ///< A millisecond each.

}  // namespace

Connectors &connectors() {
    static Connectors all;
    return all;
}

Connectors::~Connectors() {
    // A child of fork has none of the threads, and perhaps a lock that nobody will ever open.
    if (::getpid() != process_) return;
    for (Connector *connector : all_) connector->begin_to_stop();
    // One may be waiting for a peer's host. The process is not to.
    for (int tries = 0; tries < kTriesAtExit && !std::ranges::all_of(all_, &Connector::has_stopped); ++tries) {
        const timespec pause{0, 1'000'000};
        plugins::kernel(SYS_nanosleep, &pause, nullptr);
    }
}

void Connectors::add(Connector &connector) {
    const std::lock_guard lock(mutex_);
    const pid_t process = ::getpid();
    if (std::exchange(process_, process) != process) all_.clear();  // Those were the parent's.
    all_.push_back(&connector);
}

void Connectors::remove(Connector &connector) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase(all_, &connector);
}

}  // namespace sansock::verbs
