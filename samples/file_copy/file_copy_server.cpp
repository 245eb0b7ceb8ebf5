// Stores the files that clients send in one directory. A file appears under its name only once it is complete and its
// checksum agrees; until then it is a temporary file beside it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "common/server.hpp"
#include "common/socket.hpp"
#include "file_copy/protocol.hpp"
#include "file_copy/sha256.hpp"

namespace {

using file_copy::Digest;
using file_copy::Offer;
using samples::Connection;
using samples::Socket;

/// A file that will not be stored. The client is told why; any other exception means that the connection is broken.
class Refusal : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

[[noreturn]] void refuse_errno(const std::string &what) { throw Refusal(what + ": " + std::generic_category().message(errno)); }

/// A file that is being received. Unless it is committed it leaves nothing behind.
class IncomingFile {
public:
    explicit IncomingFile(const std::string &directory) : path_(directory + "/.incoming.XXXXXX") {
        file_ = Socket(::mkostemp(path_.data(), O_CLOEXEC));
        if (file_.fd() < 0) refuse_errno("cannot create a file");
    }
    IncomingFile(const IncomingFile &) = delete;
    IncomingFile &operator=(const IncomingFile &) = delete;
    ~IncomingFile() {
        if (!path_.empty()) ::unlink(path_.c_str());
    }

    /// A file that does not fit is better refused before it is sent than after.
    void reserve(std::uint64_t size) {
        if (size > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) throw Refusal("too large for any file");
        if (size == 0 || ::fallocate(file_.fd(), 0, 0, static_cast<off_t>(size)) == 0) return;
        if (errno != EOPNOTSUPP) refuse_errno("cannot reserve " + std::to_string(size) + " bytes");
    }

    void write(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const ssize_t written = ::write(file_.fd(), bytes.data(), bytes.size());
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) refuse_errno("cannot write");
            bytes = bytes.subspan(static_cast<std::size_t>(written));
        }
    }

    void commit(const std::string &target) {
        if (::fchmod(file_.fd(), 0644) != 0) refuse_errno("cannot set the mode");
        if (::rename(path_.c_str(), target.c_str()) != 0) refuse_errno("cannot rename");
        path_.clear();
    }

private:
    std::string path_;
    Socket file_;
};

/// A name must stay inside the directory, and must not be one of the server's own temporary files.
void check_name(const std::string &name) {
    if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
        throw Refusal("a name must not be empty, begin with a dot, or contain a slash or a zero byte");
    }
}

/// Receives the content to its end whatever becomes of it, because the client reads the reply only then.
Digest receive_content(Connection &connection, std::uint64_t size, IncomingFile &file) {
    std::optional<Refusal> refusal;
    file_copy::Sha256 sum;
    std::vector<std::byte> buffer(file_copy::kChunkSize);
    while (size > 0) {
        const auto chunk = std::span(buffer).first(std::min<std::uint64_t>(size, buffer.size()));
        samples::receive_all(connection, chunk);
        sum.update(chunk);
        size -= chunk.size();
        try {
            if (!refusal) file.write(chunk);
        } catch (const Refusal &reason) {
            refusal = reason;
        }
    }
    Digest expected;
    samples::receive_all(connection, expected);
    const Digest digest = sum.finish();
    if (refusal) throw *refusal;
    if (expected != digest) throw Refusal("the SHA-256 of what arrived is not the sender's");
    return digest;
}

void receive_file(Connection &connection, const std::string &directory, const Offer &offer) {
    check_name(offer.name);
    IncomingFile file(directory);
    file.reserve(offer.size);
    file_copy::send_reply(connection, {true, ""});
    const Digest digest = receive_content(connection, offer.size, file);
    file.commit(directory + "/" + offer.name);
    file_copy::send_reply(connection, {true, ""});
    connection.send_all(digest);
    std::cout << offer.name + ": " + std::to_string(offer.size) + " bytes\n" << std::flush;
}

void serve_client(Connection &connection, const std::string &directory) {
    Offer offer;
    while (file_copy::receive_offer(connection, offer)) {
        try {
            receive_file(connection, directory, offer);
        } catch (const Refusal &refusal) {
            file_copy::send_reply(connection, {false, refusal.what()});
            throw;
        }
    }
}

int file_copy_server(int argc, char **argv) {
    CLI::App app("Stores the files that clients send, until SIGTERM or SIGINT");
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;
    std::string directory;
    app.add_option("--host", host, "address to listen on")->capture_default_str();
    app.add_option("--port", port, "port to listen on; 0 lets the kernel choose")->capture_default_str();
    app.add_option("--directory", directory, "where to store the files")->required()->check(CLI::ExistingDirectory);
    CLI11_PARSE(app, argc, argv);
    samples::serve(host, port, [&directory](Connection &connection) { serve_client(connection, directory); });
    return 0;
}

}  // namespace

int main(int argc, char **argv) { return samples::run_main("file_copy_server", file_copy_server, argc, argv); }
