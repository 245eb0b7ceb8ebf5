// What this host shows to others, as its files say now.
#pragma once
#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.hpp"
#include "pki/credentials.hpp"

namespace sansock::control {

class Identity {
public:
    using Credentials = std::shared_ptr<const pki::Credentials>;

    static Result<std::unique_ptr<Identity>> open(const std::string &directory);

    [[nodiscard]] Credentials current() const;
    /// Reads the files anew if they have changed, or if they could not be used the last time; with `anyway` in any case. What cannot be
    /// used is logged, and what there was before stays. True: there is another one now.
    bool look(bool anyway);

private:
    explicit Identity(std::string directory) : directory_(std::move(directory)) {}
    void warn(bool is_new);

    const std::string directory_;
    mutable std::mutex mutex_;
    Credentials current_;
    std::string state_, fault_;
    std::chrono::steady_clock::time_point warned_{};
};

}  // namespace sansock::control
