// Every fault, with its place: what is wrong, what is allowed.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "support.hpp"

namespace sansock::config {
namespace {

using Lines = std::vector<std::string>;

const std::string kRoot = "providers, upgrade_after, routes, access, waiting, timeouts, logging";
const std::string kProviderKeys = "plugin, send_buffers, receive_buffers, buffer_size, max_memory, rdma_threshold, options, simulation";
const std::string kProviderLine = std::string("providers: {") + kOne + ": {plugin: simulated}}\n";

TEST(Error, UnknownKeys) {
    EXPECT_EQ(errors_of("provider: {}\n"), Lines{"f:1:1: \"provider\" is not a key (did you mean \"providers\"?); allowed: " + kRoot});
    EXPECT_EQ(errors_of("nothing_like_it: 1\n"), Lines{"f:1:1: \"nothing_like_it\" is not a key; allowed: " + kRoot});
    EXPECT_EQ(errors_of(with_provider("SendBuffers: 7")),
              Lines{"f:4:5: \"SendBuffers\" is not a key (did you mean \"send_buffers\"?); allowed: " + kProviderKeys});
    EXPECT_EQ(errors_of("waiting:\n  spins: 1us\n"),
              Lines{"f:2:3: \"spins\" is not a key (did you mean \"spin\"?); allowed: policy, spin"});
    EXPECT_EQ(errors_of(kProviderLine + "routes:\n- {policy: forbid, upgrade_after: {call: 1}}\n"),
              Lines{"f:3:36: \"call\" is not a key (did you mean \"calls\"?); allowed: calls, bytes"});
    EXPECT_EQ(errors_of("[a]: 1\n"), Lines{"f:1:1: a list is not a key; allowed: " + kRoot});
}

TEST(Error, WrongTypes) {
    EXPECT_EQ(errors_of("- a\n"), Lines{"f:1:1: a list is not a configuration; allowed: a mapping with " + kRoot});
    EXPECT_EQ(errors_of("text\n"), Lines{"f:1:1: \"text\" is not a configuration; allowed: a mapping with " + kRoot});
    EXPECT_EQ(errors_of("logging: [x]\n"),
              Lines{"f:1:10: logging: a list is not what belongs here; allowed: a mapping with level, target"});
    EXPECT_EQ(errors_of("providers: 5\n"), Lines{"f:1:12: providers: \"5\" is not what belongs here; allowed: a mapping from GUIDs, as "
                                                 "01234567-89ab-cdef-0123-456789abcdef, to blocks"});
    EXPECT_EQ(errors_of("routes: {}\n"),
              Lines{"f:1:9: routes: a mapping is not what belongs here; allowed: a list of mappings, [] for none"});
    EXPECT_EQ(errors_of("routes: [x]\n"), Lines{"f:1:10: \"x\" is not a block of routes; allowed: a mapping with "
                                                "providers, policy, destination, port, program, upgrade_after"});
    EXPECT_EQ(errors_of(std::string("providers: {") + kOne + ": 5}\n"),
              Lines{"f:1:51: \"5\" is not a block of providers; allowed: a mapping with " + kProviderKeys});
    EXPECT_EQ(errors_of(with_provider("send_buffers: [5]")),
              Lines{"f:4:19: send_buffers: a list is not what belongs here; allowed: a whole number, 5 to 255"});
    EXPECT_EQ(errors_of(with_provider("options: 5")), Lines{"f:4:14: options: \"5\" is not what belongs here; allowed: a mapping"});
    EXPECT_EQ(errors_of(with_provider("simulation: [1]")),
              Lines{"f:4:17: simulation: a list is not what belongs here; allowed: a mapping"});
}

TEST(Error, NumbersThatAreNone) {
    for (const char *text : {"five", "5.0", "05", "0x5", "+5", "5 6", "1e1"}) {
        EXPECT_EQ(errors_of(with_provider(std::string("send_buffers: ") + text)),
                  Lines{std::string("f:4:19: send_buffers: \"") + text + "\" is not a whole number; allowed: a whole number, 5 to 255"});
    }
    EXPECT_EQ(errors_of(with_provider("send_buffers: '5'")),
              Lines{"f:4:19: send_buffers: \"5\" is text, not a number (remove the quotes); allowed: a whole number, 5 "
                    "to 255"});
    EXPECT_EQ(errors_of(with_provider("send_buffers: 99999999999999999999")),
              Lines{"f:4:19: send_buffers: 99999999999999999999 is too large; allowed: a whole number, 5 to 255"});
}

TEST(Error, SizesAndTimesThatAreNone) {
    const std::string sizes = "; allowed: 4 KiB to 1 MiB, a power of two, in bytes or with KiB, MiB or GiB";
    for (const char *text : {"64k", "64 KB", "64kib", "0.5 MiB", "-1", "KiB", "64 KiB 3"}) {
        EXPECT_EQ(errors_of(with_provider(std::string("buffer_size: ") + text)),
                  Lines{std::string("f:4:18: buffer_size: \"") + text + "\" is not a size" + sizes});
    }
    EXPECT_EQ(errors_of(with_provider("buffer_size: 5000")), Lines{"f:4:18: buffer_size: 5000 is not a power of two" + sizes});
    for (const char *text : {"20", "20 microseconds", "1min", "-1us", "1.5us"}) {
        EXPECT_EQ(
            errors_of(std::string("waiting: {spin: ") + text + "}"),
            Lines{std::string("f:1:17: spin: \"") + text + "\" is not a time with its unit; allowed: 0 to 1ms, with ns, us, ms or s"});
    }
}

TEST(Error, ChoicesNamesAndTargets) {
    EXPECT_EQ(errors_of("waiting: {policy: Spin}"), Lines{"f:1:19: policy: \"Spin\" is not a choice; allowed: adaptive, spin, park"});
    EXPECT_EQ(errors_of("logging: {level: loud, target: log.txt}"),
              (Lines{"f:1:18: level: \"loud\" is not a choice; allowed: error, warning, info, debug",
                     "f:1:32: target: \"log.txt\" is not a target; allowed: stderr or the absolute path of a file"}));
    EXPECT_EQ(errors_of("logging: {target: /var/log/}"),
              Lines{"f:1:19: target: \"/var/log/\" is not a target; allowed: stderr or the absolute path of a file"});
    EXPECT_EQ(errors_of(std::string("providers: {") + kOne + ": {plugin: ../evil}}"),
              Lines{"f:1:60: plugin: \"../evil\" is not a plugin name; allowed: letters, digits, - and _"});
}

TEST(Error, MissingValues) {
    EXPECT_EQ(errors_of(with_provider("send_buffers:\n\n    receive_buffers: 6")),
              Lines{"f:4:5: send_buffers has no value; allowed: a whole number, 5 to 255"});
    EXPECT_EQ(errors_of("routes:\n"), Lines{"f:1:1: routes has no value; allowed: a list of mappings, [] for none"});
    EXPECT_EQ(errors_of("providers:\n"), Lines{"f:1:1: providers has no value; allowed: a mapping from GUIDs, as "
                                               "01234567-89ab-cdef-0123-456789abcdef, to blocks"});
    EXPECT_EQ(errors_of(with_provider("options:")), Lines{"f:4:5: options has no value; allowed: a mapping"});
    EXPECT_EQ(errors_of(std::string("waiting: {}\nproviders:\n  ") + kOne + ": {send_buffers: 6}\n"),
              Lines{"f:3:3: plugin is missing; allowed: letters, digits, - and _"});
    EXPECT_EQ(errors_of("routes:\n  - port: 80\n"),
              Lines{"f:2:5: providers is missing; allowed: a list of GUIDs, or policy forbid without any"});
    EXPECT_EQ(errors_of(kProviderLine + "routes: [{providers: []}]\n"),
              Lines{"f:2:22: providers is an empty list; allowed: a list of GUIDs, as "
                    "01234567-89ab-cdef-0123-456789abcdef"});
    EXPECT_EQ(errors_of("routes: [{policy: forbid, port: []}]\n"),
              Lines{"f:1:33: port is an empty list; allowed: a list of ports (1 to 65535) or ranges of them, as "
                    "7000-7999"});
}

TEST(Error, Duplicates) {
    EXPECT_EQ(errors_of("waiting: {}\nlogging: {}\nwaiting: {}\n"),
              Lines{"f:3:1: waiting is given twice (first in line 1); once is allowed"});
    EXPECT_EQ(errors_of(with_provider("plugin: simulated")), Lines{"f:4:5: plugin is given twice (first in line 3); once is allowed"});
    EXPECT_EQ(errors_of(with_provider("options:\n      a: 1\n      b: [{c: 1, c: 2}]\n      a: 2")),
              (Lines{"f:6:18: c is given twice (first in line 6); once is allowed",
                     "f:7:7: a is given twice (first in line 5); once is allowed"}));
    EXPECT_EQ(errors_of("providers:\n"
                        "  abcdefab-cdef-abcd-efab-cdefabcdefab: {plugin: simulated}\n"
                        "  \"{ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB}\": {plugin: simulated}\n"),
              Lines{"f:3:3: provider abcdefab-cdef-abcd-efab-cdefabcdefab is given twice (first in line 2); once is "
                    "allowed"});
}

TEST(Error, BadGuids) {
    EXPECT_EQ(errors_of("providers:\n  simulated: {plugin: simulated}\n"),
              Lines{"f:2:3: \"simulated\" is not a GUID; allowed: a mapping from GUIDs, as "
                    "01234567-89ab-cdef-0123-456789abcdef, to blocks"});
    EXPECT_EQ(errors_of(kProviderLine + "routes: [{providers: [nonsense, {a: b}]}]\n"),
              (Lines{"f:2:23: providers: \"nonsense\" is not a GUID; allowed: a list of GUIDs, as "
                     "01234567-89ab-cdef-0123-456789abcdef",
                     "f:2:33: providers: a mapping is not what belongs here; allowed: a list of GUIDs, as "
                     "01234567-89ab-cdef-0123-456789abcdef"}));
}

TEST(Error, BadRoutes) {
    const std::string subnets = "; allowed: a list of IPv4 or IPv6 addresses or subnets, as 10.0.0.0/8 or fd00::/8";
    const std::string ports = "; allowed: a list of ports (1 to 65535) or ranges of them, as 7000-7999";
    EXPECT_EQ(errors_of("routes:\n"
                        "  - policy: forbid\n"
                        "    destination: [10.0.0.1/8, host]\n"
                        "    port: [0, 90-80]\n"
                        "    program: [a, /bin/b]\n"),
              (Lines{"f:3:19: destination: \"10.0.0.1/8\" has bits behind its prefix (did you mean \"10.0.0.0/8\"?)" + subnets,
                     "f:3:31: destination: \"host\" is not an IP address or subnet" + subnets,
                     "f:4:12: port: \"0\" is not a port or port range" + ports,
                     "f:4:15: port: \"90-80\" runs backwards (did you mean \"80-90\"?)" + ports,
                     "f:5:18: program: \"/bin/b\" is not a file name; allowed: a list of file names without "
                     "directories"}));
    EXPECT_EQ(errors_of(kProviderLine + "routes:\n  - {policy: forbid, providers: " + kOne + "}\n"),
              Lines{"f:3:33: providers mean nothing with policy forbid; allowed: no providers, or another policy"});
}

TEST(Error, UnknownAndRepeatedReferences) {
    EXPECT_EQ(errors_of(kProviderLine + "routes:\n  - providers: [" + kOne + ",\n      " + kTwo + ", " + kOne + "]\n"),
              (Lines{std::string("f:4:7: provider ") + kTwo + " has no block; allowed: a GUID from providers",
                     std::string("f:4:45: provider ") + kOne + " is named twice in one route; once is allowed"}));
}

/// The errors of these routes, which forbid, so that they need no providers.
Lines errors_of_routes(const std::vector<std::string> &conditions) {
    std::string text = "routes:\n";
    for (const std::string &one : conditions) text += "  - {policy: forbid" + (one.empty() ? "" : ", " + one) + "}\n";
    return errors_of(text);
}

TEST(Error, RoutesThatCanNeverMatch) {
    const std::vector<std::pair<std::string, std::string>> covered{
        {"", ""},
        {"", "port: 80, program: a, destination: 10.0.0.0/8"},
        {"destination: 10.0.0.0/8", "destination: [10.1.0.0/16, 10.2.3.4]"},
        {"destination: [10.0.0.0/9, 10.128.0.0/9]", "destination: 10.0.0.0/8"},
        {"destination: [0.0.0.0/0, '::/0']", ""},
        {"destination: ['::/1', '8000::/1', 0.0.0.0/0]", "program: a"},
        {"port: 1-65535", ""},
        {"port: [90-99, 80-89]", "port: [85-95, 80]"},
        {"program: [a, b]", "program: b"},
        {"program: [a, b], port: 1-1000", "program: b, port: 80"},
    };
    for (const auto &[earlier, later] : covered) {
        EXPECT_EQ(errors_of_routes({earlier, later}),
                  Lines{"f:3:5: this route can never match, the one in line 2 covers it; allowed: routes from the "
                        "particular to the general"})
            << earlier << " / " << later;
    }
}

TEST(Error, RoutesThatSeveralTogetherLeaveNothingTo) {
    const std::vector<std::vector<std::string>> covered{
        {"port: 1-100", "port: 101-65535", ""},
        {"port: 1-100", "port: 101-65535", "port: [80, 443], program: a"},
        {"port: [1-99, 200-65535]", "port: 100-199", "destination: 10.0.0.0/8"},
        {"destination: 10.0.0.0/9", "destination: 10.128.0.0/9", "destination: 10.0.0.0/8"},
        {"destination: 0.0.0.0/0", "destination: '::/0'", ""},
        {"program: a", "program: b", "program: [a, b]"},
        {"port: 1-99", "port: 100-65535, destination: 10.0.0.0/9", "port: 100-65535, destination: 10.128.0.0/9", "destination: 10.0.0.0/8"},
        {"program: a, port: 1-80", "port: 70-90", "program: [a], port: 60-85"},
    };
    for (const auto &routes : covered) {
        EXPECT_EQ(errors_of_routes(routes),
                  Lines{"f:" + std::to_string(routes.size() + 1) +
                        ":5: this route can never match, those before it together cover it; allowed: routes from the particular to the "
                        "general"})
            << routes.back();
    }
}

TEST(Error, RoutesThatSeveralTogetherLeaveSomethingTo) {
    const std::vector<std::vector<std::string>> left{
        {"port: 1-100", "port: 102-65535", ""},
        {"port: 1-100", "port: 101-65534", ""},
        {"port: 1-100", "port: 101-65535, program: a", ""},
        {"port: 1-100, destination: 10.0.0.0/8", "port: 101-65535", ""},
        {"destination: 10.0.0.0/9", "destination: 10.128.0.0/10", "destination: 10.0.0.0/8"},
        {"program: a", "program: b", "program: [a, b, c]"},
        {"program: a", "program: b", ""},
    };
    for (const auto &routes : left) EXPECT_EQ(errors_of_routes(routes), Lines{}) << routes.back();
}

/// Routes of few conditions, so that a few connections tell them all apart: a route is at fault exactly if none of these
/// comes to it.
TEST(Error, RoutesAreAtFaultExactlyIfNothingComesToThem) {
    const Lines ports{"", ", port: 1-3", ", port: 4-65535", ", port: 1-65535", ", port: [2-10, 12-65535]"};
    const Lines destinations{"", ", destination: 0.0.0.0/1", ", destination: [128.0.0.0/1, '::/1']", ", destination: [0.0.0.0/0, '::/0']",
                             ", destination: '8000::/1'"};
    const Lines programs{"", ", program: a", ", program: b", ", program: [a, b]"};
    std::minstd_rand random(1);
    const auto one_of = [&](const Lines &lines) { return lines[random() % lines.size()]; };
    const auto first_of = [](const Config &config, const char *address, std::uint16_t port, const char *program) {
        const Route *route = match(config, {Address::parse(address).value(), port}, program);
        return route == nullptr ? 0 : route->position.line;
    };
    for (int round = 0; round < 300; ++round) {
        Config all;
        std::string text = "routes:\n";
        for (int line = 2; line < 7; ++line) {
            const std::string route = "  - {policy: forbid" + one_of(ports) + one_of(destinations) + one_of(programs) + "}\n";
            text += route;
            all.routes.push_back(load_text("routes:\n" + route, "f", host_of_tests()).config->routes.at(0));
            all.routes.back().position.line = line;
        }
        std::set<int> reached;
        for (const char *address : {"1.1.1.1", "200.0.0.1", "::1", "8000::1"})
            for (const std::uint16_t port : {1, 2, 3, 4, 10, 11, 12, 65535})
                for (const char *program : {"a", "b", "c"}) reached.insert(first_of(all, address, port, program));
        Lines expected, found;
        for (int line = 2; line < 7; ++line)
            if (!reached.contains(line)) expected.push_back("f:" + std::to_string(line) + ":5");
        for (const std::string &error : errors_of(text)) found.push_back(error.substr(0, error.find(": ")));
        ASSERT_EQ(found, expected) << text;
    }
}

TEST(Error, ListsThatSayTheSameTwice) {
    EXPECT_EQ(errors_of("routes:\n"
                        "  - policy: forbid\n"
                        "    port: [80, 80-90, 85, 91]\n"
                        "    destination: [10.0.0.0/8, 10.1.0.0/16, '::1', '0::1', 11.0.0.0/8]\n"
                        "    program: [a, b, a]\n"
                        "access:\n"
                        "  allow: [[redis, redis], [redis, 7]]\n"),
              (Lines{"f:3:16: port: \"80-90\" and \"80\" in line 3 overlap; allowed: each once in a list",
                     "f:3:23: port: \"85\" and \"80-90\" in line 3 overlap; allowed: each once in a list",
                     "f:4:31: destination: \"10.1.0.0/16\" and \"10.0.0.0/8\" in line 4 overlap; allowed: each once in a list",
                     "f:4:51: destination: \"0::1\" and \"::1\" in line 4 overlap; allowed: each once in a list",
                     "f:5:21: program: \"a\" and \"a\" in line 5 overlap; allowed: each once in a list",
                     "f:7:19: allow: \"redis\" is named twice in one group; once is allowed"}));
}

TEST(Error, RoutesThatCanMatchAreNone) {
    const std::vector<std::pair<std::string, std::string>> independent{
        {"port: 80", ""},
        {"port: 1-65534", ""},
        {"port: [80-89, 91-99]", "port: 85-95"},
        {"destination: 10.0.0.0/8", "destination: 10.0.0.0/7"},
        {"destination: [10.0.0.0/9, 10.128.0.0/10]", "destination: 10.0.0.0/8"},
        {"destination: 0.0.0.0/0", ""},
        {"destination: '::/0'", "destination: 10.0.0.0/8"},
        {"program: a", "program: [a, b]"},
        {"program: a", ""},
        {"program: a, port: 80", "program: a, port: 81"},
    };
    for (const auto &[earlier, later] : independent) EXPECT_EQ(errors_of_routes({earlier, later}), Lines{}) << earlier << " / " << later;
}

TEST(Error, MemoryThatDoesNotHoldOneConnection) {
    EXPECT_EQ(errors_of(with_provider("max_memory: 1 MiB\n    buffer_size: 128 KiB")),
              Lines{"f:2:3: max_memory of 1 MiB does not hold the 11 buffers of one connection; allowed: 1408 KiB or "
                    "more"});
    EXPECT_EQ(errors_of(with_provider("max_memory: 1408 KiB\n    buffer_size: 128 KiB")), Lines{});
}

TEST(Error, BadAccess) {
    const std::string groups = "; allowed: a list of groups, each a list of two or more user names or uids";
    EXPECT_EQ(
        errors_of("access:\n  allow: [redis, [root], [a, [b]], [1, 4294967295], [1, 99999999999]]\n"),
        (Lines{"f:2:11: allow: \"redis\" is not what belongs here" + groups,
               "f:2:18: allow: a group of fewer than two users allows nothing" + groups, "f:2:26: allow: a list is not a user" + groups,
               "f:2:36: allow: 4294967295 is too large for a uid" + groups, "f:2:53: allow: 99999999999 is too large for a uid" + groups}));
}

TEST(Error, OneFaultIsReportedOnce) {
    // Each of these leaves something behind that a check of the whole could trip over.
    EXPECT_EQ(errors_of(with_provider("buffer_size: 1 MiB\n    max_memory: nonsense")).size(), 1u);
    EXPECT_EQ(errors_of("routes:\n  - {policy: forbid, port: nonsense}\n  - {policy: forbid, port: 80}\n").size(), 1u);
    EXPECT_EQ(errors_of("routes:\n  - {policy: forbid}\n  - {policy: nonsense}\n").size(), 1u);
    EXPECT_EQ(errors_of("providers: []\nroutes:\n  - providers: " + std::string(kOne) + "\n").size(), 1u);
    EXPECT_EQ(errors_of("providers: {nonsense: {}}\nroutes:\n  - providers: " + std::string(kOne) + "\n").size(), 1u);
    EXPECT_EQ(errors_of("routes:\n  - providers: nonsense\n").size(), 1u);
}

TEST(Error, AllAreReportedAtOnceInTheFilesOrder) {
    const auto errors = errors_of("waiting: {spin: 1}\nlogging: {level: x}\nnonsense: 1\ntimeouts: {step: 1}\n");
    ASSERT_EQ(errors.size(), 4u);
    for (std::size_t i = 0; i < errors.size(); ++i) EXPECT_TRUE(errors[i].starts_with("f:" + std::to_string(i + 1) + ":")) << errors[i];
}

TEST(Error, TextThatIsNotYaml) {
    EXPECT_EQ(errors_of("waiting: {spin: 1us\nlogging: {}\n"),
              Lines{"f:2:8: not YAML: a mapping that no } closes; allowed: {key: value, ...}"});
    const std::string tab = " not YAML: a tab; allowed: blanks to indent with";
    EXPECT_EQ(errors_of("waiting:\n\tspin: 1us\n"), Lines{"f:2:1:" + tab});
    EXPECT_EQ(errors_of("routes:\n\t- policy: forbid\n"), Lines{"f:2:1:" + tab});
    EXPECT_EQ(errors_of("waiting:\n  spin: 1us\n \tpolicy: park\n"), Lines{"f:3:2:" + tab});
    EXPECT_EQ(errors_of("logging: {}\nwaiting: policy: park\n"),
              Lines{"f:2:16: not YAML: a colon that belongs to no key; allowed: one `key: value` a line, also in the line above, and text "
                    "with a colon in quotes"});
    EXPECT_EQ(errors_of(std::string(1100, 'k') + ": 1\n"), Lines{"f:1:1101: not YAML: a key that is too long; allowed: 1024 characters"});
    EXPECT_EQ(errors_of("logging:\n  level: debug\n target: stderr\n"),
              Lines{"f:3:2: not YAML: a line that is no `key: value` of the mapping above; allowed: keys in the same column"});
    EXPECT_EQ(errors_of("routes: [1, 2\n"), Lines{"f:2:1: not YAML: a list that no ] closes; allowed: [value, ...]"});
    EXPECT_EQ(errors_of("logging: }\n"), Lines{"f:1:10: not YAML: a bracket that closes nothing; allowed: text with brackets in quotes"});
    EXPECT_EQ(errors_of("waiting: {\n\tspin: 1us\n"), Lines{"f:3:1: not YAML: a mapping that no } closes; allowed: {key: value, ...}"});
    EXPECT_EQ(errors_of("logging: \"a"),
              Lines{"f:1:12: not YAML: a quote that is not closed; allowed: the same quote at both ends of the text"});
    EXPECT_EQ(errors_of("logging: *\n"), Lines{"f:1:11: not YAML: a * or & without a name; allowed: such text in quotes"});
    EXPECT_EQ(
        errors_of("logging: \"\\q\"\n"),
        Lines{"f:1:13: not YAML: a backslash that YAML does not know in double quotes; allowed: text with backslashes in single quotes"});
    EXPECT_EQ(errors_of("logging: - a\n"),
              Lines{"f:1:10: not YAML: a dash that begins no element of a list; allowed: elements in lines of their own"});
    EXPECT_EQ(errors_of("logging: @a\n"), Lines{"f:1:10: not YAML: a character that begins no value; allowed: such text in quotes"});
    EXPECT_EQ(errors_of("waiting: {}\n---\nwaiting: {}\n"),
              Lines{"f:2:1: more text behind the end of the document; allowed: one document"});
    EXPECT_EQ(errors_of(std::string("waiting: {}\n# \x04\nnonsense: 1\n")), Lines{"f:2:3: control character 4; allowed: YAML in UTF-8"});
    EXPECT_EQ(errors_of(std::string_view("waiting: \0{}", 12)), Lines{"f:1:10: control character 0; allowed: YAML in UTF-8"});
}

TEST(Error, TextThatIsNotUtf8) {
    const std::string allowed = " is no UTF-8; allowed: YAML in UTF-8";
    EXPECT_EQ(errors_of("logging: {}\n# Gr\xfc\xdf"
                        "e\n"),
              Lines{"f:2:5: byte 0xfc" + allowed});
    for (const char *bytes :
         {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xff\xfe"})
        EXPECT_EQ(errors_of(std::string("# ") + bytes + "\n").size(), 1u);
    for (const char *bytes : {"\u00e9", "\u20ac", "\ud7ff", "\ue000", "\U0001f40c", "\U0010ffff", "\u0085"})
        EXPECT_EQ(errors_of(std::string("# ") + bytes + "\n"), Lines{}) << bytes;
    EXPECT_EQ(errors_of("\ufeffwaiting: {}\n"), Lines{}) << "a byte order mark is no fault";
    EXPECT_EQ(errors_of("# \u009b\n"), Lines{"f:1:3: control character 155; allowed: YAML in UTF-8"});
}

TEST(Error, TextsAreSafeToPrint) {
    EXPECT_EQ(errors_of("\"\\x1b[2J\\n\": 1\n"), Lines{"f:1:1: \"\\x1b[2J\\n\" is not a key; allowed: " + kRoot});
    EXPECT_EQ(errors_of("\"\\x9b\": 1\n"), Lines{"f:1:1: \"\\x9b\" is not a key; allowed: " + kRoot});
    EXPECT_EQ(errors_of(with_provider("options: {\"\\e\": 1, \"\\e\": 2}")),
              Lines{"f:4:24: \\x1b is given twice (first in line 4); once is allowed"});
    const std::string long_key = std::string(59, 'k') + "\u20ac";
    EXPECT_EQ(errors_of(long_key + ": 1\n"), Lines{"f:1:1: \"" + std::string(59, 'k') + "...\" is not a key; allowed: " + kRoot});
}

TEST(Error, TextThatYamlCppReadsForEver) {
    EXPECT_EQ(errors_of(",a: 1\n"), Lines{"f:1:1: more text behind the end of the document; allowed: one document"});
}

TEST(Error, AnchorsAliasesAndTags) {
    EXPECT_EQ(errors_of("waiting: &a {spin: 1us}\nlogging: *a\ntimeouts: !t {}\n"),
              (Lines{"f:1:10: an anchor; allowed: values without anchors", "f:2:10: an alias; allowed: the value itself, written out",
                     "f:3:11: tag \"!t\"; allowed: values without tags"}));
}

TEST(Error, BombsAreDefused) {
    EXPECT_EQ(errors_of(std::string(std::size_t{256} << 10, '#')), Lines{}) << "the largest text that is allowed";
    EXPECT_EQ(errors_of(std::string((std::size_t{256} << 10) + 1, '#')), Lines{"f:1:1: too large; allowed: 262144 bytes"});
    for (const char *opening : {"[", "{", "? ", "- ", "a: [", "[a,"}) {
        std::string text;
        while (text.size() < 200'000) text += opening;
        EXPECT_EQ(errors_of(text).size(), 1u) << opening;
    }
    std::string deep = "waiting: {}\noptions: ";
    for (int i = 0; i < 32; ++i) deep += '[';
    for (int i = 0; i < 32; ++i) deep += ']';
    EXPECT_EQ(errors_of(deep), Lines{"f:2:41: not YAML: nested too deep; allowed: 32 levels"});
}

class ErrorOfFile : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "sansock-config-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        directory_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }

    static Lines errors_of_file(const std::filesystem::path &file) {
        const auto loaded = load_file(file, host_of_tests());
        return loaded.config ? Lines{} : formatted(loaded.config.error());
    }

    std::filesystem::path directory_;
};

TEST_F(ErrorOfFile, NamesTheFileThatItWasGiven) {
    const auto file = directory_ / "a.yaml";
    std::ofstream(file) << "waiting: {spin: 1}\n";
    EXPECT_EQ(errors_of_file(file), Lines{file.string() + ":1:17: spin: \"1\" is not a time with its unit; allowed: 0 "
                                                          "to 1ms, with ns, us, ms or s"});
}

TEST_F(ErrorOfFile, ThatIsMissingOrNoFile) {
    const std::string allowed = "; allowed: a regular file that can be read";
    const auto missing = directory_ / "missing.yaml";
    EXPECT_EQ(errors_of_file(missing), Lines{missing.string() + ":1:1: cannot open it: No such file or directory" + allowed});
    EXPECT_EQ(errors_of_file(directory_), Lines{directory_.string() + ":1:1: a directory, device or pipe" + allowed});
    const auto pipe = directory_ / "pipe";
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_EQ(errors_of_file(pipe), Lines{pipe.string() + ":1:1: a directory, device or pipe" + allowed});
}

TEST_F(ErrorOfFile, ThatIsTooLarge) {
    const auto file = directory_ / "large.yaml";
    std::ofstream(file) << std::string(1 << 20, '#');
    EXPECT_EQ(errors_of_file(file), Lines{file.string() + ":1:1: too large; allowed: 262144 bytes"});
}

}  // namespace
}  // namespace sansock::config
