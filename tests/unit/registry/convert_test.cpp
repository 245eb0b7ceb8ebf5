#include "registry/convert.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.hpp"
#include "samples.hpp"

namespace sansock::registry {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string imported(const std::string &file) {
    const auto made = import_registry(file, "san.reg", "acme");
    EXPECT_TRUE(made) << made.error()[0].format();
    return made ? made->text : "";
}

std::string exported(const std::string &yaml) {
    const auto made = export_registry(yaml, "san.yaml");
    EXPECT_TRUE(made) << made.error()[0].format();
    return made ? made->text : "";
}

std::string with(std::string text, const std::string &from, const std::string &to) {
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

std::vector<std::string> formatted(const std::vector<config::Diagnostic> &diagnostics) {
    std::vector<std::string> lines;
    for (const auto &diagnostic : diagnostics) lines.push_back(diagnostic.format());
    return lines;
}

config::Config loaded(const std::string &yaml) {
    const auto made = config::load_text(yaml, "san.yaml");
    EXPECT_TRUE(made.config) << made.config.error()[0].format();
    return made.config.value_or(config::Config{});
}

TEST(Registry, BecomesAConfigurationThatLoads) {
    const config::Config config = loaded(imported(reg_file(sample())));
    ASSERT_EQ(config.providers.size(), 2u);
    EXPECT_EQ(config.providers[0].guid.text(), kFirst);
    EXPECT_EQ(config.providers[0].plugin, "acme");
    EXPECT_EQ(config.providers[0].send_buffers, 16u);
    EXPECT_EQ(config.providers[0].receive_buffers, 32u);
    EXPECT_EQ(config.providers[1].guid.text(), kSecond);
    EXPECT_EQ(config.providers[1].send_buffers, 5u) << "300 is out of the range";
    EXPECT_EQ(config.providers[1].receive_buffers, 6u) << "text is no number";
}

TEST(Registry, SaysWhatItDoesNotTakeOver) {
    const auto made = import_registry(reg_file(sample()), "san.reg", "acme");
    ASSERT_TRUE(made);
    EXPECT_EQ(made->providers, 2u);
    EXPECT_THAT(formatted(made->notes),
                ElementsAre(AllOf(HasSubstr("san.reg:16:1: note: SendBuffers is 300, outside 5 to 255"), HasSubstr("default 5")),
                            AllOf(HasSubstr("san.reg:17:1: note: ReceiveBuffers is no REG_DWORD"), HasSubstr("default 6")),
                            HasSubstr("san.reg:19:1: note: a subkey that no provider is named by: iSCSI"),
                            HasSubstr("san.reg:23:1: note: neither a key nor a value")));
}

TEST(Registry, ComesBackByteForByteInEveryEncoding) {
    const std::string old = with(sample(), "Windows Registry Editor Version 5.00", "REGEDIT4");
    for (const std::string &file :
         {reg_file(sample()), reg_file(sample(), Encoding::utf16le), reg_file(sample(), Encoding::utf16be_mark),
          reg_file(sample(), Encoding::utf8_mark), reg_file(old, Encoding::bytes), reg_file(old + "; caf\xe9", Encoding::bytes)})
        EXPECT_EQ(exported(imported(file)), file);
}

TEST(Registry, ComesBackWithUnevenEndsOfLines) {
    const std::string file = std::string("REGEDIT4\n\r\n") + provider_key(kFirst) + "\"SendBuffers\"=dword:6\r\n\"ReceiveBuffers\"=dword:7";
    EXPECT_EQ(exported(imported(file)), file);
    EXPECT_EQ(loaded(imported(file)).providers[0].receive_buffers, 7u);
}

TEST(Registry, WithoutAProviderSaysSoAndComesBack) {
    const std::string file = reg_file(std::string("REGEDIT4\n\n[") + kSan + "]\n");
    const auto made = import_registry(file, "san.reg", "acme");
    ASSERT_TRUE(made);
    EXPECT_THAT(formatted(made->notes), ElementsAre(HasSubstr("no provider has a key in it")));
    EXPECT_EQ(exported(made->text), file);
}

TEST(Registry, HasTheNumbersThatWereChangedAndNothingElse) {
    const std::string file = reg_file(sample());
    EXPECT_EQ(exported(with(imported(file), "send_buffers: 16", "send_buffers: 200")),
              reg_file(with(sample(), "\"SendBuffers\"=dword:00000010", "\"SendBuffers\"=dword:000000c8")));
    EXPECT_EQ(exported(with(imported(file), "    receive_buffers: 32\n", "")), reg_file(with(sample(), "dword:00000020", "dword:00000006")))
        << "the default holds";
    EXPECT_EQ(exported(with(imported(file), "plugin: acme\n    # S", "plugin: acme\n    send_buffers: 9\n    # S")),
              reg_file(with(sample(), "dword:12C", "dword:00000009")));
    EXPECT_EQ(exported(with(imported(file), "plugin: acme\n    # S", "plugin: acme\n    receive_buffers: 9\n    # S")),
              reg_file(with(sample(), "\"ReceiveBuffers\"=\"8\"\n", "\"ReceiveBuffers\"=\"8\"\n\"ReceiveBuffers\"=dword:00000009\n")));
}

TEST(Registry, HasNoNewLineInTheMiddleOfAValue) {
    const std::string begin = "REGEDIT4\n" + provider_key(kFirst) + "\"SendBuffers\"=hex(3):00,\\\n  01\n", end = "\"Other\"=\"\"\n";
    const std::string yaml = imported(reg_file(begin + end, Encoding::bytes));
    EXPECT_EQ(exported(with(yaml, "plugin: acme", "plugin: acme\n    send_buffers: 9")),
              reg_file(begin + "\"SendBuffers\"=dword:00000009\n" + end, Encoding::bytes));
}

TEST(Registry, LosesTheKeyOfAProviderThatIsGone) {
    const std::string yaml = imported(reg_file(sample()));
    const std::string block = std::string("  ") + kFirst + ":\n    plugin: acme\n    send_buffers: 16\n    receive_buffers: 32\n";
    const std::string key = provider_key(kFirst);
    const size_t at = sample().find(key), end = sample().find(provider_key(kSecond));
    EXPECT_EQ(exported(with(yaml, block, "")), reg_file(sample().erase(at, end - at)));
}

TEST(Registry, HasANewKeyForANewProvider) {
    const std::string file = "REGEDIT4\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE]";
    const std::string yaml = imported(file) + "providers:\n  " + kSecond + ": {plugin: acme, send_buffers: 11}\n";
    EXPECT_EQ(exported(yaml), file +
                                  "\r\n\r\n[HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\Winsock\\Parameters\\TCP on SAN\\"
                                  "{6ED17CAF-0120-4A3B-9BD9-1D4A2E2F0C11}]\r\n\"SendBuffers\"=dword:0000000b\r\n\"ReceiveBuffers\"=dword:"
                                  "00000006\r\n\r\n");
}

TEST(Registry, IsMadeFromAConfigurationThatWasNeverImported) {
    const std::string yaml = std::string("providers:\n  ") + kFirst + ": {plugin: acme, receive_buffers: 12}\n";
    const std::string file = exported(yaml);
    EXPECT_TRUE(file.starts_with("\xff\xfeW"));
    EXPECT_EQ(loaded(imported(file)).providers[0].receive_buffers, 12u);
    EXPECT_EQ(exported(imported(file)), file);
}

TEST(Registry, TakesEffectLineByLine) {
    const std::string begin = "REGEDIT4\n" + provider_key(kFirst) + "\"SendBuffers\"=dword:7\n";
    const auto send_buffers = [](const std::string &lines) {
        const config::Config config = loaded(imported(reg_file(lines, Encoding::bytes)));
        return config.providers[0].guid.text() == kFirst ? config.providers[0].send_buffers : 0;
    };
    EXPECT_EQ(send_buffers(begin), 7u);
    EXPECT_EQ(send_buffers(begin + "\"SendBuffers\"=dword:8\n"), 8u);
    EXPECT_EQ(send_buffers(begin + "\"SendBuffers\"=-\n"), 5u) << "deleted";
    EXPECT_EQ(send_buffers(begin + provider_key(kSecond) + provider_key(kFirst) + "\"SENDBUFFERS\"=DWORD:ff\n"), 255u);
    EXPECT_EQ(send_buffers(begin + "[-" + provider_key(kFirst).substr(1) + "\"SendBuffers\"=dword:9\n"), 0u) << "the key is gone";
    EXPECT_EQ(send_buffers(begin + "[-" + kSan + "]\n"), 0u);
    EXPECT_EQ(send_buffers(begin + "[-" + kSan + "]\n" + provider_key(kFirst)), 5u);
    EXPECT_EQ(send_buffers("REGEDIT4\n" + with(provider_key(kFirst), "CurrentControlSet", "ControlSet002") + "\"SendBuffers\"=dword:7\n"),
              7u);
}

TEST(Registry, RefusesWhatIsNoRegFileWithItsPlace) {
    const auto fault_of = [](const std::string &file) {
        const auto made = import_registry(file, "san.reg", "acme");
        return made ? "none" : made.error()[0].format();
    };
    EXPECT_THAT(fault_of(""), HasSubstr("san.reg:1:1: nothing; allowed: a .reg file"));
    EXPECT_THAT(fault_of("hello\n"), HasSubstr("san.reg:1:1: \"hello\"; allowed: Windows Registry Editor Version 5.00, or REGEDIT4"));
    EXPECT_THAT(fault_of("REGEDIT4\n[x]\n\"a"), HasSubstr("san.reg:3:1: a name in quotes that does not end"));
    EXPECT_THAT(fault_of("REGEDIT4\n[x]\n\"a\"=\"b\nc"), HasSubstr("san.reg:3:5: text in quotes that does not end"));
    EXPECT_THAT(fault_of("REGEDIT4\n[x]\n\"a\"=hex:00,\\"), HasSubstr("san.reg:3:1: a value that does not end"));
    EXPECT_THAT(fault_of("\xff\xfeR"), HasSubstr("cut off"));
    EXPECT_THAT(fault_of("REGEDIT4\n" + std::string(300'000, ';')), HasSubstr("too much for a configuration file"));
}

TEST(Registry, RefusesToExportWhatDoesNotLoadOrWasDamaged) {
    const std::string yaml = imported(reg_file(sample()));
    const auto fault_of = [](const std::string &text) {
        const auto made = export_registry(text, "san.yaml");
        return made ? "none" : made.error()[0].format();
    };
    EXPECT_THAT(fault_of(with(yaml, "send_buffers: 16", "send_buffers: 1600")), HasSubstr("san.yaml:19:19: "));
    EXPECT_THAT(fault_of(with(yaml, "utf-16le-with-mark", "utf-32")), HasSubstr("san.yaml:5:1: an encoding that there is none of"));
    EXPECT_THAT(fault_of(with(yaml, "#reg-encoding", "#")), HasSubstr("without the encoding before it"));
    EXPECT_THAT(fault_of(with(yaml, "100 %25", "100 %")), HasSubstr("san.yaml:8:1: a % without its digits"));
    EXPECT_THAT(fault_of(with(yaml, "100 %25", "100 %0A")), HasSubstr("san.yaml:8:1: a line feed within a line"));
    EXPECT_THAT(fault_of(with(yaml, "#reg| Windows", "#reg:none| Windows")),
                HasSubstr("san.yaml:7:1: a line behind #reg after that of #reg:none"));
    EXPECT_THAT(fault_of(with(yaml, "Windows Registry", "Registry")), HasSubstr("the lines behind #reg are no .reg file: line 1 of them"));
}

}  // namespace
}  // namespace sansock::registry
