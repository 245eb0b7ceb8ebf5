#include "control/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace sansock::control {

void open_log(bool journald) {
    constexpr const char *kName = "sansockd";
    if (journald) {
        spdlog::set_default_logger(std::make_shared<spdlog::logger>(kName, std::make_shared<spdlog::sinks::systemd_sink_mt>()));
        spdlog::set_pattern("%v");
    } else {
        spdlog::set_default_logger(std::make_shared<spdlog::logger>(kName, std::make_shared<spdlog::sinks::stderr_sink_mt>()));
        spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %l: %v");
    }
}

bool set_log_level(const std::string &level) {
    for (const auto known : {spdlog::level::err, spdlog::level::warn, spdlog::level::info, spdlog::level::debug}) {
        if (spdlog::level::to_string_view(known) != spdlog::string_view_t(level)) continue;
        spdlog::set_level(known);
        return true;
    }
    return false;
}

}  // namespace sansock::control
