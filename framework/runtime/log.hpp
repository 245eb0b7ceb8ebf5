// The runtime's log: one line a message, to standard error or a file, as `logging:` says.
#pragma once
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"
#include "config/config.hpp"

namespace sansock::runtime {

class Log {
public:
    Log() = default;
    /// A file that cannot be opened is said on standard error, which is then used.
    explicit Log(const config::Logging &settings);

    void error(std::string_view text) { write(config::LogLevel::error, text); }
    void warning(std::string_view text) { write(config::LogLevel::warning, text); }
    void from_plugin(std::string_view plugin, int level, std::string_view text);

private:
    void write(config::LogLevel level, std::string_view text);

    config::LogLevel level_ = config::LogLevel::warning;
    UniqueFd file_;
};

}  // namespace sansock::runtime
