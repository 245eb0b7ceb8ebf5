#include "control/drained.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>

#include "base/printable.hpp"
#include "socket/agent_message.hpp"

namespace sansock::control {

Result<Drained> Drained::load(std::string file) {
    Drained drained(std::move(file));
    std::ifstream lines(drained.file_);
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
        const auto guid = config::Guid::parse(line);
        if (!guid || drained.guids_.size() == socket::kDrainsMax)
            return fail(EPROTO, fmt::format("{}:{}:1: \"{}\"; allowed: up to {} GUIDs, one a line", drained.file_, number,
                                            printable(line.substr(0, 60)), socket::kDrainsMax));
        drained.guids_.insert(*guid);
    }
    return drained;
}

std::set<config::Guid> Drained::guids() const {
    const std::scoped_lock lock(mutex_);
    return guids_;
}

Result<bool> Drained::add(const config::Guid &guid) {
    const std::scoped_lock lock(mutex_);
    std::set<config::Guid> guids = guids_;
    if (!guids.insert(guid).second) return false;
    if (guids.size() > socket::kDrainsMax)
        return fail(ENOSPC, fmt::format("{} providers are drained already; allowed: {}", guids_.size(), socket::kDrainsMax));
    if (auto written = replace(std::move(guids)); !written) return std::unexpected(written.error());
    return true;
}

Result<bool> Drained::remove(const config::Guid &guid) {
    const std::scoped_lock lock(mutex_);
    std::set<config::Guid> guids = guids_;
    if (guids.erase(guid) == 0) return false;
    if (auto written = replace(std::move(guids)); !written) return std::unexpected(written.error());
    return true;
}

/// The whole file or none of it, whatever happens in the middle.
Result<void> Drained::replace(std::set<config::Guid> guids) {
    const std::string fresh = file_ + ".new";
    {
        std::ofstream lines(fresh, std::ios::trunc);
        for (const config::Guid &guid : guids) lines << guid.text() << '\n';
        lines.close();
        if (!lines) return fail_errno(fmt::format("cannot write {}", fresh));
    }
    if (std::rename(fresh.c_str(), file_.c_str()) != 0) return fail_errno(fmt::format("cannot write {}", file_));
    guids_ = std::move(guids);
    return {};
}

}  // namespace sansock::control
