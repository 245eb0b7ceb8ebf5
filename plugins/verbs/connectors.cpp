#include "connectors.hpp"

#include "connector.hpp"

namespace sansock::verbs {

Connectors &connectors() {
    static Connectors all;
    return all;
}

Connectors::~Connectors() {
    // A child of fork has none of the threads, and perhaps a lock that nobody will ever open.
    if (::getpid() != process_) return;
    for (Connector *connector : all_) connector->stop();
}

void Connectors::add(Connector &connector) {
    const std::lock_guard lock(mutex_);
    process_ = ::getpid();
    all_.push_back(&connector);
}

void Connectors::remove(Connector &connector) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase(all_, &connector);
}

}  // namespace sansock::verbs
