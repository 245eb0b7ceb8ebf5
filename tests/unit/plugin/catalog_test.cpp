#include "plugin/catalog.hpp"

#include <gmock/gmock.h>

#include "scratch.hpp"

namespace sansock::plugin {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr const char *kGood =
    "name: good\nlibrary: good.so\nversion: \"1.2\"\nabi: \"1.0\"\nvendor: v\ndescription: d\n"
    "guids: [01234567-89ab-4def-8123-456789abcdef]\n";

std::string error_of(const std::string &text) {
    const Scratch scratch;
    const auto manifest = read_manifest(scratch.write("m.yaml", text));
    return manifest ? "no error" : manifest.error().text;
}

std::string replaced(const std::string &from, const std::string &to) {
    std::string text = kGood;
    return text.replace(text.find(from), from.size(), to);
}

TEST(Manifest, IsReadWhole) {
    const Scratch scratch;
    const auto manifest = read_manifest(scratch.write("good.yaml", kGood));
    ASSERT_TRUE(manifest) << manifest.error().text;
    EXPECT_EQ(manifest->name, "good");
    EXPECT_EQ(manifest->library, scratch.path() / "good.so");
    EXPECT_EQ(manifest->version, "1.2");
    EXPECT_EQ(manifest->abi_major, 1U);
    EXPECT_EQ(manifest->abi_minor, 0U);
    EXPECT_EQ(manifest->guids, std::vector<std::string>{kGuid});
}

TEST(Manifest, FaultsNameTheirPlaceAndWhatIsAllowed) {
    EXPECT_THAT(error_of(replaced("vendor: v", "vender: v")), HasSubstr("m.yaml:5:1: unknown key 'vender'; known are"));
    EXPECT_THAT(error_of(replaced("vendor: v", "name: v")), HasSubstr("m.yaml:5:1: key 'name' is given twice"));
    EXPECT_THAT(error_of(replaced("vendor: v\n", "")), HasSubstr("key 'vendor' is missing"));
    EXPECT_THAT(error_of(replaced("vendor: v", "vendor: [v]")), HasSubstr("m.yaml:5:9: vendor must be a text"));
    EXPECT_THAT(error_of(replaced("\"1.0\"", "one")), HasSubstr("m.yaml:4:6: abi is 'one'; write"));
    EXPECT_THAT(error_of(replaced("\"1.0\"", "1.0.0")), HasSubstr("abi is '1.0.0'; write"));
    EXPECT_THAT(error_of(replaced("good.so", "../good.so")), HasSubstr("without directories"));
    EXPECT_THAT(error_of(replaced("-89ab-", "-89AB-")), HasSubstr("is not a canonical GUID"));
    EXPECT_THAT(error_of(replaced("-89ab-", "-89a-b")), HasSubstr("is not a canonical GUID"));
    EXPECT_THAT(error_of(replaced("f]", std::string("f, ") + kGuid + "]")), HasSubstr("is declared twice"));
    EXPECT_THAT(error_of("[a, list]"), HasSubstr("must be a mapping"));
    EXPECT_THAT(error_of("name: {"), HasSubstr("m.yaml:"));
    EXPECT_THAT(error_of(""), HasSubstr("m.yaml:1:1: a manifest must be a mapping"));
}

TEST(Manifest, ThatCannotBeReadIsAnError) {
    const auto manifest = read_manifest("/nonexistent/m.yaml");
    ASSERT_FALSE(manifest);
    EXPECT_EQ(manifest.error().text, "/nonexistent/m.yaml: cannot be read");
}

TEST(Catalog, FindsByNameAndByGuid) {
    const Scratch scratch;
    scratch.manifest("one", kGuid, "one.so");
    scratch.manifest("two", kOtherGuid, "two.so");
    scratch.write("README.txt", "not a manifest");
    const Catalog sut = Catalog::scan(std::array{scratch.path()});
    ASSERT_EQ(sut.plugins().size(), 2U);
    EXPECT_TRUE(sut.problems().empty());
    EXPECT_EQ(sut.find("two")->guids.front(), kOtherGuid);
    EXPECT_EQ(sut.find_by_guid(kGuid)->name, "one");
    EXPECT_EQ(sut.find("three"), nullptr);
    EXPECT_EQ(sut.find_by_guid("21234567-89ab-4def-8123-456789abcdef"), nullptr);
}

TEST(Catalog, KeepsTheFirstOfTwoWithOneGuid) {
    const Scratch scratch;
    scratch.manifest("one", kGuid, "one.so");
    scratch.manifest("two", kGuid, "two.so");
    const Catalog sut = Catalog::scan(std::array{scratch.path()});
    ASSERT_EQ(sut.plugins().size(), 1U);
    EXPECT_EQ(sut.plugins().front().name, "one");
    ASSERT_EQ(sut.problems().size(), 1U);
    EXPECT_EQ(sut.problems().front().plugin, "two");
    EXPECT_THAT(sut.problems().front().text, HasSubstr(std::string("GUID ") + kGuid + " is already declared by"));
    EXPECT_THAT(sut.explain_missing("two"), HasSubstr("one.yaml; this plugin is left out"));
}

TEST(Catalog, KeepsTheFirstOfTwoWithOneNameAlsoBetweenDirectories) {
    const Scratch first, second;
    first.manifest("one", kGuid, "one.so");
    second.manifest("one", kOtherGuid, "one.so");
    const Catalog sut = Catalog::scan(std::array{first.path(), second.path()});
    ASSERT_EQ(sut.plugins().size(), 1U);
    EXPECT_EQ(sut.plugins().front().guids.front(), kGuid);
    EXPECT_THAT(sut.problems().front().text, HasSubstr("the name 'one' is already declared by"));
}

TEST(Catalog, KeepsTheGoodBesideTheBroken) {
    const Scratch scratch;
    scratch.write("broken.yaml", "name: [");
    scratch.manifest("one", kGuid, "one.so");
    const Catalog sut = Catalog::scan(std::array{scratch.path(), std::filesystem::path("/nonexistent")});
    EXPECT_EQ(sut.plugins().size(), 1U);
    EXPECT_EQ(sut.problems().size(), 1U);
    EXPECT_THAT(sut.explain_missing("broken"), HasSubstr("broken.yaml:"));
    EXPECT_EQ(sut.explain_missing("three"), "no plugin is named 'three'; installed are: one");
    EXPECT_THAT(Catalog::scan({}).explain_missing("three"), EndsWith("none is installed"));
}

class SearchPath : public ::testing::Test {
protected:
    ~SearchPath() override { ::unsetenv("SANSOCK_PLUGIN_PATH"); }
};

TEST_F(SearchPath, EndsWithTheDirectoryBesideThisProgram) {
    ASSERT_FALSE(search_path().empty());
    EXPECT_THAT(search_path().back().string(), EndsWith("lib/sansock/plugins"));
}

TEST_F(SearchPath, BeginsWithTheListedDirectoriesThatExistEachOnce) {
    const Scratch one, two;
    const std::string list = one.path().string() + "::/nonexistent:" + two.path().string() + ":" + one.path().string();
    ::setenv("SANSOCK_PLUGIN_PATH", list.c_str(), 1);
    const auto found = search_path();
    ASSERT_EQ(found.size(), 3U);
    EXPECT_EQ(found[0], std::filesystem::canonical(one.path()));
    EXPECT_EQ(found[1], std::filesystem::canonical(two.path()));
}

}  // namespace
}  // namespace sansock::plugin
