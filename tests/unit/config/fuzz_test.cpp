// Damaged files: whatever they say, loading ends, and says why when it refuses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "config/describe.hpp"
#include "support.hpp"

namespace sansock::config {
namespace {

/// What means something in YAML, and so breaks something elsewhere.
constexpr std::string_view kTokens[] = {"{",   "}",     "[",     "]", ":",    " ",  "\n",   "- ",       "? ",
                                        "&a",  "*a",    "!",     "|", "> ",   "'",  "\"",   "\\",       "#",
                                        "%",   "---\n", "...\n", "~", "null", "\t", "0",    "-1",       "99999999999999999999",
                                        "{}",  "[]",    "@",     "`", ",",    "\r", "\xff", "\xe2\x82", "\xef\xbb\xbf",
                                        "\x01"};

class Damage {
public:
    explicit Damage(unsigned seed) : random_(seed) {}

    std::string apply(std::string text, const std::string &other) {
        for (auto times = 1 + below(6); times > 0; --times) {
            const std::size_t at = below(text.size() + 1);
            switch (below(4)) {
                case 0: text.insert(at, kTokens[below(std::size(kTokens))]); break;
                case 1: text.erase(at, below(5)); break;
                case 2: text.insert(at, other.substr(below(other.size()), below(40))); break;
                default: text.insert(at, 1, static_cast<char>(below(256)));
            }
        }
        return text;
    }

    std::size_t below(std::size_t bound) { return random_() % bound; }

private:
    std::mt19937 random_;
};

std::vector<std::string> shipped_texts() {
    std::vector<std::string> texts{default_file()};
    for (const auto &entry : std::filesystem::directory_iterator(SANSOCK_CONFIGS_DIRECTORY "/examples")) {
        std::ifstream stream(entry.path());
        texts.push_back((std::ostringstream() << stream.rdbuf()).str());
    }
    std::ranges::sort(texts);  // A folder has no order, and a seed is to mean the same everywhere.
    return texts;
}

/// SANSOCK_SEED replays a run, or asks for another.
TEST(DamagedFile, IsReadOrRefusedWithAReason) {
    const char *asked = std::getenv("SANSOCK_SEED");
    const unsigned seed = asked != nullptr ? static_cast<unsigned>(std::strtoul(asked, nullptr, 10)) : 1;
    std::printf("SANSOCK_SEED=%u\n", seed);
    const auto texts = shipped_texts();
    Damage damage(seed);
    int read = 0;
    int refused = 0;
    for (int i = 0; i < 2000; ++i) {
        const std::string &text = texts[damage.below(texts.size())];
        const std::string &other = texts[damage.below(texts.size())];
        const std::string damaged = damage.apply(text, other);
        const auto loaded = load_text(damaged, "f", host_of_tests());
        ++(loaded.config ? read : refused);
        if (!loaded.config) {
            EXPECT_FALSE(loaded.config.error().empty()) << damaged;
        }
    }
    EXPECT_GT(read, 0);
    EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace sansock::config
