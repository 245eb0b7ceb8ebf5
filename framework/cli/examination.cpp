#include "cli/examination.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>

#include "base/printable.hpp"
#include "cli/rdma_ports.hpp"

namespace sansock::cli {
namespace {

namespace fs = std::filesystem;
using Kind = Finding::Kind;

/// For 4096 bytes of a message in one packet, and what is around them.
constexpr unsigned kInterfaceMtu = 4200;
constexpr std::uint64_t kKiB = 1024;

unsigned number_of(std::string_view text) {
    unsigned number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

class Examination {
public:
    explicit Examination(const Host &host) : sys_(host.sys), dev_(host.dev), locked_bytes_max_(host.locked_bytes_max) {}

    std::vector<Finding> run() {
        modules();
        const bool has_devices = !inside(sys_ / "class/infiniband").empty();
        if (!has_devices) {
            add(Kind::fault, "there is no RDMA device",
                "an adapter needs its driver (`rdma link` lists devices); without one: rdma link add siw0 type siw netdev INTERFACE");
        }
        for (const RdmaPort &port : rdma_ports(sys_)) examine(port);
        if (has_devices) rights();
        locked_memory();
        return std::move(findings_);
    }

private:
    void add(Kind kind, std::string what, std::string fix = "") { findings_.push_back({kind, std::move(what), std::move(fix)}); }

    void modules() {
        std::vector<std::string_view> missing;
        std::error_code none;
        for (const std::string_view module : {"ib_uverbs", "rdma_ucm"}) {
            const char *shown = module == "ib_uverbs" ? "class/infiniband_verbs" : "class/misc/rdma_cm";
            // What is built into the kernel is no module.
            if (!fs::exists(sys_ / "module" / module, none) && !fs::exists(sys_ / shown, none)) missing.push_back(module);
        }
        if (missing.empty()) return add(Kind::fine, "the kernel lets programs use RDMA (ib_uverbs, rdma_ucm)");
        add(Kind::fault, fmt::format("the kernel does not let programs use RDMA: {} not loaded", fmt::join(missing, " and ")),
            fmt::format("modprobe -a {}; the package rdma-core loads them at boot", fmt::join(missing, " ")));
    }

    void examine(const RdmaPort &port) {
        const std::string where = fmt::format("{} port {}", port.device, port.port);
        if (port.kind == RdmaPort::Kind::other) {
            return add(Kind::hint, fmt::format("{} is {}, for which there is no provider", where, port.kind_text()),
                       "sansock has providers for RoCE and iWARP");
        }
        const std::string what = fmt::format("{} ({}{}{})", where, port.kind_text(), port.interface.empty() ? "" : ", ", port.interface);
        const std::string interface = port.interface.empty() ? "INTERFACE" : port.interface;
        if (!port.is_active()) {
            return add(Kind::fault, fmt::format("{} is not active: {}", what, port.state.empty() ? "no state is shown" : port.state),
                       fmt::format("ip link set {} up, and look at the cable", interface));
        }
        if (port.kind == RdmaPort::Kind::iwarp) return add(Kind::fine, what + " is active");
        if (!port.has_version_two) {
            return add(Kind::fault, what + " has no address for RoCE version 2", fmt::format("ip address add ADDRESS dev {}", interface));
        }
        add(Kind::fine, what + " is active and has addresses for RoCE version 2");
        const unsigned mtu = number_of(line_of(sys_ / "class/net" / port.interface / "mtu"));
        if (!port.interface.empty() && mtu != 0 && mtu < kInterfaceMtu) {
            add(Kind::hint,
                fmt::format("{} sends packets of up to {} bytes, RDMA is at its best with {}", port.interface, mtu, kInterfaceMtu),
                fmt::format("ip link set {} mtu {}, where all switches on the way take that", port.interface, kInterfaceMtu));
        }
        add(Kind::hint, fmt::format("whether the network loses none of what {} sends cannot be seen from here", where),
            fmt::format("dcb pfc show dev {}; options.traffic_class (docs/providers.md)", interface));
    }

    void rights() {
        std::vector<std::string> closed;
        for (const fs::path &file : inside(dev_ / "infiniband")) {
            const std::string name = file.filename().string();
            const bool is_needed = name.starts_with("uverbs") || name == "rdma_cm";
            if (is_needed && ::access(file.c_str(), R_OK | W_OK) != 0) closed.push_back(printable(file.string()));
        }
        if (closed.empty()) return add(Kind::fine, "this user may use the devices");
        add(Kind::fault, fmt::format("this user may not use {}", fmt::join(closed, ", ")),
            "the package rdma-core opens them to all users (udev); an own rule may open them to a group");
    }

    void locked_memory() {
        if (locked_bytes_max_ == UINT64_MAX) return add(Kind::fine, "this user may lock as much memory as he likes");
        add(Kind::hint,
            fmt::format("this user may lock {} KiB of memory, a connection needs about 1 MiB with default buffers",
                        locked_bytes_max_ / kKiB),
            "LimitMEMLOCK=infinity in the program's unit, or memlock in /etc/security/limits.conf");
    }

    const fs::path sys_, dev_;
    const std::uint64_t locked_bytes_max_;
    std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> examine(const Host &host) { return Examination(host).run(); }

}  // namespace sansock::cli
