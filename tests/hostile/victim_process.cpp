#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "victim.hpp"

namespace sansock::hostile {
namespace {

std::string read_file(const std::string &path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

namespace fs = std::filesystem;

/// What another user runs, where every user can read it: a clone in root's home is out of reach.
class Staged {
public:
    Staged() {
        char name[] = "/tmp/sansock-staged-XXXXXX";
        folder_ = mkdtemp(name);
        chmod(name, 0755);
        const fs::path built = fs::path(SANSOCK_PROGRAM).parent_path().parent_path();
        fs::create_directory(folder_ / "bin");
        fs::copy(SANSOCK_PROGRAM, folder_ / "bin");
        fs::copy(built / "lib", folder_ / "lib", fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    }
    ~Staged() { fs::remove_all(folder_); }

    std::string copy_of(const fs::path &file) {
        const fs::path copy = file == SANSOCK_PROGRAM ? folder_ / "bin" / file.filename() : folder_ / file.filename();
        if (!fs::exists(copy)) fs::copy(file, copy);
        return copy;
    }

private:
    fs::path folder_;
};

Launch reachable(Launch launch) {
    static Staged staged;
    launch.sansock = staged.copy_of(launch.sansock);
    launch.program = staged.copy_of(launch.program);
    launch.config = staged.copy_of(launch.config);
    return launch;
}

}  // namespace

void bring_loopback_up() {
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    ifreq request{};
    std::snprintf(request.ifr_name, sizeof request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
}

Victim::Victim(const std::vector<std::string> &arguments, const Launch &asked) {
    const Launch launch = asked.user == 0 ? asked : reachable(asked);
    char name[] = "/tmp/sansock-hostile-XXXXXX";
    folder_ = mkdtemp(name);
    chmod(name, 0755);
    const std::string report = folder_ + "/report", log = folder_ + "/log";
    for (const std::string &file : {report, log}) {
        close(open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
        chmod(file.c_str(), 0666);
    }
    std::vector<std::string> command{launch.sansock, "run", "--config", launch.config, "--report", report, "--", launch.program};
    command.insert(command.end(), arguments.begin(), arguments.end());
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
        setpgid(0, 0);
        for (const std::string &variable : launch.environment) putenv(const_cast<char *>(variable.c_str()));
        dup2(ends[1], STDOUT_FILENO);
        dup2(open(log.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC), STDERR_FILENO);
        if (launch.user != 0 && (setgroups(0, nullptr) != 0 || setgid(launch.user) != 0 || setuid(launch.user) != 0)) _exit(121);
        for (const auto &[what, most] : launch.limits) {
            const rlimit limit{most, most};
            setrlimit(static_cast<__rlimit_resource>(what), &limit);
        }
        std::vector<char *> words;
        for (std::string &word : command) words.push_back(word.data());
        words.push_back(nullptr);
        execv(words[0], words.data());
        _exit(122);
    }
    setpgid(pid_, pid_);  // whichever of the two comes first
    close(ends[1]);
    output_ = ends[0];
}

Victim::~Victim() {
    kill(-pid_, SIGKILL);  // what it has forked goes with it
    if (!reaped_) {
        waitpid(pid_, nullptr, 0);
    }
    close(output_);
    std::filesystem::remove_all(folder_);
}

std::string Victim::line() {
    for (;;) {
        if (const auto end = unread_.find('\n'); end != std::string::npos) {
            std::string found = unread_.substr(0, end);
            unread_.erase(0, end + 1);
            return found;
        }
        pollfd readable{output_, POLLIN, 0};
        if (poll(&readable, 1, kPatienceMs) <= 0) return {};
        char data[512];
        const ssize_t got = read(output_, data, sizeof data);
        if (got <= 0) return {};
        unread_.append(data, static_cast<size_t>(got));
    }
}

int Victim::port() {
    const std::string said = line();
    return said.starts_with("port ") ? std::stoi(said.substr(5)) : -1;
}

bool Victim::alive() {
    if (!reaped_ && waitpid(pid_, &status_, WNOHANG) == pid_) reaped_ = true;
    return !reaped_;
}

std::string Victim::ending() {
    for (std::string next = line(); !next.empty(); next = line()) last_ = next;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
    while (alive()) {
        if (std::chrono::steady_clock::now() > deadline) return "hangs after: " + last_;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (WIFSIGNALED(status_)) return "killed by signal " + std::to_string(WTERMSIG(status_)) + " after: " + last_;
    if (WEXITSTATUS(status_) != 0) return "exit status " + std::to_string(WEXITSTATUS(status_)) + ", log: " + log();
    return last_;
}

std::vector<nlohmann::json> Victim::records() {
    std::istringstream report(read_file(folder_ + "/report"));
    std::vector<nlohmann::json> all;
    for (std::string line; std::getline(report, line);) all.push_back(nlohmann::json::parse(line));
    return all;
}

nlohmann::json Victim::record() {
    const auto all = records();
    return all.empty() ? nlohmann::json() : all.front();
}

std::string Victim::log() { return read_file(folder_ + "/log"); }

}  // namespace sansock::hostile
