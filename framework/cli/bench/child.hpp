// A worker as a child process: its lines are read with a deadline, and it never outlives the object.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"

namespace sansock::cli::bench {

class Child {
public:
    /// Throws std::runtime_error when it cannot be started.
    explicit Child(const std::vector<std::string> &command);
    Child(const Child &) = delete;
    Child &operator=(const Child &) = delete;
    Child(Child &&other) noexcept;
    Child &operator=(Child &&other) = delete;
    ~Child();

    /// Nothing at the end of its output; throws when nothing came in time.
    [[nodiscard]] std::optional<std::string> read_line(std::chrono::duration<double> patience);
    /// Throws when it ends without one.
    [[nodiscard]] std::string expect_line(std::chrono::duration<double> patience);
    /// Closes its standard input and waits for its end; throws unless it ends well.
    void finish();

private:
    std::string name_;  ///< For messages.
    pid_t pid_ = -1;
    UniqueFd in_, out_;
    std::string read_;
};

}  // namespace sansock::cli::bench
