// The providers that operators have drained. A daemon that is started again finds them as they were.
#pragma once
#include <mutex>
#include <set>
#include <string>

#include "base/result.hpp"
#include "config/guid.hpp"

namespace sansock::control {

class Drained {
public:
    /// Reads `file`, a GUID a line; one that is not there is empty. Fails with EPROTO, file and line where it holds anything else.
    static Result<Drained> load(std::string file);
    Drained(Drained &&other) noexcept : file_(std::move(other.file_)), guids_(std::move(other.guids_)) {}

    [[nodiscard]] std::set<config::Guid> guids() const;
    /// True: it was not drained before. Fails when there are too many, or the file cannot be written; then nothing has changed.
    Result<bool> add(const config::Guid &guid);
    /// True: it was.
    Result<bool> remove(const config::Guid &guid);

private:
    explicit Drained(std::string file) : file_(std::move(file)) {}
    Result<void> replace(std::set<config::Guid> guids);

    const std::string file_;
    mutable std::mutex mutex_;
    std::set<config::Guid> guids_;
};

}  // namespace sansock::control
