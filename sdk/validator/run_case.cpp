#include "run_case.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <chrono>
#include <cstring>

#include "base/unique_fd.hpp"

namespace sansock::validator {
namespace {

constexpr int kPatienceMs = 120'000;
constexpr int kSkippedStatus = 77;

[[noreturn]] void run_here(const std::function<int()> &body, int output) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    const int status = body();
    std::fflush(nullptr);
    ::_exit(status);
}

/// Waits for the end of the process, for so long; false when it did not come.
bool wait_for(pid_t child) {
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    pollfd ended{.fd = process.get(), .events = POLLIN, .revents = 0};
    return ::poll(&ended, 1, kPatienceMs) == 1;
}

std::string read_all(int fd) {
    std::string text(static_cast<std::size_t>(std::max<off_t>(::lseek(fd, 0, SEEK_END), 0)), '\0');
    const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return text;
}

/// The line after a mark of GoogleTest's "file:line: Skipped".
std::string skip_reason(const std::string &output) {
    const std::size_t mark = output.find(": Skipped\n");
    if (mark == std::string::npos) return "";
    const std::size_t begin = mark + std::strlen(": Skipped\n");
    return output.substr(begin, output.find('\n', begin) - begin);
}

CaseResult judge(int status, std::string output) {
    if (WIFSIGNALED(status)) return {Outcome::crashed, ::strsignal(WTERMSIG(status)), std::move(output), 0};
    switch (WEXITSTATUS(status)) {
        case 0: return {Outcome::passed, "", std::move(output), 0};
        case 1: return {Outcome::failed, "", std::move(output), 0};
        case kSkippedStatus: return {Outcome::skipped, skip_reason(output), std::move(output), 0};
        default: return {Outcome::crashed, "exit status " + std::to_string(WEXITSTATUS(status)), std::move(output), 0};
    }
}

}  // namespace

CaseResult run_apart(const std::function<int()> &body) {
    const auto start = std::chrono::steady_clock::now();
    const UniqueFd output(::memfd_create("output", MFD_CLOEXEC));
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child < 0) return {Outcome::failed, "", "fork: " + std::string(std::strerror(errno)), 0};
    if (child == 0) run_here(body, output.get());
    const bool hung = !wait_for(child);
    if (hung) ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    CaseResult result = judge(status, read_all(output.get()));
    if (hung) {
        result.outcome = Outcome::hung;
        result.detail = "after " + std::to_string(kPatienceMs / 1000) + " s";
    }
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
}

CaseResult run_case(const std::string &name) {
    return run_apart([&] {
        GTEST_FLAG_SET(filter, name);
        if (RUN_ALL_TESTS() != 0) return 1;
        return ::testing::UnitTest::GetInstance()->skipped_test_count() > 0 ? kSkippedStatus : 0;
    });
}

}  // namespace sansock::validator
