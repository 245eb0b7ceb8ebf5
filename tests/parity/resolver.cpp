#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <resolv.h>
#include <sys/resource.h>

#include <cstdlib>
#include <cstring>
#include <iterator>

#include "libc_names.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

SANSOCK_LIBC(int, res_query, (const char *, int, int, unsigned char *, int));
SANSOCK_LIBC(int, res_search, (const char *, int, int, unsigned char *, int));
SANSOCK_LIBC(int, res_querydomain, (const char *, const char *, int, int, unsigned char *, int));
SANSOCK_LIBC(int, res_send, (const unsigned char *, int, unsigned char *, int));
SANSOCK_LIBC(int, res_nquery, (res_state, const char *, int, int, unsigned char *, int));
SANSOCK_LIBC(int, res_nsearch, (res_state, const char *, int, int, unsigned char *, int));
SANSOCK_LIBC(int, res_nquerydomain, (res_state, const char *, const char *, int, int, unsigned char *, int));
SANSOCK_LIBC(int, res_nsend, (res_state, const unsigned char *, int, unsigned char *, int));
SANSOCK_OLD_LIBC(int, __res_query, (const char *, int, int, unsigned char *, int));
SANSOCK_OLD_LIBC(int, __res_search, (const char *, int, int, unsigned char *, int));
SANSOCK_OLD_LIBC(int, __res_querydomain, (const char *, const char *, int, int, unsigned char *, int));
SANSOCK_OLD_LIBC(int, __res_send, (const unsigned char *, int, unsigned char *, int));
SANSOCK_OLD_LIBC(int, __res_nquery, (res_state, const char *, int, int, unsigned char *, int));
SANSOCK_OLD_LIBC(int, __res_nsearch, (res_state, const char *, int, int, unsigned char *, int));
SANSOCK_OLD_LIBC(int, __res_nquerydomain, (res_state, const char *, const char *, int, int, unsigned char *, int));
SANSOCK_OLD_LIBC(int, __res_nsend, (res_state, const unsigned char *, int, unsigned char *, int));

SANSOCK_LIBC(int, rcmd, (char **, unsigned short, const char *, const char *, const char *, int *));
SANSOCK_LIBC(int, rcmd_af, (char **, unsigned short, const char *, const char *, const char *, int *, sa_family_t));
SANSOCK_LIBC(int, rexec, (char **, int, const char *, const char *, const char *, int *));
SANSOCK_LIBC(int, rexec_af, (char **, int, const char *, const char *, const char *, int *, sa_family_t));
SANSOCK_LIBC(int, ruserok, (const char *, int, const char *, const char *));
SANSOCK_LIBC(int, ruserok_af, (const char *, int, const char *, const char *, sa_family_t));
SANSOCK_LIBC(int, iruserok, (std::uint32_t, int, const char *, const char *));
SANSOCK_LIBC(int, iruserok_af, (const void *, int, const char *, const char *, sa_family_t));
SANSOCK_LIBC(int, ruserpass, (const char *, const char **, const char **));
SANSOCK_OLD_LIBC(int, rtime, (sockaddr_in *, timeval *, timeval *));

unsigned char answer[512];
/// A question for the address of `example.invalid`, as it goes over the network.
constexpr unsigned char kQuestion[] = "\0\1\1\0\0\1\0\0\0\0\0\0\7example\7invalid\0\0\1\0";
constexpr int kQuestionSize = sizeof kQuestion;  // its last byte is the string's, and a 1 behind it would be the class
constexpr const char *kName = "example.invalid";

