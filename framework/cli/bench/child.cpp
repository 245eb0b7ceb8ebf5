#include "cli/bench/child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace sansock::cli::bench {
namespace {

struct Pipe {
    UniqueFd read, write;
};

Pipe make_pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error(fmt::format("pipe: {}", std::strerror(errno)));
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace

Child::Child(const std::vector<std::string> &command) : name_(fmt::format("{}", fmt::join(command, " "))) {
    Pipe to = make_pipe(), from = make_pipe();
    std::vector<char *> arguments;
    for (const std::string &word : command) arguments.push_back(const_cast<char *>(word.c_str()));
    arguments.push_back(nullptr);
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error(fmt::format("fork: {}", std::strerror(errno)));
    if (pid_ == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(to.read.get(), STDIN_FILENO);
        dup2(from.write.get(), STDOUT_FILENO);
        execv(arguments[0], arguments.data());
        const std::string why = fmt::format("sansock: cannot execute {}: {}\n", arguments[0], std::strerror(errno));
        static_cast<void>(!write(STDERR_FILENO, why.data(), why.size()));
        _exit(127);
    }
    in_ = std::move(to.write);
    out_ = std::move(from.read);
}

Child::Child(Child &&other) noexcept
    : name_(std::move(other.name_)),
      pid_(std::exchange(other.pid_, -1)),
      in_(std::move(other.in_)),
      out_(std::move(other.out_)),
      read_(std::move(other.read_)) {}

Child::~Child() {
    if (pid_ < 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
}

std::optional<std::string> Child::read_line(std::chrono::duration<double> patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (;;) {
        if (const auto end = read_.find('\n'); end != std::string::npos) {
            std::string line = read_.substr(0, end);
            read_.erase(0, end + 1);
            return line;
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
        pollfd wanted{out_.get(), POLLIN, 0};
        const int rc = poll(&wanted, 1, static_cast<int>(std::max<long>(left, 0)));
        if (rc < 0 && errno == EINTR) continue;
        if (rc == 0) throw std::runtime_error(fmt::format("{} has said nothing for {:.0f} s", name_, patience.count()));
        char buffer[4096];
        const ssize_t got = read(out_.get(), buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return std::nullopt;
        read_.append(buffer, static_cast<std::size_t>(got));
    }
}

std::string Child::expect_line(std::chrono::duration<double> patience) {
    if (auto line = read_line(patience)) return *std::move(line);
    finish();
    throw std::runtime_error(name_ + " ended too early");
}

void Child::finish() {
    in_.reset();
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    if (WIFSIGNALED(status)) throw std::runtime_error(fmt::format("{} was ended by signal {}", name_, WTERMSIG(status)));
    if (WEXITSTATUS(status) != 0) throw std::runtime_error(fmt::format("{} ended with {}", name_, WEXITSTATUS(status)));
}

}  // namespace sansock::cli::bench
