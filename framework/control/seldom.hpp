// Warnings that somebody else can cause: a few, and then how many there were.
#pragma once
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace sansock::control {

class Seldom {
public:
    void warn(const std::string &text) {
        const std::scoped_lock lock(mutex_);
        const auto now = std::chrono::steady_clock::now();
        if (now - since_ >= kPeriod) {
            if (left_out_ > 0) spdlog::warn("{} more of the kind before this were not logged", left_out_);
            since_ = now;
            told_ = left_out_ = 0;
        }
        if (told_ < kToldMax) {
            ++told_;
            spdlog::warn("{}", text);
        } else {
            ++left_out_;
        }
    }

private:
    static constexpr auto kPeriod = std::chrono::seconds(10);
    static constexpr uint64_t kToldMax = 5;

    std::mutex mutex_;
    std::chrono::steady_clock::time_point since_{};
    uint64_t told_ = 0, left_out_ = 0;
};

}  // namespace sansock::control
