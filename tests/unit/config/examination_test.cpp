// What `sansock doctor` finds: on hosts that are made of files.
#include "cli/examination.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "cli/rdma_ports.hpp"

namespace sansock::cli {
namespace {

namespace fs = std::filesystem;
using Kind = Finding::Kind;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;

struct Doctor : ::testing::Test {
    Doctor() {
        std::string name = "/tmp/sansock-doctor-XXXXXX";
        root = ::mkdtemp(name.data());
        host = {.sys = root / "sys", .dev = root / "dev", .locked_bytes_max = UINT64_MAX};
    }
    ~Doctor() override { fs::remove_all(root); }

    void write(const std::string &file, const std::string &text) const {
        const fs::path path = root / file;
        fs::create_directories(path.parent_path());
        std::ofstream(path) << text << '\n';
    }
    void modules() const {
        fs::create_directories(root / "sys/module/ib_uverbs");
        fs::create_directories(root / "sys/module/rdma_ucm");
    }
    void device(const std::string &name, const std::string &node_type, const std::string &state, const std::string &gid_type) const {
        const std::string device = "sys/class/infiniband/" + name, port = device + "/ports/1";
        write(device + "/node_type", node_type);
        write(port + "/state", state);
        write(port + "/link_layer", "Ethernet");
        write(port + "/gid_attrs/ndevs/0", "eth2");
        write(port + "/gid_attrs/types/0", gid_type);
        write("sys/class/net/eth2/mtu", "1500");
    }
    [[nodiscard]] auto finds(Kind kind, const std::string &what, const std::string &fix = "") const {
        return Contains(
            ::testing::AllOf(Field(&Finding::kind, kind), Field(&Finding::what, HasSubstr(what)), Field(&Finding::fix, HasSubstr(fix))));
    }
    [[nodiscard]] bool has_faults() const {
        return std::ranges::any_of(examine(host), [](const Finding &each) { return each.kind == Kind::fault; });
    }

    fs::path root;
    Host host;
};

TEST_F(Doctor, AHostWithoutAnythingLacksModulesAndDevices) {
    const auto found = examine(host);
    EXPECT_THAT(found, finds(Kind::fault, "ib_uverbs and rdma_ucm not loaded", "modprobe -a ib_uverbs rdma_ucm"));
    EXPECT_THAT(found, finds(Kind::fault, "there is no RDMA device", "rdma link add"));
}

TEST_F(Doctor, AHostThatIsReadyHasNoFaults) {
    modules();
    device("mlx5_0", "1: CA", "4: ACTIVE", "RoCE v2");
    const auto found = examine(host);
    EXPECT_FALSE(has_faults());
    EXPECT_THAT(found, finds(Kind::fine, "mlx5_0 port 1 (RoCE, eth2) is active"));
    EXPECT_THAT(found, finds(Kind::hint, "eth2 sends packets of up to 1500 bytes", "mtu 4200"));
    EXPECT_THAT(found, finds(Kind::hint, "whether the network loses none", "dcb pfc show dev eth2"));
    EXPECT_THAT(found, finds(Kind::fine, "lock as much memory"));
}

TEST_F(Doctor, PortsThatAreDownAreFaults) {
    modules();
    device("siw0", "4: RNIC", "1: DOWN", "IB/RoCE v1");
    EXPECT_THAT(examine(host), finds(Kind::fault, "siw0 port 1 (iWARP, eth2) is not active: 1: DOWN", "ip link set eth2 up"));
}

TEST_F(Doctor, PortsWithoutAnAddressOfVersionTwoAreFaults) {
    modules();
    device("rxe0", "1: CA", "4: ACTIVE", "IB/RoCE v1");
    EXPECT_THAT(examine(host), finds(Kind::fault, "no address for RoCE version 2", "ip address add"));
}

TEST_F(Doctor, InfiniBandIsNone) {
    modules();
    device("mlx5_0", "1: CA", "4: ACTIVE", "IB/RoCE v1");
    write("sys/class/infiniband/mlx5_0/ports/1/link_layer", "InfiniBand");
    EXPECT_THAT(examine(host), finds(Kind::hint, "is InfiniBand, for which there is no provider"));
}

TEST_F(Doctor, LittleLockedMemoryIsSaid) {
    host.locked_bytes_max = 8 << 20;
    EXPECT_THAT(examine(host), finds(Kind::hint, "lock 8192 KiB", "LimitMEMLOCK"));
}

TEST_F(Doctor, PortsAreReadWithTheirNames) {
    device("rxe0", "1: CA", "4: ACTIVE", "RoCE v2");
    write("sys/class/infiniband/rxe0/node_guid", "0211:22ff:fe33:4455");
    write("sys/class/infiniband/rxe0/ports/1/gids/0", "fe80:0000:0000:0000:0211:22ff:fe33:4455");
    write("sys/class/infiniband/rxe0/ports/1/gids/1", "0000:0000:0000:0000:0000:ffff:c000:0207");
    write("sys/class/infiniband/rxe0/ports/1/gids/2", "0000:0000:0000:0000:0000:ffff:c000:0207");
    write("sys/class/infiniband/rxe0/ports/1/gids/3", "0000:0000:0000:0000:0000:0000:0000:0000");
    write("sys/class/infiniband/rxe0/ports/1/gids/4", "none\x1b[2J");
    device("siw0", "4: RNIC", "1: DOWN", "IB/RoCE v1");
    const auto ports = rdma_ports(host.sys);
    ASSERT_EQ(ports.size(), 2U);
    EXPECT_EQ(ports[0].device, "rxe0");
    EXPECT_EQ(ports[0].port, "1");
    EXPECT_EQ(ports[0].kind_text(), "RoCE");
    EXPECT_EQ(ports[0].interface, "eth2");
    EXPECT_EQ(ports[0].node_guid, "0211:22ff:fe33:4455");
    EXPECT_THAT(ports[0].gids, ElementsAre("fe80::211:22ff:fe33:4455", "::ffff:192.0.2.7"));
    EXPECT_TRUE(ports[0].is_active());
    EXPECT_EQ(ports[1].kind_text(), "iWARP");
    EXPECT_FALSE(ports[1].is_active());
    EXPECT_TRUE(ports[1].gids.empty());
}

TEST_F(Doctor, WhatFilesHoldIsShownAsText) {
    modules();
    device("siw0", "4: RNIC", "1: DOWN\x1b[2J", "");
    for (const Finding &each : examine(host)) EXPECT_EQ(each.what.find('\x1b'), std::string::npos) << each.what;
}

}  // namespace
}  // namespace sansock::cli
