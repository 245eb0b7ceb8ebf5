// Hosts with certificates of one authority, for tests.
#pragma once
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "control/identity.hpp"
#include "pki/authority.hpp"
#include "pki/files.hpp"

namespace sansock::control {

class Hosts : public ::testing::Test {
protected:
    Hosts() {
        signal(SIGPIPE, SIG_IGN);  // as the daemon does
        std::string name = std::filesystem::temp_directory_path() / "sansock-hosts-XXXXXX";
        directory_ = mkdtemp(name.data());
        EXPECT_TRUE(pki::Authority::make(authority(), "fleet", 100));
    }
    ~Hosts() override { std::filesystem::remove_all(directory_); }

    [[nodiscard]] std::string authority(const std::string &name = "ca") const { return directory_ + "/" + name; }

    /// A directory as that of a host's daemon.
    std::string host(const std::string &name, const std::string &address, const pki::Period &period = {}, const std::string &of = "ca") {
        const auto ca = pki::Authority::open(authority(of));
        const auto issued = ca->issue({name, {*config::Address::parse(address)}}, period);
        EXPECT_TRUE(issued) << (issued ? "" : issued.error().text);
        const std::string made = directory_ + "/" + name;
        EXPECT_TRUE(pki::make_directory(made));
        EXPECT_TRUE(pki::write_files(
            {{made + "/ca.pem", ca->pem()}, {made + "/host.pem", issued->certificate}, {made + "/host.key", issued->key, pki::kSecretMode}},
            pki::Existing::kReplace));
        serial_ = issued->description.serial;
        return made;
    }
    static Identity::Credentials load(const std::string &directory) {
        auto loaded = pki::Credentials::load(directory);
        EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().text);
        return loaded ? *loaded : nullptr;
    }

    std::string directory_, serial_;
};

}  // namespace sansock::control
