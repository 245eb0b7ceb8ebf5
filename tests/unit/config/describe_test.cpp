#include "config/describe.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/setting.hpp"
#include "config/suggest.hpp"
#include "support.hpp"

namespace sansock::config {
namespace {

std::string text_of(const std::filesystem::path &file) {
    std::ifstream stream(file);
    EXPECT_TRUE(stream) << file;
    return (std::ostringstream() << stream.rdbuf()).str();
}

const std::filesystem::path kConfigs = SANSOCK_CONFIGS_DIRECTORY;

TEST(ShippedFiles, TheDefaultIsWhatTheTableSays) {
    EXPECT_EQ(text_of(kConfigs / "sansock.yaml"), default_file()) << "run `sansock config generate`";
}

TEST(ShippedFiles, TheSchemaIsWhatTheTableSays) {
    EXPECT_EQ(text_of(kConfigs / "sansock.schema.json"), schema()) << "run `sansock config schema`";
}

TEST(ShippedFiles, TheDefaultLoadsWithoutNotes) {
    const auto loaded = load_file(kConfigs / "sansock.yaml", host_of_tests());
    ASSERT_TRUE(loaded.config) << loaded.config.error().front().format();
    EXPECT_TRUE(loaded.notes.empty());
}

TEST(ShippedFiles, EveryExampleLoads) {
    int examples = 0;
    for (const auto &entry : std::filesystem::directory_iterator(kConfigs / "examples")) {
        const auto loaded = load_file(entry.path(), Host::usual());
        EXPECT_TRUE(loaded.config) << loaded.config.error().front().format();
        ++examples;
    }
    EXPECT_GE(examples, 4);
}

/// The operator's page; what it shows has to work. A snippet without providers stands for a file that has them.
TEST(Documentation, ShowsYamlThatLoads) {
    const std::string providers =
        "providers:\n  41f96c03-1cad-4222-9c2b-682b71c6a8f0: {plugin: simulated}\n"
        "  8a3d9d2c-6b1e-4f0a-9c77-0b1d5e2f4a60: {plugin: roce}\n";
    const std::string page = text_of(SANSOCK_DOCS_DIRECTORY "/configuration.md");
    const std::string opening = "```yaml\n";
    int snippets = 0;
    for (auto at = page.find(opening); at != std::string::npos; at = page.find(opening, at + 1), ++snippets) {
        const auto begin = at + opening.size();
        const std::string snippet = page.substr(begin, page.find("```", begin) - begin);
        const bool has_providers = snippet.starts_with("providers:");
        EXPECT_EQ(errors_of((has_providers ? "" : providers) + snippet), std::vector<std::string>{}) << snippet;
    }
    EXPECT_GE(snippets, 5);
}

/// The default file with everything in it that is only shown in comments.
TEST(DefaultFile, ShowsExamplesThatLoad) {
    std::istringstream lines(default_file());
    std::string text;
    for (std::string line; std::getline(lines, line);) {
        const auto hash = line.find("# ");
        const auto colon = line.find(':', hash == std::string::npos ? 0 : hash);
        const bool is_setting = colon != std::string::npos && line.find(' ', hash + 2) > colon;
        if (hash != std::string::npos && is_setting && line.find("prefer:") == std::string::npos &&
            line.find("adaptive:") == std::string::npos)
            line.erase(hash, 2);
        text += line + '\n';
    }
    EXPECT_NE(text.find("\n  allow: [[redis"), std::string::npos) << text;
    const auto loaded = load_text(text, "f", host_of_tests());
    ASSERT_TRUE(loaded.config) << loaded.config.error().front().format() << '\n' << text;
    EXPECT_EQ(loaded.config->access.allow.size(), 2u);
    EXPECT_EQ(loaded.config->routes.at(0).destinations.size(), 2u);
    EXPECT_EQ(loaded.config->routes.at(0).upgrade_after.calls, 0u);
}

TEST(Settings, EachHasAllThatIsMadeOfIt) {
    for (const Setting &sut : settings()) {
        EXPECT_TRUE(sut.summary.ends_with('.')) << sut.path();
        const bool has_value = sut.child_scope().empty() && sut.kind != Kind::block;
        EXPECT_EQ(sut.store != nullptr, has_value) << sut.path();
        const int shown = !sut.fallback.empty() + !sut.shipped.empty() + !sut.example.empty();
        const bool only_holds_others = sut.kind == Kind::group || sut.kind == Kind::sequence;
        EXPECT_EQ(shown, only_holds_others ? 0 : 1) << sut.path();
        EXPECT_EQ(settings_in(sut.child_scope().empty() ? "no such scope" : sut.child_scope()).empty(), sut.child_scope().empty())
            << sut.path();
    }
}

TEST(Explain, SaysAllAboutOneSetting) {
    EXPECT_EQ(explain("providers.GUID.receive_buffers").value(),
              "providers.GUID.receive_buffers\n"
              "    Buffers that one connection keeps ready for what the peer sends.\n"
              "    Allowed: a whole number, 6 to 255.\n"
              "    Default: 6.\n"
              "    One more than send_buffers leaves room for a credit update beside a full\n"
              "    window. This is the ReceiveBuffers value of Winsock Direct (KB924286), with\n"
              "    its range and default.\n");
}

TEST(Explain, FindsASettingByTheEndOfItsPath) {
    EXPECT_EQ(explain("receive_buffers").value(), explain("providers.GUID.receive_buffers").value());
    const std::string policies = explain("policy").value();
    EXPECT_NE(policies.find("routes[].policy\n"), std::string::npos);
    EXPECT_NE(policies.find("waiting.policy\n"), std::string::npos);
}

TEST(Explain, SaysWhatIsBelow) {
    const std::string text = explain("timeouts").value();
    for (const char *path : {"timeouts\n", "timeouts.step\n", "timeouts.rendezvous\n", "timeouts.require\n"})
        EXPECT_NE(text.find(path), std::string::npos) << path;
    EXPECT_EQ(text.find("waiting"), std::string::npos);
}

TEST(Explain, WithoutAKeyExplainsEverySetting) {
    const std::string text = '\n' + explain("").value();
    for (const Setting &setting : settings()) EXPECT_NE(text.find('\n' + setting.path() + '\n'), std::string::npos) << setting.path();
}

TEST(Explain, KnowsWhatWasMeant) {
    EXPECT_EQ(explain("ReceiveBuffer").error().text, "\"ReceiveBuffer\" is not a setting (did you mean \"receive_buffers\"?)");
    EXPECT_EQ(explain("waiting.spinn").error().text, "\"waiting.spinn\" is not a setting (did you mean \"waiting.spin\"?)");
    EXPECT_EQ(explain("quux").error().text, "\"quux\" is not a setting");
}

TEST(Suggest, FindsWhatIsNearAndNothingElse) {
    const std::string_view candidates[] = {"send_buffers", "receive_buffers", "plugin"};
    EXPECT_EQ(suggest("send_buffer", candidates), "send_buffers");
    EXPECT_EQ(suggest("SENDBUFFERS", candidates), "send_buffers");
    EXPECT_EQ(suggest("recieve-buffers", candidates), "receive_buffers");
    EXPECT_EQ(suggest("plugni", candidates), "plugin");
    EXPECT_EQ(suggest("buffers", candidates), std::nullopt);
    EXPECT_EQ(suggest("", candidates), std::nullopt);
    EXPECT_EQ(suggest(std::string(100'000, 'x'), candidates), std::nullopt);
}

}  // namespace
}  // namespace sansock::config
