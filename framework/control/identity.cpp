#include "control/identity.hpp"

#include <spdlog/spdlog.h>
#include <time.h>

namespace sansock::control {
namespace {

constexpr auto kWarnEvery = std::chrono::hours(12);

}  // namespace

Result<std::unique_ptr<Identity>> Identity::open(const std::string &directory) {
    std::unique_ptr<Identity> identity(new Identity(directory));
    identity->state_ = pki::Credentials::state_of_files(directory);
    auto loaded = pki::Credentials::load(directory);
    if (!loaded) return std::unexpected(loaded.error());
    identity->current_ = std::move(*loaded);
    identity->warn(true);
    return identity;
}

Identity::Credentials Identity::current() const {
    const std::scoped_lock lock(mutex_);
    return current_;
}

bool Identity::look(bool anyway) {
    const std::scoped_lock lock(mutex_);
    std::string state = pki::Credentials::state_of_files(directory_);  // before they are read: what changes meanwhile is seen the next time
    if (!anyway && state == state_ && fault_.empty()) {
        warn(false);
        return false;
    }
    state_ = std::move(state);
    auto loaded = pki::Credentials::load(directory_);
    if (!loaded) {
        if (anyway || loaded.error().text != fault_) spdlog::error("the certificates stay as they were: {}", loaded.error().text);
        fault_ = loaded.error().text;
        return false;
    }
    fault_.clear();
    current_ = std::move(*loaded);
    spdlog::info("the certificate of {}, serial {}, is valid until {}", current_->own().names.host, current_->own().serial,
                 pki::text_of_time(current_->own().until));
    warn(true);
    return true;
}

void Identity::warn(bool is_new) {
    const auto now = std::chrono::steady_clock::now();
    if (!is_new && now - warned_ < kWarnEvery) return;
    warned_ = now;
    if (const std::string warning = current_->warning(time(nullptr)); !warning.empty())
        spdlog::warn("the certificate of {}, serial {}, {}", current_->own().names.host, current_->own().serial, warning);
}

}  // namespace sansock::control
