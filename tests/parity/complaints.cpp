#include <argp.h>
#include <err.h>
#include <error.h>
#include <fmtmsg.h>
#include <getopt.h>
#include <malloc.h>
#include <mcheck.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>

#include "libc_names.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

SANSOCK_LIBC(void, __assert, (const char *, const char *, int));
SANSOCK_LIBC(void, __assert_fail, (const char *, const char *, unsigned, const char *));
SANSOCK_LIBC(void, __assert_perror_fail, (int, const char *, unsigned, const char *));
SANSOCK_LIBC(int, getopt, (int, char *const *, const char *));
SANSOCK_LIBC(int, __posix_getopt, (int, char *const *, const char *));
SANSOCK_LIBC(void, argp_usage, (const argp_state *));

argp_state state_of(const argp &parser) {
    argp_state state{};
    state.root_argp = &parser;
    state.flags = ARGP_NO_EXIT;
    state.name = const_cast<char *>("parity");
    state.err_stream = stderr;
    state.out_stream = stderr;
    return state;
}

const argp kParser{.args_doc = "WORD", .doc = "parses nothing"};
char *const kWords[] = {const_cast<char *>("parity"), const_cast<char *>("-q"), nullptr};

void listed(void (*call)(va_list), ...) {
    va_list arguments;
    va_start(arguments, call);
    call(arguments);
    va_end(arguments);
}

/// Starts anew at the first word.
int option(int (*parse)()) {
    optind = 0;
    return parse();
}

struct Complaint {
    const char *name;
    void (*call)();
};
constexpr Complaint kComplaints[] = {
    {"perror", [] { perror("perror"); }},
    {"psignal", [] { psignal(SIGPIPE, "psignal"); }},
    {"psiginfo",
     [] {
         siginfo_t about{};
         about.si_signo = SIGUSR1;
         about.si_code = SI_TKILL;
         psiginfo(&about, "psiginfo");
     }},
    {"error", [] { error(0, EPERM, "error %d", 1); }},
    {"error_at_line", [] { error_at_line(0, EPERM, "file", 7, "error %d", 2); }},
    {"warn", [] { warn("warn %d", 3); }},
    {"warnx", [] { warnx("warnx %d", 4); }},
    {"vwarn", [] { listed([](va_list all) { vwarn("vwarn %d", all); }, 5); }},
    {"vwarnx", [] { listed([](va_list all) { vwarnx("vwarnx %d", all); }, 6); }},
    {"herror",
     [] {
         h_errno = HOST_NOT_FOUND;
         herror("herror");
     }},
    {"fmtmsg", [] { fmtmsg(MM_PRINT, "sansock:parity", MM_WARNING, "text", "none", "parity:1"); }},
    {"argp_error",
     [] {
         const argp_state state = state_of(kParser);
         argp_error(&state, "argp_error %d", 1);
     }},
    {"argp_failure",
     [] {
         const argp_state state = state_of(kParser);
         argp_failure(&state, 0, EPERM, "argp_failure %d", 2);
     }},
    {"argp_usage",
     [] {
         const argp_state state = state_of(kParser);
         libc_argp_usage(&state);
     }},
    {"argp_state_help",
     [] {
         const argp_state state = state_of(kParser);
         argp_state_help(&state, stderr, ARGP_HELP_SHORT_USAGE);
     }},
    {"argp_help", [] { argp_help(&kParser, stderr, ARGP_HELP_DOC, const_cast<char *>("parity")); }},
    {"argp_parse", [] { argp_parse(&kParser, 2, const_cast<char **>(kWords), ARGP_NO_EXIT, nullptr, nullptr); }},
    {"getopt", [] { option([] { return libc_getopt(2, kWords, "a"); }); }},
    {"__posix_getopt", [] { option([] { return libc___posix_getopt(2, kWords, "a"); }); }},
    {"getopt_long", [] { option([] { return getopt_long(2, kWords, "a", nullptr, nullptr); }); }},
    {"getopt_long_only", [] { option([] { return getopt_long_only(2, kWords, "a", nullptr, nullptr); }); }},
};

