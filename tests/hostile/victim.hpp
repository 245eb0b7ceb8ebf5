// A program under `sansock run`, as a test sees it: what it says, what it logs, what its report says, and what it holds.
#pragma once
#include <sys/resource.h>
#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace sansock::hostile {

/// Nothing here waits longer for a program that hangs.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr int kPatienceMs = 30'000;
#else
inline constexpr int kPatienceMs = 5'000;
#endif

/// A step of programs that talk faster than their helpers look into the matter.
inline const std::string kHelpersTurn = "pause=" + std::to_string(kPatienceMs / 50);

struct Launch {
    std::string sansock = SANSOCK_PROGRAM;
    std::string program = SANSOCK_VICTIM;
    std::string config = SANSOCK_HOSTILE_CONFIG;
    uid_t user = 0;  ///< 0: as the test.
    std::vector<std::pair<int, rlim_t>> limits = {};
    std::vector<std::string> environment = {};  ///< "NAME=value", beside what the test has.
};

/// In a network namespace that is new.
void bring_loopback_up();

class Victim {
public:
    explicit Victim(const std::vector<std::string> &arguments, const Launch &asked = {});
    ~Victim();
    Victim(const Victim &) = delete;
    Victim &operator=(const Victim &) = delete;

    /// The next line of its standard output; empty when none comes in time.
    std::string line();
    /// The port that `accept` says.
    int port();
    /// Its last line, once it has ended by itself; or how else it ended.
    std::string ending();
    /// Its report's record of the one connection. Call after ending().
    nlohmann::json record();
    /// All of its report.
    std::vector<nlohmann::json> records();
    std::string log();
    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] bool alive();

private:
    std::string folder_, unread_, last_;
    pid_t pid_ = -1;
    int output_ = -1;
    bool reaped_ = false;
    int status_ = 0;
};

}  // namespace sansock::hostile
