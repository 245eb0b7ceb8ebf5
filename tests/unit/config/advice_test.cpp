// What `sansock explain` says of a reason is what docs/reports.md says.
#include "cli/advice.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>

namespace sansock::cli {
namespace {

std::string plain(std::string text) {
    text = std::regex_replace(text, std::regex(R"(\[([^\]]*)\]\([^)]*\))"), "docs/$1");
    std::erase_if(text, [](char mark) { return mark == '`' || mark == '*'; });
    while (text.ends_with(' ')) text.pop_back();
    return text;
}

TEST(Advice, IsWhatTheDocumentationSays) {
    std::ifstream page(SANSOCK_DOCS_DIRECTORY "/reports.md");
    size_t rows = 0;
    bool inside = false;
    for (std::string line; std::getline(page, line);) {
        inside |= line == "## Reasons";
        std::smatch row;
        if (!inside || !std::regex_match(line, row, std::regex(R"(\| `([a-z-]+)` \| (.*) \| (.*)\|)"))) continue;
        ASSERT_LT(rows, advice().size());
        const Advice &known = advice()[rows++];
        EXPECT_EQ(known.reason, row[1].str());
        EXPECT_EQ(known.cause, plain(row[2]));
        EXPECT_EQ(known.remedy, plain(row[3]));
    }
    EXPECT_EQ(rows, advice().size());
}

}  // namespace
}  // namespace sansock::cli