struct Question {
    const char *name;
    int (*call)(unsigned char *, int);
};
constexpr Question kQuestions[] = {
    {"res_query", [](unsigned char *to, int size) { return libc_res_query(kName, 1, 1, to, size); }},
    {"__res_query", [](unsigned char *to, int size) { return libc___res_query(kName, 1, 1, to, size); }},
    {"res_search", [](unsigned char *to, int size) { return libc_res_search(kName, 1, 1, to, size); }},
    {"__res_search", [](unsigned char *to, int size) { return libc___res_search(kName, 1, 1, to, size); }},
    {"res_querydomain", [](unsigned char *to, int size) { return libc_res_querydomain("example", "invalid", 1, 1, to, size); }},
    {"__res_querydomain", [](unsigned char *to, int size) { return libc___res_querydomain("example", "invalid", 1, 1, to, size); }},
    {"res_send", [](unsigned char *to, int size) { return libc_res_send(kQuestion, kQuestionSize, to, size); }},
    {"__res_send", [](unsigned char *to, int size) { return libc___res_send(kQuestion, kQuestionSize, to, size); }},
    {"res_nquery", [](unsigned char *to, int size) { return libc_res_nquery(&_res, kName, 1, 1, to, size); }},
    {"__res_nquery", [](unsigned char *to, int size) { return libc___res_nquery(&_res, kName, 1, 1, to, size); }},
    {"res_nsearch", [](unsigned char *to, int size) { return libc_res_nsearch(&_res, kName, 1, 1, to, size); }},
    {"__res_nsearch", [](unsigned char *to, int size) { return libc___res_nsearch(&_res, kName, 1, 1, to, size); }},
    {"res_nquerydomain", [](unsigned char *to, int size) { return libc_res_nquerydomain(&_res, "example", "invalid", 1, 1, to, size); }},
    {"__res_nquerydomain",
     [](unsigned char *to, int size) { return libc___res_nquerydomain(&_res, "example", "invalid", 1, 1, to, size); }},
    {"res_nsend", [](unsigned char *to, int size) { return libc_res_nsend(&_res, kQuestion, kQuestionSize, to, size); }},
    {"__res_nsend", [](unsigned char *to, int size) { return libc___res_nsend(&_res, kQuestion, kQuestionSize, to, size); }},
};

/// The resolver asks a server that is not there, and no other machine.
void ask_nobody() {
    res_init();
    const Address nobody = Address::loopback(AF_INET, 1);
    _res.nscount = 1;
    _res.options &= ~(RES_DNSRCH | RES_DEFNAMES);
    memcpy(&_res.nsaddr_list[0], nobody.get(), sizeof _res.nsaddr_list[0]);
}

/// Whether one of those with storage of ours finds a host.
template <class Call>
bool finds_host(const Call &call) {
    hostent storage{}, *found = nullptr;
    char room[1024];
    int error = 0;
    call(&storage, room, sizeof room, &found, &error);
    return found != nullptr;
}

char *host() {
    static char name[] = "127.0.0.1";
    return name;
}

/// No function of libc gets a socket meanwhile. So they reach nobody, and need not wait for that.
class NoMoreDescriptors {
public:
    NoMoreDescriptors() {
        getrlimit(RLIMIT_NOFILE, &before_);
        const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
        setrlimit(RLIMIT_NOFILE, &none);
    }
    ~NoMoreDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
    NoMoreDescriptors(const NoMoreDescriptors &) = delete;
    NoMoreDescriptors &operator=(const NoMoreDescriptors &) = delete;

private:
    rlimit before_{};
};

}  // namespace

