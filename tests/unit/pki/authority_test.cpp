#include "pki/authority.hpp"

#include <sys/stat.h>

#include <set>

#include "pki/files.hpp"
#include "scratch.hpp"

namespace sansock::pki {
namespace {

class AuthorityTest : public Scratch {
protected:
    AuthorityTest() : ca_(file("ca")) { EXPECT_TRUE(Authority::make(ca_, "fleet", 100)); }

    [[nodiscard]] Authority open() const {
        auto authority = Authority::open(ca_);
        EXPECT_TRUE(authority) << (authority ? "" : authority.error().text);
        return std::move(*authority);
    }
    static Names names() { return {"web1", {*config::Address::parse("10.0.0.5"), *config::Address::parse("fd00::5")}}; }
    static X509Ptr x509(const std::string &pem) { return std::move(certificates_of(pem, "it")->front()); }

    const std::string ca_;
};

TEST_F(AuthorityTest, KeepsItsKeyToItself) {
    struct stat is {};
    ASSERT_EQ(stat((ca_ + "/ca.key").c_str(), &is), 0);
    EXPECT_EQ(is.st_mode & 07777, 0600u);
    ASSERT_EQ(stat(ca_.c_str(), &is), 0);
    EXPECT_EQ(is.st_mode & 07777, 0700u);
}

TEST_F(AuthorityTest, IsNotMadeTwice) {
    const std::string before = read(ca_ + "/ca.key");
    EXPECT_EQ(Authority::make(ca_, "fleet", 100).error().code, EEXIST);
    EXPECT_EQ(read(ca_ + "/ca.key"), before);
    ASSERT_EQ(std::remove((ca_ + "/ca.key").c_str()), 0);
    EXPECT_EQ(Authority::make(ca_, "fleet", 100).error().code, EEXIST);
    EXPECT_FALSE(std::filesystem::exists(ca_ + "/ca.key")) << "one file of the two is none";
}

TEST_F(AuthorityTest, IssuesWhatSaysWhoAHostIs) {
    const auto issued = open().issue(names(), {.days = 10});
    ASSERT_TRUE(issued);
    const X509Ptr made = x509(issued->certificate);
    const Description what = describe(made.get());
    EXPECT_EQ(what.names.host, "web1");
    EXPECT_EQ(what.names.addresses, names().addresses);
    EXPECT_FALSE(what.is_authority);
    EXPECT_LT(what.from, time(nullptr));
    EXPECT_NEAR(static_cast<double>(what.until), static_cast<double>(time(nullptr) + 10 * 86'400), 60);
    EXPECT_EQ(X509_check_host(made.get(), "web1", 0, 0, nullptr), 1);
    EXPECT_EQ(X509_check_ip_asc(made.get(), "fd00::5", 0), 1);
    EXPECT_EQ(X509_check_ip_asc(made.get(), "10.0.0.6", 0), 0);
    for (const int purpose : {X509_PURPOSE_SSL_SERVER, X509_PURPOSE_SSL_CLIENT}) EXPECT_EQ(X509_check_purpose(made.get(), purpose, 0), 1);
    EXPECT_EQ(X509_check_purpose(made.get(), X509_PURPOSE_SSL_SERVER, 1), 0) << "it makes none itself";
    EXPECT_EQ(X509_check_private_key(made.get(), key_of(issued->key, "it")->get()), 1);
    EXPECT_TRUE(open().has_issued(made.get()));
}

TEST_F(AuthorityTest, GivesEachCertificateAKeyAndASerialOfItsOwn) {
    std::set<std::string> serials, keys;
    for (int i = 0; i < 20; ++i) {
        const auto issued = open().issue(names(), {});
        ASSERT_TRUE(issued);
        serials.insert(issued->description.serial);
        keys.insert(issued->key);
    }
    EXPECT_EQ(serials.size(), 20u);
    EXPECT_EQ(keys.size(), 20u);
}

TEST_F(AuthorityTest, IssuesNothingThatOutlivesIt) {
    const int64_t end = describe(x509(open().pem()).get()).until;
    const auto cut = open().issue(names(), {});
    ASSERT_TRUE(cut);
    EXPECT_TRUE(cut->is_cut);
    EXPECT_EQ(cut->description.until, end);
    EXPECT_EQ(open().issue(names(), {.days = 101}).error().code, EINVAL);
    EXPECT_EQ(open().issue(names(), {.until = end + 1}).error().code, EINVAL);
    EXPECT_TRUE(open().issue(names(), {.until = end}));
}

TEST_F(AuthorityTest, RefusesWhatWouldNeverBeValid) {
    for (const Period &period : {Period{.days = 0}, Period{.days = kDaysMax + 1}, Period{.from = 2'000'000'000, .until = 2'000'000'000}})
        EXPECT_EQ(open().issue(names(), period).error().code, EINVAL);
    EXPECT_EQ(open().issue({"web1", {}}, {}).error().code, EINVAL);
    EXPECT_EQ(open().issue({"web1,IP:10.0.0.9", names().addresses}, {}).error().code, EINVAL);
    EXPECT_EQ(open().issue({"web1", std::vector(257, *config::Address::parse("10.0.0.5"))}, {}).error().code, EINVAL);
}

TEST_F(AuthorityTest, KnowsWhatItHasNotIssued) {
    ASSERT_TRUE(Authority::make(file("other"), "fleet", 100));  // of the same name
    const auto issued = Authority::open(file("other"))->issue(names(), {});
    ASSERT_TRUE(issued);
    EXPECT_FALSE(open().has_issued(x509(issued->certificate).get()));
}

TEST_F(AuthorityTest, RevokesOnceAndForGood) {
    const auto one = open().issue(names(), {}), other = open().issue(names(), {});
    EXPECT_FALSE(*open().is_revoked(one->description.serial));
    EXPECT_TRUE(*open().revoke(one->description.serial));
    EXPECT_FALSE(*open().revoke(one->description.serial));
    EXPECT_TRUE(*open().revoke(other->description.serial));
    for (const auto *issued : {&one, &other}) EXPECT_TRUE(*open().is_revoked((*issued)->description.serial));
    const auto lists = crls_of(read(ca_ + "/crl.pem"), "it");
    ASSERT_TRUE(lists);
    const CrlPtr &list = lists->front();
    EXPECT_EQ(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(list.get())), 2);
    EXPECT_LT(seconds_of(X509_CRL_get0_lastUpdate(list.get())), time(nullptr));
    EXPECT_EQ(seconds_of(X509_CRL_get0_nextUpdate(list.get())), describe(x509(open().pem()).get()).until);
    const IntegerPtr number(static_cast<ASN1_INTEGER *>(X509_CRL_get_ext_d2i(list.get(), NID_crl_number, nullptr, nullptr)));
    EXPECT_EQ(ASN1_INTEGER_get(number.get()), 2);
}

TEST_F(AuthorityTest, RevokesByNothingThatIsNoSerial) {
    for (const std::string &serial : {std::string(), std::string("x"), std::string("12 34"), std::string(41, 'a')})
        EXPECT_EQ(open().revoke(serial).error().code, EINVAL) << serial;
    EXPECT_FALSE(std::filesystem::exists(ca_ + "/crl.pem"));
}

TEST_F(AuthorityTest, TakesNoListOfAnother) {
    ASSERT_TRUE(Authority::make(file("other"), "fleet", 100));
    ASSERT_TRUE(*Authority::open(file("other"))->revoke("11"));
    std::filesystem::copy(file("other") + "/crl.pem", ca_ + "/crl.pem");
    EXPECT_EQ(open().revoke("12").error().code, EPROTO);
}

TEST_F(AuthorityTest, OpensOnlyWhatBelongsTogether) {
    EXPECT_EQ(Authority::open(file("none")).error().code, ENOENT);
    ASSERT_TRUE(Authority::make(file("other"), "other", 100));
    write(ca_ + "/ca.key", read(file("other") + "/ca.key"));
    EXPECT_EQ(Authority::open(ca_).error().code, EINVAL);
    ASSERT_EQ(chmod((ca_ + "/ca.key").c_str(), 0604), 0);
    EXPECT_EQ(Authority::open(ca_).error().code, EPERM);
}

}  // namespace
}  // namespace sansock::pki
