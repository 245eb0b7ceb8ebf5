// Serves one volume to any number of clients. The requests of a connection are done in the order in which they came.
#include <CLI/CLI.hpp>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "block_store/protocol.hpp"
#include "block_store/volume.hpp"
#include "common/server.hpp"
#include "common/socket.hpp"

namespace {

using block_store::Operation;
using block_store::Reply;
using block_store::Request;
using block_store::Status;
using block_store::Volume;
using samples::Connection;

/// Does a request. `payload` is what came with it, and becomes what goes back.
Status execute(Volume &volume, const Request &request, std::vector<std::byte> &payload) {
    const std::vector<std::byte> written = std::exchange(payload, {});
    const bool has_range = request.offset != 0 || request.length != 0;
    switch (request.operation) {
        case Operation::Info:
            if (has_range) return Status::Invalid;
            append(payload, block_store::Info{volume.size(), block_store::kBlockSize, block_store::kLengthMax});
            return Status::Ok;
        case Operation::Read: {
            if (request.length > block_store::kLengthMax) return Status::Invalid;
            payload.resize(request.length);
            const Status status = volume.read(request.offset, payload);
            if (status != Status::Ok) payload.clear();
            return status;
        }
        case Operation::Write: return volume.write(request.offset, written);
        case Operation::Flush: return has_range ? Status::Invalid : volume.flush();
        case Operation::Trim: return volume.trim(request.offset, request.length);
    }
    return Status::Invalid;
}

void serve_client(Connection &connection, Volume &volume) {
    std::array<std::byte, Request::kWireSize> head;
    std::vector<std::byte> payload;
    std::vector<std::byte> message;
    while (samples::receive_or_end(connection, head)) {
        const Request request = block_store::parse_request(head);
        payload.resize(request.operation == Operation::Write ? request.length : 0);
        samples::receive_all(connection, payload);
        const Status status = execute(volume, request, payload);
        message.clear();
        append(message, Reply{status, request.tag, static_cast<std::uint32_t>(payload.size())});
        message.insert(message.end(), payload.begin(), payload.end());
        connection.send_all(message);
    }
}

int block_store_server(int argc, char **argv) {
    CLI::App app("Serves a file as a volume of blocks, until SIGTERM or SIGINT");
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;
    std::string path;
    std::uint64_t size = 64 * 1024 * 1024;
    app.add_option("--host", host, "address to listen on")->capture_default_str();
    app.add_option("--port", port, "port to listen on; 0 lets the kernel choose")->capture_default_str();
    app.add_option("--file", path, "the volume; a file that exists keeps its size")->required();
    app.add_option("--size", size, "size of a new volume, such as 512M")
        ->capture_default_str()
        ->transform(CLI::AsSizeValue(false))
        ->check(CLI::Range(std::uint64_t{block_store::kBlockSize}, std::uint64_t{1} << 50));
    CLI11_PARSE(app, argc, argv);
    Volume volume(path, size);
    samples::serve(host, port, [&volume](Connection &connection) { serve_client(connection, volume); });
    return 0;
}

}  // namespace

int main(int argc, char **argv) { return samples::run_main("block_store_server", block_store_server, argc, argv); }
