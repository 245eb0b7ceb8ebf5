// The completions of one poll.
#pragma once
#include <sansock/sdk/completion.h>

namespace sansock::verbs {

class Report {
public:
    Report(sansock_completion *completions, std::uint32_t capacity) noexcept : completions_(completions), capacity_(capacity) {}

    [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
    [[nodiscard]] std::uint32_t room() const noexcept { return capacity_ - count_; }
    void add(const sansock_completion &completion) noexcept { completions_[count_++] = completion; }

private:
    sansock_completion *completions_;
    std::uint32_t capacity_;
    std::uint32_t count_ = 0;
};

}  // namespace sansock::verbs
