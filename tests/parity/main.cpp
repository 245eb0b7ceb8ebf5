#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

std::vector<Subject> all_subjects() {
    return {transfer(),
            vectors(),
            messages(),
            flags(),
            timeouts(),
            ends(),
            failures(),
            resets(),
            options(),
            controls(),
            descriptors(),
            poll_states(),
            polling(),
            selecting(),
            epoll_control(),
            epoll_triggers(),
            epoll_sets(),
            interruptions(),
            handlers(),
            files(),
            stdio(),
            processes(),
            relatives(),
            programs(),
            passing(),
            faults(),
            threads(),
            connecting(),
            bulk(),
            raw_calls(),
            rings(),
            fortified(),
            passed_on(),
            aliases(),
            process_aliases(),
            openings(),
            stream_reads(),
            stream_writes(),
            stream_wide(),
            stream_state(),
            stream_records(),
            stream_insides(),
            stream_wide_insides(),
            complaints(),
            spawning(),
            resolver(),
            remote_calls()};
}

constexpr const char *kUsage =
    "usage: parity --list | --case SUBJECT.NAME [--peer thread|process|plain-process] [--role accept|connect]\n"
    "              [--warm CALLS] [--settle MILLISECONDS] [--seed N]\n";

[[noreturn]] void usage() {
    fputs(kUsage, stderr);
    exit(2);
}

/// One line per case: its name, and whether its peer may be a thread.
int list() {
    for (const Subject &subject : all_subjects()) {
        for (const Subject::Entry &entry : subject.entries) {
            printf("%s.%s %s\n", subject.name, entry.name, subject.needs_process ? "process" : "any");
        }
    }
    return 0;
}

const Subject::Entry *find(const std::vector<Subject> &subjects, std::string_view wanted) {
    for (const Subject &subject : subjects) {
        for (const Subject::Entry &entry : subject.entries) {
            if (std::string(subject.name) + "." + entry.name == wanted) return &entry;
        }
    }
    return nullptr;
}

Peer::Kind peer_kind(std::string_view name) {
    if (name == "thread") return Peer::Kind::kThread;
    if (name == "process") return Peer::Kind::kProcess;
    if (name == "plain-process") return Peer::Kind::kPlainProcess;
    usage();
}

int run(std::string_view name, const Options &options) {
    const std::vector<Subject> subjects = all_subjects();
    const Subject::Entry *entry = find(subjects, name);
    if (entry == nullptr) usage();
    Case subject_case(options);
    entry->run(subject_case);
    subject_case.says("case", "finished");
    subject_case.report_provider_use();
    return 0;
}

}  // namespace

int main(int argc, char **argv) {
    Options options;
    std::string name;
    for (int i = 1; i < argc; ++i) {
        const std::string_view option = argv[i];
        if (option == "--list") return list();
        if (i + 1 == argc) usage();
        const char *value = argv[++i];
        if (option == "--serve") {
            serve(atoi(value));
            return 0;
        }
        if (option == "--receiver") return receive_passed(atoi(value));
        if (option == "--echo") return echo_until_end(atoi(value));
        if (option == "--case")
            name = value;
        else if (option == "--peer")
            options.peer = peer_kind(value);
        else if (option == "--role")
            options.subject_connects = std::strcmp(value, "connect") == 0;
        else if (option == "--warm")
            options.warm_calls = atoi(value);
        else if (option == "--settle")
            options.settle_ms = atoi(value);
        else if (option == "--seed")
            options.seed = strtoull(value, nullptr, 10);
        else
            usage();
    }
    return run(name, options);
}

}  // namespace sansock::parity

int main(int argc, char **argv) { return sansock::parity::main(argc, argv); }
