// The runtime's log: one line a message, to standard error or a file, as `logging:` says.
#pragma once
#include <string>
#include <string_view>

#include "config/config.hpp"

namespace sansock::runtime {

class Log {
public:
    Log() = default;
    /// A file that cannot be opened is said on standard error, which is then used.
    explicit Log(const config::Logging &settings);

    void error(std::string_view text) const { write(config::LogLevel::error, text); }
    void warning(std::string_view text) const { write(config::LogLevel::warning, text); }
    void from_plugin(std::string_view plugin, int level, std::string_view text) const;

private:
    void write(config::LogLevel level, std::string_view text) const;

    config::LogLevel level_ = config::LogLevel::warning;
    std::string file_;  ///< Opened for each line: a descriptor kept would be one of the application's, as far as that can tell.
};

}  // namespace sansock::runtime
