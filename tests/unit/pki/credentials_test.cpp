#include "pki/credentials.hpp"

#include <sys/stat.h>

#include "pki/authority.hpp"
#include "pki/files.hpp"
#include "scratch.hpp"

namespace sansock::pki {
namespace {

class CredentialsTest : public Scratch {
protected:
    CredentialsTest() { EXPECT_TRUE(Authority::make(file("ca"), "fleet", 100)); }

    void deploy(const Period &period = {}) {
        const auto authority = Authority::open(file("ca"));
        const auto issued = authority->issue({"web1", {*config::Address::parse("10.0.0.5")}}, period);
        ASSERT_TRUE(issued);
        ASSERT_TRUE(write_files(
            {{file("ca.pem"), authority->pem()}, {file("host.pem"), issued->certificate}, {file("host.key"), issued->key, kSecretMode}},
            Existing::kReplace));
        serial_ = issued->description.serial;
    }
    [[nodiscard]] std::string fault() const {
        const auto loaded = Credentials::load(directory_);
        return loaded ? "" : loaded.error().text;
    }

    std::string serial_;
};

TEST_F(CredentialsTest, AreAllThatTheFilesSay) {
    deploy();
    const auto loaded = Credentials::load(directory_);
    ASSERT_TRUE(loaded) << loaded.error().text;
    EXPECT_EQ((*loaded)->own().names.host, "web1");
    EXPECT_TRUE((*loaded)->own().names.speaks_for(*config::Address::parse("10.0.0.5")));
    EXPECT_FALSE((*loaded)->own().names.speaks_for(*config::Address::parse("10.0.0.6")));
    EXPECT_EQ((*loaded)->warning(time(nullptr)), "");
}

TEST_F(CredentialsTest, WarnOfTimes) {
    deploy();
    const auto loaded = Credentials::load(directory_);
    ASSERT_TRUE(loaded);
    const Description &own = (*loaded)->own();
    EXPECT_NE((*loaded)->warning(own.from - 1).find("other hosts refuse it"), std::string::npos);
    EXPECT_NE((*loaded)->warning(own.until).find("renew it"), std::string::npos);
    EXPECT_NE((*loaded)->warning(own.until - 86'400).find("is valid until"), std::string::npos);
    deploy({.from = 1'700'000'000, .until = 1'700'000'001});
    EXPECT_EQ(fault(), "") << "what has ended may begin to be renewed";
}

TEST_F(CredentialsTest, WarnOfTheirOwnRevocation) {
    deploy();
    ASSERT_TRUE(*Authority::open(file("ca"))->revoke(serial_));
    write(file("crl.pem"), read(file("ca/crl.pem")));
    const auto loaded = Credentials::load(directory_);
    ASSERT_TRUE(loaded) << loaded.error().text;
    EXPECT_NE((*loaded)->warning(time(nullptr)).find("is revoked"), std::string::npos);
}

TEST_F(CredentialsTest, BelongTogether) {
    deploy();
    const std::string key = read(file("host.key")), pem = read(file("host.pem")), ca = read(file("ca.pem"));
    deploy();
    write(file("host.pem"), pem);
    EXPECT_NE(fault().find("is not the key of"), std::string::npos) << fault();
    write(file("host.key"), key);
    EXPECT_EQ(fault(), "");
    ASSERT_TRUE(Authority::make(file("other"), "fleet", 100));
    write(file("ca.pem"), read(file("other/ca.pem")));
    EXPECT_NE(fault().find("is not of the authority"), std::string::npos) << fault();
    write(file("ca.pem"), pem);
    EXPECT_NE(fault().find("no authority's"), std::string::npos) << fault();
    write(file("ca.pem"), ca + read(file("other/ca.pem")));
    EXPECT_EQ(fault(), "") << "while an authority is replaced there are two";
    ASSERT_TRUE(*Authority::open(file("other"))->revoke("11"));
    write(file("crl.pem"), read(file("other/crl.pem")));
    EXPECT_EQ(fault(), "");
    write(file("ca.pem"), ca);
    EXPECT_NE(fault().find("no authority of"), std::string::npos) << fault();
}

TEST_F(CredentialsTest, TellWhenAFileHasChanged) {
    deploy();
    const std::string before = Credentials::state_of_files(directory_);
    EXPECT_EQ(Credentials::state_of_files(directory_), before);
    write(file("crl.pem"), "x");
    EXPECT_NE(Credentials::state_of_files(directory_), before);
}

}  // namespace
}  // namespace sansock::pki
