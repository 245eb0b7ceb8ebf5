#include "runtime/log.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sansock/sdk/host.h>
#include <unistd.h>

#include <cstring>

#include "base/unique_fd.hpp"

namespace sansock::runtime {

namespace {

UniqueFd open_log(const std::string &file) { return UniqueFd(open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640)); }

}  // namespace

Log::Log(const config::Logging &settings) : level_(settings.level) {
    if (settings.file.empty()) return;
    if (open_log(settings.file)) {
        file_ = settings.file;
    } else {
        error(fmt::format("cannot open the log file {}: {}", settings.file, std::strerror(errno)));
    }
}

void Log::from_plugin(std::string_view plugin, int level, std::string_view text) const {
    const auto as = level == SANSOCK_LOG_ERROR     ? config::LogLevel::error
                    : level == SANSOCK_LOG_WARNING ? config::LogLevel::warning
                    : level == SANSOCK_LOG_INFO    ? config::LogLevel::info
                                                   : config::LogLevel::debug;
    write(as, fmt::format("plugin {}: {}", plugin, text));
}

void Log::write(config::LogLevel level, std::string_view text) const {
    if (level > level_) return;
    // One write a line: processes that share a file do not mix theirs.
    const std::string line = fmt::format("sansock[{}]: {}\n", getpid(), text);
    const UniqueFd file = file_.empty() ? UniqueFd() : open_log(file_);
    raw_syscall(SYS_write, file ? file.get() : STDERR_FILENO, line.data(), line.size());
}

}  // namespace sansock::runtime
