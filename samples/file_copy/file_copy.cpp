// Sends files to a file copy server, with progress, and compares the SHA-256 of what was read with that of what
// arrived.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/network.hpp"
#include "common/socket.hpp"
#include "file_copy/protocol.hpp"
#include "file_copy/sha256.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using file_copy::Digest;
using samples::Connection;
using samples::Socket;
using samples::throw_errno;

constexpr double kMiB = 1024.0 * 1024.0;

/// One line on a terminal, written over at most ten times a second; nothing elsewhere.
class Progress {
public:
    Progress(std::string name, std::uint64_t size) : name_(std::move(name)), size_(size) {}

    void advance(std::uint64_t bytes) {
        done_ += bytes;
        const auto now = Clock::now();
        if (!terminal_ || now < next_) return;
        next_ = now + std::chrono::milliseconds(100);
        std::fprintf(stderr, "\r\033[K%s: %3.0f %%, %.0f MiB/s", name_.c_str(),
                     100.0 * static_cast<double>(done_) / static_cast<double>(size_), rate());
    }

    void finish(const Digest &digest) {
        if (terminal_) std::fputs("\r\033[K", stderr);
        std::printf("%s: %llu bytes, %.0f MiB/s, SHA-256 ", name_.c_str(), static_cast<unsigned long long>(done_), rate());
        for (const std::byte byte : digest) std::printf("%02x", std::to_integer<unsigned>(byte));
        std::puts(" at both ends");
    }

private:
    [[nodiscard]] double rate() const {
        return static_cast<double>(done_) / kMiB / std::chrono::duration<double>(Clock::now() - start_).count();
    }

    std::string name_;
    std::uint64_t size_;
    std::uint64_t done_ = 0;
    Clock::time_point start_ = Clock::now();
    Clock::time_point next_ = start_;
    bool terminal_ = ::isatty(STDERR_FILENO) == 1;
};

Socket open_file(const std::string &path, std::uint64_t &size) {
    Socket file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.fd() < 0) throw_errno(path);
    struct stat info {};
    if (::fstat(file.fd(), &info) != 0) throw_errno(path);
    if (!S_ISREG(info.st_mode)) throw std::runtime_error(path + ": only regular files can be copied");
    size = static_cast<std::uint64_t>(info.st_size);
    return file;
}

std::size_t read_some(const Socket &file, std::span<std::byte> buffer, const std::string &path) {
    for (;;) {
        const ssize_t size = ::read(file.fd(), buffer.data(), buffer.size());
        if (size > 0) return static_cast<std::size_t>(size);
        if (size == 0) throw std::runtime_error(path + ": became shorter while it was read");
        if (errno != EINTR) throw_errno(path);
    }
}

void expect_accepted(Connection &connection, const std::string &path) {
    const file_copy::Reply reply = file_copy::receive_reply(connection);
    if (!reply.accepted) throw std::runtime_error(path + ": the server refused it: " + reply.reason);
}

void copy(Connection &connection, const std::string &path) {
    std::uint64_t size = 0;
    const Socket file = open_file(path, size);
    const std::string name = std::filesystem::path(path).filename();
    file_copy::send_offer(connection, {name, size});
    expect_accepted(connection, path);

    Progress progress(name, size);
    file_copy::Sha256 sum;
    std::vector<std::byte> buffer(file_copy::kChunkSize);
    for (std::uint64_t left = size; left > 0;) {
        const auto room = std::span(buffer).first(std::min<std::uint64_t>(left, buffer.size()));
        const auto chunk = room.first(read_some(file, room, path));
        sum.update(chunk);
        connection.send_all(chunk);
        progress.advance(chunk.size());
        left -= chunk.size();
    }
    const Digest digest = sum.finish();
    connection.send_all(digest);
    expect_accepted(connection, path);
    Digest arrived;
    samples::receive_all(connection, arrived);
    if (arrived != digest) throw std::runtime_error(path + ": the server answered another checksum");
    progress.finish(digest);
}

int file_copy_client(int argc, char **argv) {
    CLI::App app("Sends files to a file copy server and verifies that they arrived");
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;
    std::vector<std::string> paths;
    app.add_option("--host", host, "address of the server")->capture_default_str();
    app.add_option("--port", port, "port of the server")->required()->check(CLI::Range(1, 65535));
    app.add_option("files", paths, "files to send")->required();
    CLI11_PARSE(app, argc, argv);
    const auto connection = samples::connect_to(host, port);
    for (const std::string &path : paths) copy(*connection, path);
    return 0;
}

}  // namespace

int main(int argc, char **argv) { return samples::run_main("file_copy", file_copy_client, argc, argv); }