// Functions of libc that make their own sockets, beside a connection.
Subject resolver() {
    Subject cases{"resolver"};
    cases.add("questions", [](Case &t) {
        const auto c = t.connect();
        ask_nobody();
        for (const auto &[name, call] : kQuestions) t.value(name, call(answer, sizeof answer));
        t.still_works(c);
    });

    cases.add("addresses", [](Case &t) {
        const auto c = t.connect();
        ask_nobody();
        addrinfo *addresses = nullptr;
        t.value("getaddrinfo", getaddrinfo(host(), "80", nullptr, &addresses));
        freeaddrinfo(addresses);
        gaicb request{};
        request.ar_name = host();
        gaicb *list[] = {&request};
        t.value("getaddrinfo_a", getaddrinfo_a(GAI_WAIT, list, 1, nullptr));
        t.value("gai_error", gai_error(&request));
        const Address local = Address::loopback(AF_INET, 80);
        char name[32] = {};
        t.value("getnameinfo", getnameinfo(local.get(), local.length, name, sizeof name, nullptr, 0, NI_NUMERICHOST));
        t.says("the name", name);
        t.still_works(c);
    });

    cases.add("hosts", [](Case &t) {
        const auto c = t.connect();
        ask_nobody();
        t.yes_no("gethostbyname", gethostbyname(host()) != nullptr);
        t.yes_no("gethostbyname2", gethostbyname2(host(), AF_INET) != nullptr);
        t.yes_no("gethostbyaddr of three bytes", gethostbyaddr(host(), 3, AF_INET) != nullptr);
        t.yes_no("gethostbyname_r", finds_host([](auto... room) { gethostbyname_r(host(), room...); }));
        t.yes_no("gethostbyname2_r", finds_host([](auto... room) { gethostbyname2_r(host(), AF_INET, room...); }));
        t.yes_no("gethostbyaddr_r of three bytes", finds_host([](auto... room) { gethostbyaddr_r(host(), 3, AF_INET, room...); }));
        t.still_works(c);
    });

    cases.add("interfaces", [](Case &t) {
        const auto c = t.connect();
        ifaddrs *interfaces = nullptr;
        t.value("getifaddrs", getifaddrs(&interfaces));
        freeifaddrs(interfaces);
        const unsigned index = if_nametoindex("lo");
        t.yes_no("if_nametoindex", index > 0);
        char name[IF_NAMESIZE] = {};
        t.yes_no("if_indextoname", if_indextoname(index, name) == name);
        t.says("its name", name);
        struct if_nameindex *all = if_nameindex();
        t.yes_no("if_nameindex", all != nullptr);
        if_freenameindex(all);
        t.still_works(c);
    });

    cases.add("remote_shell", [](Case &t) {
        const auto c = t.connect();
        int port = 1000;
        for (const int reserved : {rresvport(&port), rresvport_af(&port, AF_INET)}) {
            t.yes_no("rresvport", reserved >= 0);
            close(reserved);
        }
        Address nobody = Address::loopback(AF_INET, 1);
        timeval now{}, limit{.tv_sec = 1, .tv_usec = 0};
        t.value("rtime", libc_rtime(reinterpret_cast<sockaddr_in *>(nobody.get()), &now, nullptr));
        t.value("rtime within a second", libc_rtime(reinterpret_cast<sockaddr_in *>(nobody.get()), &now, &limit) == -1 ? -1 : 0);
        t.still_works(c);
    });

    cases.add("remote_shell_without_sockets", [](Case &t) {
        const auto c = t.connect();
        setenv("HOME", ".", 1);
        close(STDERR_FILENO);  // where they explain themselves
        char *name = host();
        int second = -1;
        {
            const NoMoreDescriptors limit;
            t.yes_no("rcmd", libc_rcmd(&name, 1, "u", "u", "true", &second) >= 0);
            t.yes_no("rcmd_af", libc_rcmd_af(&name, 1, "u", "u", "true", &second, AF_INET) >= 0);
            t.yes_no("rexec", libc_rexec(&name, 1, "u", "p", "true", &second) >= 0);
            t.yes_no("rexec_af", libc_rexec_af(&name, 1, "u", "p", "true", &second, AF_INET) >= 0);
        }
        t.still_works(c);
    });

    cases.add("remote_users", [](Case &t) {
        const auto c = t.connect();
        setenv("HOME", ".", 1);
        const in_addr address{htonl(INADDR_LOOPBACK)};
        const char *user = nullptr, *password = nullptr;
        t.value("ruserok", libc_ruserok(host(), 0, "nobody at all", "nobody at all") == 0);
        t.value("ruserok_af", libc_ruserok_af(host(), 0, "nobody at all", "nobody at all", AF_INET) == 0);
        t.value("iruserok", libc_iruserok(address.s_addr, 0, "nobody at all", "nobody at all") == 0);
        t.value("iruserok_af", libc_iruserok_af(&address, 0, "nobody at all", "nobody at all", AF_INET) == 0);
        t.value("ruserpass", libc_ruserpass(host(), &user, &password));
        t.still_works(c);
    });
    return cases;
}

}  // namespace sansock::parity
