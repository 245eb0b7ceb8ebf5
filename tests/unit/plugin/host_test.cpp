// Plugins that cannot be loaded, and that every one of them is an error that names it while the rest works.
#include "plugin/host.hpp"

#include <dlfcn.h>
#include <gmock/gmock.h>

#include <array>

#include "scratch.hpp"

namespace sansock::plugin {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kBroken = SANSOCK_BROKEN_PLUGINS;

/// The error of opening a provider of the library, which stands in a folder with a manifest that finds no fault with
/// it.
class Opening {
public:
    explicit Opening(const std::string &name, const fs::path &library = {}, const std::string &yaml = "") {
        if (!library.empty()) fs::copy_file(library, scratch_.path() / (name + ".so"));
        scratch_.manifest(name, kGuid, name + ".so");
        Host host(Catalog::scan(std::array{scratch_.path()}), [this](std::string_view, int, std::string_view text) { logged += text; });
        result = host.open(name, kGuid, yaml, "test:1");
    }
    [[nodiscard]] std::string text() const { return result->has_value() ? "no error" : result->error().text; }

    std::optional<Result<Provider>> result;
    std::string logged;

private:
    Scratch scratch_;
};

std::string error_of(const std::string &name) { return Opening(name, kBroken / (name + ".so")).text(); }

TEST(Host, ReportsAPluginThatIsNotThere) {
    EXPECT_THAT(Opening("absent").text(), HasSubstr("absent.so: the library cannot be read: No such file"));
    Host host(Catalog::scan({}));
    EXPECT_EQ(host.open("other", kGuid, "", "test:1").error().code, ENODEV);
}

TEST(Host, ReportsAnotherContractAndSaysWhichIsWhich) {
    EXPECT_THAT(error_of("wrong_abi"), HasSubstr("was built against contract 2.7, this host against 1.0"));
}

TEST(Host, ReportsAnotherContractFromTheManifestWithoutLoading) {
    const Scratch scratch;
    const fs::path file = scratch.manifest("future", kGuid, "absent.so");
    std::ifstream in(file);
    std::string text(std::istreambuf_iterator<char>(in), {});
    scratch.write("future.yaml", text.replace(text.find("1.0"), 3, "3.1"));
    Host host(Catalog::scan(std::array{scratch.path()}));
    EXPECT_THAT(host.open("future", kGuid, "", "test:1").error().text, HasSubstr("was built against contract 3.1"));
}

TEST(Host, ReportsEveryOtherFaultAtTheEntry) {
    EXPECT_THAT(error_of("no_symbol"), HasSubstr("exports no symbol sansock_plugin_entry"));
    EXPECT_THAT(error_of("no_function"), HasSubstr("lacks a function"));
    EXPECT_THAT(error_of("other_name"), HasSubstr("calls itself 'somebody'"));
    EXPECT_THAT(error_of("unresolved"), HasSubstr("nobody_defines_this"));
    EXPECT_THAT(error_of("init_fails"), HasSubstr("failed to initialise: the device; is on fire"));
    EXPECT_THAT(error_of("init_answers_nonsense"), HasSubstr("returned 42, which is no status"));
    EXPECT_THAT(error_of("no_provider"), HasSubstr("returned success and no provider"));
}

TEST(Plugins, HaveTheVersionThatTheirManifestsSay) {
    const Catalog catalog = Catalog::scan(std::array{fs::path(SANSOCK_PLUGINS)});
    for (const char *name : {"simulated", "fault"}) {
        const Manifest *manifest = catalog.find(name);
        ASSERT_NE(manifest, nullptr) << name;
        void *library = ::dlopen(manifest->library.c_str(), RTLD_NOW | RTLD_LOCAL);
        ASSERT_NE(library, nullptr) << ::dlerror();
        const auto *entry = static_cast<const sansock_plugin *>(::dlsym(library, SANSOCK_PLUGIN_ENTRY_NAME));
        ASSERT_NE(entry, nullptr);
        EXPECT_EQ(entry->version, manifest->version) << name;
        ::dlclose(library);
    }
}

TEST(Host, ReportsAFileThatIsNoLibrary) {
    const Scratch scratch;
    EXPECT_THAT(Opening("text", scratch.write("text", std::string(1000, 'x'))).text(), HasSubstr("not a shared library"));
    EXPECT_THAT(Opening("program", "/proc/self/exe").text(),
                ::testing::AnyOf(HasSubstr("not a shared library"), HasSubstr("cannot be loaded")));
}

TEST(Host, SurvivesALibraryCutShortAtAnyLength) {
    const fs::path whole = SANSOCK_PLUGINS "/simulated.so";
    for (std::uintmax_t part = 0; part < 64; ++part) {
        const Scratch scratch;
        const fs::path cut = scratch.path() / "cut";
        fs::copy_file(whole, cut);
        fs::resize_file(cut, fs::file_size(whole) * part / 64);
        const Opening opening("simulated", cut);
        // Behind what is loaded lie debugging information and section names, which nobody misses.
        if (opening.result->has_value()) {
            EXPECT_GE(part, 1U);
            continue;
        }
        EXPECT_THAT(opening.text(), HasSubstr("truncated"));
    }
}

TEST(Host, OpensTheGoodBesideTheBroken) {
    const Scratch scratch;
    fs::copy_file(kBroken / "init_fails.so", scratch.path() / "init_fails.so");
    scratch.manifest("init_fails", kGuid, "init_fails.so");
    Host host(Catalog::scan(std::array{scratch.path(), fs::path(SANSOCK_PLUGINS)}));
    EXPECT_FALSE(host.open("init_fails", kGuid, "", "test:1"));
    EXPECT_TRUE(host.open("simulated", kGuid, "", "test:1"));
    EXPECT_FALSE(host.open("init_fails", kGuid, "", "test:1")) << "it is tried again, and fails again";
}

TEST(Host, ProvidersOutliveIt) {
    std::optional<Provider> provider;
    {
        Host host(Catalog::scan(std::array{fs::path(SANSOCK_PLUGINS)}));
        auto opened = host.open("fault", kGuid, "options: {wraps: simulated}", "test:1");
        ASSERT_TRUE(opened) << opened.error().text;
        provider = std::move(*opened);
    }
    EXPECT_TRUE(provider->create_completion_queue(16));
}

TEST(Host, RefusesAPluginThatWrapsItself) {
    Host host(Catalog::scan(std::array{fs::path(SANSOCK_PLUGINS)}));
    const auto opened = host.open("fault", kGuid, "options: {wraps: fault, options: {wraps: simulated}}", "test:1");
    ASSERT_FALSE(opened);
    EXPECT_THAT(opened.error().text, HasSubstr("plugin 'fault' would wrap itself"));
    const auto missing = host.open("fault", kGuid, "options: {wraps: nothing}", "test:1");
    ASSERT_FALSE(missing);
    EXPECT_THAT(missing.error().text, HasSubstr("no plugin is named 'nothing'; installed are: fault, iwarp, portable, roce, simulated"));
}

}  // namespace
}  // namespace sansock::plugin
