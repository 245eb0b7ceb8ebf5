// The command line as a person and a shell see it: what it prints, what it ends with, what `run` hands to the program.
//
// Runs a copy of `sansock` in a tree of its own, laid out as it is installed, with an empty preload library, so that
// nothing but the command line is tested.
#include <elf.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace sansock::cli {
namespace {

namespace fs = std::filesystem;

struct Outcome {
    int status = -1;
    std::string out;  ///< Standard output and standard error, as they came.
};

constexpr const char *kRequiring = "routes: [{providers: [41f96c03-1cad-4222-9c2b-682b71c6a8f0], policy: require}]\n";

class Cli : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = fs::canonical(testing::TempDir()) / "sansock-cli-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        tree_ = pattern;
        fs::create_directories(tree_ / "bin");
        fs::create_directories(tree_ / "lib/sansock/plugins");
        fs::copy_file(SANSOCK_PROGRAM, tree_ / "bin/sansock");
        fs::copy_file(SANSOCK_EMPTY_LIBRARY, library());
        for (const std::string file : {"simulated.so", "simulated.yaml"})
            fs::copy_file(fs::path(SANSOCK_PLUGINS) / file, tree_ / "lib/sansock/plugins" / file);
        for (const char *name : {"LD_PRELOAD", "SANSOCK_CONFIG", "SANSOCK_REPORT", "SANSOCK_REQUIRE", "SANSOCK_PLUGIN_PATH"})
            unsetenv(name);
    }
    void TearDown() override { fs::remove_all(tree_); }

    [[nodiscard]] fs::path library() const { return tree_ / "lib/libsansock_preload.so"; }

    fs::path write(const std::string &name, const std::string &text, fs::perms mode = fs::perms(0644)) const {
        std::ofstream(tree_ / name) << text;
        fs::permissions(tree_ / name, mode);
        return tree_ / name;
    }

    /// What the shell makes of this line in the tree's folder, with `sansock` in front.
    [[nodiscard]] Outcome sansock(const std::string &arguments, const std::string &environment = "") const {
        const std::string line = "cd '" + tree_.string() + "' && " + environment + " bin/sansock " + arguments + " 2>&1";
        FILE *pipe = popen(line.c_str(), "r");
        Outcome outcome;
        std::array<char, 4096> buffer;
        while (const std::size_t got = fread(buffer.data(), 1, buffer.size(), pipe)) outcome.out.append(buffer.data(), got);
        const int status = pclose(pipe);
        outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        return outcome;
    }

    fs::path tree_;
};

