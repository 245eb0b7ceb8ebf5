#include "cli/rdma_ports.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <fstream>

#include "base/printable.hpp"

namespace sansock::cli {
namespace fs = std::filesystem;

std::string line_of(const fs::path &file) {
    std::ifstream in(file);
    std::string line;
    std::getline(in, line);
    return printable(line);
}

std::vector<fs::path> inside(const fs::path &folder) {
    std::vector<fs::path> found;
    std::error_code none;
    for (fs::directory_iterator at(folder, none), end; at != end; at.increment(none)) found.push_back(at->path());
    std::ranges::sort(found);
    return found;
}

namespace {

/// Empty for one that is not set.
std::string gid_of(const fs::path &file) {
    in6_addr gid;
    if (::inet_pton(AF_INET6, line_of(file).c_str(), &gid) != 1 || IN6_IS_ADDR_UNSPECIFIED(&gid)) return "";
    char text[INET6_ADDRSTRLEN];
    return ::inet_ntop(AF_INET6, &gid, text, sizeof text);
}

RdmaPort read_port(const fs::path &device, const fs::path &port) {
    RdmaPort read;
    read.device = printable(device.filename().string());
    read.port = printable(port.filename().string());
    read.link = line_of(port / "link_layer");
    const bool is_iwarp = line_of(device / "node_type").starts_with("4");
    read.kind = is_iwarp ? RdmaPort::Kind::iwarp : read.link == "Ethernet" ? RdmaPort::Kind::roce : RdmaPort::Kind::other;
    read.interface = line_of(port / "gid_attrs/ndevs/0");
    read.state = line_of(port / "state");
    read.node_guid = line_of(device / "node_guid");
    for (const fs::path &file : inside(port / "gids")) {
        std::string gid = gid_of(file);
        // A table has an entry for each version of RoCE.
        if (!gid.empty() && std::ranges::find(read.gids, gid) == read.gids.end()) read.gids.push_back(std::move(gid));
    }
    read.has_version_two =
        std::ranges::any_of(inside(port / "gid_attrs/types"), [](const fs::path &type) { return line_of(type) == "RoCE v2"; });
    return read;
}

}  // namespace

std::string RdmaPort::kind_text() const {
    switch (kind) {
        case Kind::roce: return "RoCE";
        case Kind::iwarp: return "iWARP";
        default: return link.empty() ? "of no known kind" : link;
    }
}

std::vector<RdmaPort> rdma_ports(const fs::path &sys) {
    std::vector<RdmaPort> ports;
    for (const fs::path &device : inside(sys / "class/infiniband")) {
        for (const fs::path &port : inside(device / "ports")) ports.push_back(read_port(device, port));
    }
    return ports;
}

}  // namespace sansock::cli
