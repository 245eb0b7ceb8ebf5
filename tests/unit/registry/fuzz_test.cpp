// .reg files that nobody would write: whatever they are, they are refused with a place or come back byte for byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "config/load.hpp"
#include "registry/convert.hpp"
#include "samples.hpp"

namespace sansock::registry {
namespace {

constexpr int kFiles = 3000;

const char *const kPieces[] = {"[",
                               "]",
                               "\"",
                               "\\",
                               "=",
                               "-",
                               "dword:",
                               "hex(2):00,\\",
                               "\n",
                               "\r",
                               "\r\n",
                               "{",
                               "}",
                               ";",
                               "@",
                               "%",
                               " ",
                               "\t",
                               "\"SendBuffers\"=dword:",
                               "\"ReceiveBuffers\"=",
                               "0",
                               "ffffffff",
                               "\xff",
                               "\x80",
                               "#reg| ",
                               "providers:"};

std::string damaged(std::string file, std::mt19937 &random) {
    const auto below = [&](size_t limit) { return std::uniform_int_distribution<size_t>(0, limit - 1)(random); };
    for (size_t changes = 1 + below(6); changes > 0 && !file.empty(); --changes) {
        const size_t at = below(file.size());
        switch (below(5)) {
            case 0: file[at] = static_cast<char>(random()); break;
            case 1: file.erase(at, 1 + below(12)); break;
            case 2: file.insert(at, kPieces[below(std::size(kPieces))]); break;
            case 3: file.insert(at, file.substr(below(file.size()), below(200))); break;
            case 4: file.resize(at); break;
        }
    }
    return file;
}

TEST(RegistryFuzz, EveryFileIsRefusedOrComesBack) {
    std::mt19937 random(1234);
    int taken = 0;
    for (int i = 0; i < kFiles; ++i) {
        const Encoding encoding =
            std::array{Encoding::bytes, Encoding::utf8_mark, Encoding::utf16le_mark, Encoding::utf16be_mark}[random() % 4];
        const std::string file = damaged(reg_file(sample(), encoding), random);
        const auto made = import_registry(file, "san.reg", "acme");
        if (!made) {
            EXPECT_GE(made.error()[0].position.line, 1);
            continue;
        }
        ++taken;
        const auto config = config::load_text(made->text, "san.yaml");
        ASSERT_TRUE(config.config) << config.config.error()[0].format() << '\n' << made->text;
        const auto back = export_registry(made->text, "san.yaml");
        ASSERT_TRUE(back) << back.error()[0].format();
        ASSERT_EQ(back->text, file) << i;
    }
    EXPECT_GT(taken, kFiles / 4);
}

TEST(RegistryFuzz, EveryChangedConfigurationIsRefusedOrSaysTheSameAfterwards) {
    std::mt19937 random(4321);
    const std::string yaml = import_registry(reg_file(sample()), "san.reg", "acme")->text;
    int taken = 0;
    for (int i = 0; i < kFiles; ++i) {
        const std::string changed = damaged(yaml, random);
        const auto file = export_registry(changed, "san.yaml");
        if (!file) continue;
        ++taken;
        const auto again = import_registry(file->text, "san.reg", "acme");
        if (!again) continue;  // an edited line behind #reg may leave quotes open
        const auto before = config::load_text(changed, "san.yaml").config.value();
        const auto after = config::load_text(again->text, "san.yaml").config.value();
        for (const config::Provider &provider : before.providers) {
            if (provider.position == config::Position{}) continue;  // the default
            const auto found = std::ranges::find(after.providers, provider.guid, &config::Provider::guid);
            ASSERT_NE(found, after.providers.end()) << i << changed;
            EXPECT_EQ(found->send_buffers, provider.send_buffers) << i << changed;
            EXPECT_EQ(found->receive_buffers, provider.receive_buffers) << i << changed;
        }
    }
    EXPECT_GT(taken, kFiles / 20);
}

}  // namespace
}  // namespace sansock::registry