/// These end the process.
constexpr Complaint kLastWords[] = {
    {"err", [] { err(1, "err %d", 1); }},
    {"errx", [] { errx(2, "errx %d", 2); }},
    {"verr", [] { listed([](va_list all) { verr(3, "verr %d", all); }, 3); }},
    {"verrx", [] { listed([](va_list all) { verrx(4, "verrx %d", all); }, 4); }},
    {"error", [] { error(5, EPERM, "error %d", 5); }},
    {"__assert", [] { libc___assert("1 == 2", "file", 6); }},
    {"__assert_fail", [] { libc___assert_fail("1 == 2", "file", 7, "function"); }},
    {"__assert_perror_fail", [] { libc___assert_perror_fail(EPERM, "file", 8, "function"); }},
};

/// What libc says of its memory differs from run to run.
constexpr Complaint kAccounts[] = {
    {"malloc_stats", malloc_stats},
    {"malloc_info", [] { malloc_info(0, stderr); }},
    {"mtrace",
     [] {
         mtrace();
         muntrace();
     }},
};

/// What has come to the peer before a mark that we send now. Complaints are many small writes.
std::string said_so_far(const Connection &c) {
    send_all(c.fd, "\1", 1);
    std::string all;
    while (!all.ends_with('\1')) {
        const Outcome part = c.peer.recv(1024);
        if (part.result <= 0) return all + " and no more";
        all += part.bytes;
    }
    all.pop_back();
    return all;
}

}  // namespace

// Functions of libc that complain on standard error, where a connection is standard error.
Subject complaints() {
    Subject cases{.name = "complaints", .needs_process = true};
    cases.add("of_every_kind", [](Case &t) {
        const auto c = t.connect();
        const int kept = dup(STDERR_FILENO);
        must("dup2", dup2(c.fd, STDERR_FILENO));
        program_invocation_name = const_cast<char *>("parity");
        program_invocation_short_name = program_invocation_name;
        for (const auto &[name, call] : kComplaints) {
            errno = EPERM;
            call();
            t.says(name, shown(said_so_far(c)));
        }
        must("dup2", dup2(kept, STDERR_FILENO));
        t.still_works(c);
    });

    cases.add("that_are_the_last", [](Case &t) {
        const auto c = t.connect();
        program_invocation_name = const_cast<char *>("parity");
        program_invocation_short_name = program_invocation_name;
        for (const auto &[name, call] : kLastWords) {
            const int child = must("fork", fork());
            if (child == 0) {
                const rlimit none{};
                setrlimit(RLIMIT_CORE, &none);
                must("dup2", dup2(c.fd, STDERR_FILENO));
                errno = EPERM;
                call();
                _exit(0);
            }
            int status = -1;
            must("waitpid", waitpid(child, &status, 0));
            t.says(name, shown(said_so_far(c)));
            t.value("exit status", WIFSIGNALED(status) ? -1 : WEXITSTATUS(status));
        }
        t.still_works(c);
    });

    cases.add("accounts_of_memory", [](Case &t) {
        const auto c = t.connect();
        const int kept = dup(STDERR_FILENO);
        must("dup2", dup2(c.fd, STDERR_FILENO));
        for (const auto &[name, call] : kAccounts) call();
        must("dup2", dup2(kept, STDERR_FILENO));
        t.value("send", send(c.fd, "end", 3, 0));
        shutdown(c.fd, SHUT_WR);
        const Outcome all = c.peer.receive_to_end();
        t.yes_no("malloc_stats", all.bytes.find("Arena 0:") != std::string::npos);
        t.yes_no("malloc_info", all.bytes.find("</malloc>") != std::string::npos);
        t.yes_no("and what came behind", all.bytes.ends_with("end"));
    });
    return cases;
}

}  // namespace sansock::parity
