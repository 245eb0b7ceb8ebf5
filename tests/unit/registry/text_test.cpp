#include "registry/text.hpp"

#include <gtest/gtest.h>

namespace sansock::registry {
namespace {

using namespace std::string_literals;

constexpr Encoding kEncodings[] = {Encoding::bytes, Encoding::utf8_mark, Encoding::utf16le_mark, Encoding::utf16le, Encoding::utf16be_mark};

TEST(RegistryText, IsWrittenAgainAsItWasInEveryEncoding) {
    for (const Encoding encoding : kEncodings) {
        const Text text{.encoding = encoding,
                        .lines = {{u"REGEDIT4", Ending::crlf}, {u"", Ending::lf}, {u"x\u00e9", Ending::crlf}, {u"no end\r", Ending::none}}};
        const auto again = decode(encode(text));
        ASSERT_TRUE(again) << name_of(encoding);
        EXPECT_EQ(*again, text) << name_of(encoding);
    }
}

TEST(RegistryText, OfNoBytesHasNoLines) {
    const auto text = decode("");
    ASSERT_TRUE(text);
    EXPECT_TRUE(text->lines.empty());
}

TEST(RegistryText, ThatEndsWithinACharacterWasCutOff) {
    const auto text = decode("\xff\xfeR\0E"s);
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code, EINVAL);
}

TEST(RegistryText, IsShownAsPeopleReadIt) {
    EXPECT_EQ(escape(u"\u00e9 \u6f22 \U0001d11e", Encoding::utf16le), "\u00e9 \u6f22 \U0001d11e");
    EXPECT_EQ(escape(u"a % b\t ", Encoding::utf16le), "a %25 b%09%20");
    EXPECT_EQ(escape(u"\u00e9", Encoding::bytes), "%E9") << "of a code page that nobody knows";
    const char16_t alone[] = {0xd800, u'x', 0xdc00, 0xfeff, 0};
    EXPECT_EQ(escape(alone, Encoding::utf16le), "%uD800x%uDC00%uFEFF");
}

TEST(RegistryText, ComesBackFromWhatIsShown) {
    std::u16string all;
    for (unsigned unit = 0; unit < 0x10000; unit += unit < 0x300 ? 1 : 37) all += static_cast<char16_t>(unit);
    EXPECT_EQ(unescape(escape(all, Encoding::utf16le), Encoding::utf16le).value(), all);
    std::u16string bytes;
    for (unsigned unit = 0; unit < 0x100; ++unit) bytes += static_cast<char16_t>(unit);
    EXPECT_EQ(unescape(escape(bytes, Encoding::bytes), Encoding::bytes).value(), bytes);
}

TEST(RegistryText, IsNotReadFromWhatNobodyWrote) {
    for (const char *text : {"%", "%4", "%zz", "%u12", "\xff"}) EXPECT_FALSE(unescape(text, Encoding::utf16le)) << text;
    for (const char *text : {"%u0041", "\u00e9"}) EXPECT_FALSE(unescape(text, Encoding::bytes)) << text;
}

}  // namespace
}  // namespace sansock::registry