bool contains(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

TEST_F(Cli, SaysItsVersion) {
    const auto [status, out] = sansock("--version");
    EXPECT_EQ(status, 0);
    EXPECT_EQ(out, "sansock " SANSOCK_VERSION "\n");
}

TEST_F(Cli, ListsItsVerbs) {
    const auto [status, out] = sansock("--help");
    EXPECT_EQ(status, 0);
    for (const char *verb : {"run", "check", "config", "providers"}) EXPECT_TRUE(contains(out, verb)) << verb;
}

TEST_F(Cli, EndsWithTwoForWrongUsage) {
    for (const char *arguments : {"", "nonsense", "check", "run", "run ls", "run --", "run --nonsense -- ls", "config", "config nonsense",
                                  "config explain nonsense", "providers nonsense"}) {
        EXPECT_EQ(sansock(arguments).status, 2) << arguments;
    }
}

TEST_F(Cli, NamesTheWordThatIsWrong) {
    const std::string more = "\nRun with --help for more information.\n",
                      all = "run, check, config, providers, doctor, status, top, explain, reload, drain, undrain, log-level, pki, import-registry, export-registry, bench";
    const std::vector<std::pair<std::string, std::string>> wrong{
        {"", "sansock what? There are " + all},
        {"bogus", "\"bogus\" is no command of sansock; there are " + all},
        {"chek a.yaml", "\"chek\" is no command of sansock (did you mean check?); there are " + all},
        {"--bogus", "--bogus is no option of sansock"},
        {"--versoin", "--versoin is no option of sansock (did you mean --version?)"},
        {"config", "config what? There are explain, generate, schema"},
        {"config explan", "\"explan\" is no command of config (did you mean explain?); there are explain, generate, schema"},
        {"check", "file is required"},
        {"check --conf=x", "--conf is no option of check"},
        {"check a b", "\"b\" is an argument too many"},
        {"check ''", "file: no file named"},
        {"run ls -l", "programs stand behind --: sansock run -- ls"},
        {"run --confg x -- ls", "--confg is no option of run (did you mean --config?); the program's own stand behind --"},
        {"run --config", "--config has no value"},
        {"run --config a --config b -- ls", "--config is given more than once"},
        {"run --config '' -- ls", "--config: no file named"},
        {"run --report '' -- ls", "--report: no file named"},
        {"bench --config ''", "--config: no file named"},
    };
    for (const auto &[arguments, text] : wrong) {
        const auto [status, out] = sansock(arguments);
        EXPECT_EQ(status, 2) << arguments;
        EXPECT_EQ(out, "sansock: " + text + more) << arguments;
    }
}

TEST_F(Cli, ShowsWhereTheProgramStands) {
    const std::string out = sansock("run --help").out;
    EXPECT_TRUE(contains(out, "run [OPTIONS] -- PROGRAM [ARGS...]\n")) << out;
}

TEST_F(Cli, EndsWithOneWhenItCannotWrite) {
    for (const char *arguments : {"config explain", "config generate", "providers", "--help"})
        EXPECT_EQ(sansock(std::string(arguments) + " >/dev/full").status, 1) << arguments;
}

TEST_F(Cli, CheckFindsAFileFine) {
    write("fine.yaml", "waiting: {policy: park}\n");
    const auto [status, out] = sansock("check fine.yaml");
    EXPECT_EQ(status, 0) << out;
    EXPECT_EQ(out, "fine.yaml: fine (1 provider, 1 route)\n");
}

TEST_F(Cli, CheckAsksThePluginsAboutTheirBlocks) {
    write("wrong.yaml",
          "providers:\n  41f96c03-1cad-4222-9c2b-682b71c6a8f0:\n    plugin: simulated\n    simulation:\n"
          "      latency: 5 parsecs\n      jitter: [1us]\n      lag: 1us\n    options: {message_max: 64}\n");
    const auto [status, out] = sansock("check wrong.yaml");
    EXPECT_EQ(status, 1);
    for (const char *fault :
         {"wrong.yaml:5: simulation.latency is '5 parsecs'; write a duration", "\nwrong.yaml:6: simulation.jitter must be a single value\n",
          "wrong.yaml:7: simulation.lag is not known; known are", "wrong.yaml:8: options.message_max is '64'; write a size"}) {
        EXPECT_TRUE(contains(out, fault)) << fault << "\n" << out;
    }
}

TEST_F(Cli, CheckNotesAPluginThatCannotBeLoaded) {
    fs::remove(tree_ / "lib/sansock/plugins/simulated.so");
    write("fine.yaml", "waiting: {policy: park}\n");
    const auto [status, out] = sansock("check fine.yaml");
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(contains(out, "note: the provider cannot be opened here") && contains(out, "simulated.so")) << out;
}

TEST_F(Cli, CheckNotesAThresholdThatHasNoEffect) {
    write("fine.yaml", "providers: {41f96c03-1cad-4222-9c2b-682b71c6a8f0: {plugin: simulated, rdma_threshold: 64 KiB}}\n");
    const auto [status, out] = sansock("check fine.yaml");
    EXPECT_EQ(status, 0);
    EXPECT_EQ(out,
              "fine.yaml:1: note: rdma_threshold has no effect: plugin \"simulated\" has neither RDMA reads nor writes\n"
              "fine.yaml: fine (1 provider, 1 route)\n");
}

TEST_F(Cli, CheckNotesALogThatHasNoFolder) {
    write("fine.yaml", "logging: {target: /nonexistent/a.log}\n");
    const auto [status, out] = sansock("check fine.yaml");
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(contains(out, "fine.yaml:1:19: note: there is no folder \"/nonexistent\" on this host")) << out;
}

TEST_F(Cli, BenchSaysWhyItCannotWrite) {
    EXPECT_EQ(sansock("bench --json /nonexistent/a").out, "sansock: cannot write /nonexistent/a: No such file or directory\n");
}

TEST_F(Cli, CheckSaysAllThatIsWrong) {
    write("wrong.yaml", "waiting: {spin: 1}\nlogin: {}\n");
    const auto [status, out] = sansock("check wrong.yaml");
    EXPECT_EQ(status, 1);
    EXPECT_EQ(out,
              "wrong.yaml:1:17: spin: \"1\" is not a time with its unit; allowed: 0 to 1ms, with ns, us, ms or s\n"
              "wrong.yaml:2:1: \"login\" is not a key (did you mean \"logging\"?); allowed: providers, upgrade_after, "
              "routes, access, waiting, timeouts, logging\n");
}

TEST_F(Cli, CheckNotesPluginsThatAreNotInstalled) {
    write("roce.yaml", "providers: {11111111-1111-1111-1111-111111111111: {plugin: roce}}\n");
    const auto [status, out] = sansock("check roce.yaml");
    EXPECT_EQ(status, 0) << "a block of a plugin that is not here is kept";
    EXPECT_TRUE(contains(out, "roce.yaml:1:13: note: plugin \"roce\" is not installed")) << out;
}

TEST_F(Cli, ConfigGeneratesAFileThatIsFine) {
    EXPECT_EQ(sansock("config generate > all.yaml").status, 0);
    EXPECT_EQ(sansock("check all.yaml").out, "all.yaml: fine (1 provider, 1 route)\n");
}

TEST_F(Cli, ConfigExplainsAKey) {
    const auto [status, out] = sansock("config explain send_buffers");
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(contains(out, "Allowed: a whole number, 5 to 255.")) << out;
}

TEST_F(Cli, ConfigPrintsASchema) {
    const auto [status, out] = sansock("config schema");
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(out.starts_with("{\n  \"$schema\"")) << out.substr(0, 40);
}

TEST_F(Cli, ProvidersListsManifestsAndProblems) {
    EXPECT_EQ(sansock("providers").out,
              "PLUGIN     VERSION  ABI  GUIDS                                 DESCRIPTION\n"
              "simulated  " SANSOCK_VERSION
              "    1.0  41f96c03-1cad-4222-9c2b-682b71c6a8f0  "
              "Shared memory between processes of one host, or a modelled network\n");
    write("lib/sansock/plugins/zero.yaml", "name: zero\n");
    const auto [status, out] = sansock("providers");
    EXPECT_EQ(status, 1);
    EXPECT_TRUE(contains(out, "sansock: " + (tree_ / "lib/sansock/plugins/zero.yaml").string() + ":1:1: key 'library' is missing\n"))
        << out;
}

TEST_F(Cli, ImportsAndExportsTheRegistry) {
    const std::string reg =
        "REGEDIT4\r\n\r\n[HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\Winsock\\Parameters\\TCP on SAN\\"
        "{41F96C03-1CAD-4222-9C2B-682B71C6A8F0}]\r\n\"SendBuffers\"=dword:00000040\r\n\"ReceiveBuffers\"=dword:00000001\r\n";
    write("san.reg", reg);
    const auto [status, out] = sansock("import-registry san.reg --plugin simulated -o san.yaml");
    EXPECT_EQ(status, 0);
    EXPECT_EQ(out, "san.reg:5:1: note: ReceiveBuffers is 1, outside 6 to 255; kept as it is, and the default 6 holds\n");
    EXPECT_EQ(sansock("check san.yaml").out, "san.yaml: fine (1 provider, 1 route)\n");
    EXPECT_EQ(sansock("export-registry san.yaml").out, reg);
    EXPECT_EQ(sansock("export-registry san.yaml -o again.reg && cmp san.reg again.reg").status, 0);
}

TEST_F(Cli, ImportRegistrySaysWhatItCannotRead) {
    EXPECT_EQ(sansock("import-registry none.reg").out, "none.reg:1:1: cannot read it: No such file or directory\n");
    EXPECT_TRUE(contains(sansock("import-registry .").out, ".:1:1: cannot read it: Is a directory\n"));
    write("san.reg", "hello\n");
    const auto [status, out] = sansock("import-registry san.reg");
    EXPECT_EQ(status, 1);
    EXPECT_EQ(out, "san.reg:1:1: \"hello\"; allowed: Windows Registry Editor Version 5.00, or REGEDIT4\n");
    EXPECT_TRUE(contains(sansock("import-registry san.reg -o none/x").out, "san.reg:1:1"));
    write("new.yaml", "logging: {level: info}\n");
    EXPECT_EQ(sansock("export-registry new.yaml -o none/x").out, "sansock: cannot write none/x: No such file or directory\n");
}

TEST_F(Cli, RunSetsTheEnvironment) {
    const auto config = write("c.yaml", kRequiring);
    const auto [status, out] = sansock("run --config c.yaml --report r.json -- env");
    EXPECT_EQ(status, 0) << out;
    EXPECT_TRUE(contains(out, "LD_PRELOAD=" + library().string() + "\n")) << out;
    EXPECT_TRUE(contains(out, "SANSOCK_CONFIG=" + config.string() + "\n")) << out;
    EXPECT_TRUE(contains(out, "SANSOCK_REPORT=" + (tree_ / "r.json").string() + "\n")) << out;
    EXPECT_TRUE(contains(out, "SANSOCK_REQUIRE=1\n")) << out;
}

TEST_F(Cli, RunOnTheEmbeddedDefaultSetsTheLibraryOnly) {
    const auto [status, out] = sansock("run -- env", "SANSOCK_REQUIRE=1");
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(contains(out, "LD_PRELOAD=" + library().string() + "\n")) << out;
    EXPECT_FALSE(contains(out, "SANSOCK_")) << out;
}

TEST_F(Cli, RunTakesItsFilesFromTheEnvironmentToo) {
    const auto config = write("c.yaml", "waiting: {policy: park}\n");
    EXPECT_TRUE(contains(sansock("run -- env", "SANSOCK_CONFIG=c.yaml").out, "SANSOCK_CONFIG=" + config.string() + "\n"));
    write("wrong.yaml", "waiting: {policy: nap}\n");
    EXPECT_EQ(sansock("run -- env", "SANSOCK_CONFIG=wrong.yaml").status, 125);
    EXPECT_FALSE(contains(sansock("run -- env", "SANSOCK_CONFIG=").out, "SANSOCK_CONFIG")) << "empty is not set";
}

TEST_F(Cli, RunPutsItsLibraryBeforeOthersAndOnlyOnce) {
    fs::copy_file(library(), tree_ / "other.so");
    const std::string other = (tree_ / "other.so").string();
    const std::string both = "LD_PRELOAD=" + library().string() + ":" + other + "\n";
    EXPECT_TRUE(contains(sansock("run -- env", "LD_PRELOAD=" + other).out, both));
    EXPECT_TRUE(contains(sansock("run -- bin/sansock run -- env", "LD_PRELOAD=" + other).out, both));
}

TEST_F(Cli, RunHandsArgumentsOnAsTheyAre) {
    const auto [status, out] = sansock("run -- printf '<%s>' -- --report '[a,b]' '' 'c d' -h");
    EXPECT_EQ(out, "<--><--report><[a,b]><><c d><-h>");
    EXPECT_EQ(status, 0);
}

TEST_F(Cli, RunEndsAsTheProgramDoes) {
    EXPECT_EQ(sansock("run -- sh -c 'exit 42'").status, 42);
    EXPECT_EQ(sansock("run -- sh -c 'kill -TERM $$'").status, 128 + SIGTERM);
}

TEST_F(Cli, RunRefusesAWrongConfiguration) {
    write("wrong.yaml", "waiting: {spin: 1}\nlogin: {}\n");
    const auto [status, out] = sansock("run --config wrong.yaml -- echo started");
    EXPECT_EQ(status, 125);
    EXPECT_FALSE(contains(out, "started"));
    EXPECT_TRUE(contains(out, "wrong.yaml:1:17: ") && contains(out, "wrong.yaml:2:1: ")) << out;
}

TEST_F(Cli, RunRefusesAReportThatCannotBeWritten) {
    const auto [status, out] = sansock("run --report missing/r.json -- echo started");
    EXPECT_EQ(status, 125);
    EXPECT_EQ(out, "sansock: cannot write the report missing/r.json: No such file or directory\n");
}

TEST_F(Cli, RunSaysWhereItMissesItsLibrary) {
    fs::remove(library());
    const auto [status, out] = sansock("run -- echo started");
    EXPECT_EQ(status, 125);
    EXPECT_FALSE(contains(out, "started"));
    EXPECT_TRUE(contains(out, "the preload library is missing") && contains(out, library().string())) << out;
}

TEST_F(Cli, RunRefusesAFolderThatTheLoaderCannotName) {
    fs::create_directories(tree_ / "a b/lib");
    fs::create_directories(tree_ / "a b/bin");
    fs::copy_file(library(), tree_ / "a b/lib/libsansock_preload.so");
    fs::copy_file(tree_ / "bin/sansock", tree_ / "a b/bin/sansock");
    const auto [status, out] = sansock("--version >/dev/null; 'a b/bin/sansock' run -- echo started");
    EXPECT_EQ(status, 125);
    EXPECT_TRUE(contains(out, "LD_PRELOAD cannot hold a path with a space or colon")) << out;
}

TEST_F(Cli, RunTellsMissingProgramsFromOnesThatCannotBeExecuted) {
    write("text", "no program\n");
    EXPECT_EQ(sansock("run -- no-such-program").status, 127);
    EXPECT_EQ(sansock("run -- no-such-program").out, "sansock: no-such-program: not found in PATH\n");
    EXPECT_EQ(sansock("run -- ./no-such-program").status, 127);
    EXPECT_EQ(sansock("run -- ''").status, 127);
    EXPECT_EQ(sansock("run -- ''").out, "sansock: no program named\n");
    EXPECT_EQ(sansock("run -- ./text").out, "sansock: ./text: Permission denied\n");
    EXPECT_EQ(sansock("run -- ./text").status, 126);
    EXPECT_EQ(sansock("run -- ./bin").status, 126);
    EXPECT_EQ(sansock("run -- text", "PATH=/nowhere:" + tree_.string()).status, 126);
}

TEST_F(Cli, RunFindsProgramsAsTheShellDoes) {
    write("tool", "#!/bin/sh\necho tool\n", fs::perms(0755));
    EXPECT_EQ(sansock("run -- tool", "PATH=/nowhere:" + tree_.string()).out, "tool\n");
    EXPECT_EQ(sansock("run -- tool", "PATH=/nowhere:").out, "tool\n") << "an empty entry is the working directory";
    write("bare", "echo bare\n", fs::perms(0755));
    EXPECT_EQ(sansock("run -- ./bare").out, "bare\n") << "without #! it is the shell's";
}

TEST_F(Cli, RunWarnsOfProgramsThatItCannotSee) {
    fs::copy_file(SANSOCK_STATIC_PROGRAM, tree_ / "static");
    const auto direct = sansock("run -- ./static");
    EXPECT_EQ(direct.status, 7) << "it runs all the same";
    EXPECT_EQ(direct.out, "sansock: warning: ./static is statically linked; its connections stay on TCP\n");

    write("script", "#!" + (tree_ / "static").string() + " -x\n", fs::perms(0755));
    const auto script = sansock("run -- ./script");
    EXPECT_EQ(script.status, 7);
    EXPECT_TRUE(contains(script.out, "/static is statically linked")) << "a script is its interpreter: " << script.out;
}

TEST_F(Cli, RunWarnsOfProgramsForOtherMachines) {
    std::ifstream stream(SANSOCK_STATIC_PROGRAM, std::ios::binary);
    std::string program(std::istreambuf_iterator<char>(stream), {});
    program.at(offsetof(Elf64_Ehdr, e_machine)) ^= 0x55;
    write("foreign", program, fs::perms(0755));
    EXPECT_TRUE(contains(sansock("run -- ./foreign").out, "./foreign is built for another kind of machine"));
}

/// A program that would get other rights than the caller has. For root that is one of another user; others find one
/// of root's on every system.
TEST_F(Cli, RunWarnsOfProgramsThatGainRights) {
    std::string program = "/usr/bin/passwd";
    if (getuid() == 0) {
        program = tree_ / "elevated";
        fs::copy_file("/bin/true", program);
        ASSERT_EQ(chown(program.c_str(), 1, 1), 0);
        ASSERT_EQ(chmod(program.c_str(), 04755), 0);
    }
    EXPECT_TRUE(contains(sansock("run -- " + program + " --help").out, program + " is setuid"));
}

TEST_F(Cli, RunDoesNotWarnOfOrdinaryPrograms) { EXPECT_EQ(sansock("run -- true").out, ""); }

}  // namespace
}  // namespace sansock::cli
