#include <grp.h>
#include <gshadow.h>
#include <mntent.h>
#include <pwd.h>
#include <shadow.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "libc_names.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

SANSOCK_LIBC(mntent *, __getmntent_r, (FILE *, mntent *, char *, int));
SANSOCK_LIBC(int, __ivaliduser, (FILE *, std::uint32_t, const char *, const char *));

/// Sun RPC's XDR, of which there are no headers any more. Its numbers are those of <rpc/xdr.h>.
struct Xdr {
    enum Direction { kEncode = 0, kDecode = 1 } direction;
    const void *operations;
    char *fields[4];
};
SANSOCK_OLD_LIBC(void, xdrstdio_create, (Xdr *, FILE *, Xdr::Direction));
SANSOCK_OLD_LIBC(int, xdr_int, (Xdr *, int *));

char *text(const char *constant) { return const_cast<char *>(constant); }
char *no_members[] = {nullptr};

struct Record {
    const char *name;
    const char *(*call)(FILE *);
};

char room[256];

/// The name in the record that a function with storage of our own has found.
template <auto Function, class Entry, auto Name>
const char *with_storage(FILE *stream) {
    static Entry storage;
    Entry *found = nullptr;
    return Function(stream, &storage, room, sizeof room, &found) == 0 && found != nullptr ? found->*Name : nullptr;
}
template <auto Function, auto Name>
const char *with_its_own(FILE *stream) {
    const auto *found = Function(stream);
    return found != nullptr ? found->*Name : nullptr;
}
template <auto Function>
const char *mount_with_storage(FILE *stream) {
    static mntent storage;
    const mntent *found = Function(stream, &storage, room, sizeof room);
    return found != nullptr ? found->mnt_dir : nullptr;
}

constexpr Record kRecords[] = {
    {"fgetpwent", with_its_own<fgetpwent, &passwd::pw_name>},  {"fgetpwent_r", with_storage<fgetpwent_r, passwd, &passwd::pw_name>},
    {"fgetgrent", with_its_own<fgetgrent, &group::gr_name>},   {"fgetgrent_r", with_storage<fgetgrent_r, group, &group::gr_name>},
    {"fgetspent", with_its_own<fgetspent, &spwd::sp_namp>},    {"fgetspent_r", with_storage<fgetspent_r, spwd, &spwd::sp_namp>},
    {"fgetsgent", with_its_own<fgetsgent, &sgrp::sg_namp>},    {"fgetsgent_r", with_storage<fgetsgent_r, sgrp, &sgrp::sg_namp>},
    {"getmntent", with_its_own<getmntent, &mntent::mnt_dir>},  {"getmntent_r", mount_with_storage<getmntent_r>},
    {"__getmntent_r", mount_with_storage<libc___getmntent_r>},
};
// Those with storage of their own first ask for the position, and without one read nothing.
constexpr const char *kLines =
    "user:x:1:2:g:/:s\n"
    "group:x:1:\n"
    "shadow:x:1:2:3:4:5:6:7\n"
    "gshadow:x:a:b\n"
    "device /mount1 type options 0 0\n"
    "device /mount2 type options 0 0\n"
    "device /mount3 type options 0 0\n";

FILE *stream_of(const Connection &c) {
    FILE *stream = fdopen(c.fd, "r+");
    if (stream == nullptr) die("fdopen");
    return stream;
}

}  // namespace

// Functions of libc that read and write records on a stream.
Subject stream_records() {
    Subject cases{"stream_records"};
    cases.add("read", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c);
        c.peer.send(kLines);
        for (const auto &[name, call] : kRecords) {
            const char *found = call(stream);
            t.says(name, found != nullptr ? found : "nothing");
        }
        t.still_works(c);
    });

    cases.add("written", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c);
        const mntent mount{.mnt_fsname = text("a"), .mnt_dir = text("b"), .mnt_type = text("c"), .mnt_opts = text("d")};
        const passwd user{.pw_name = text("u"),
                          .pw_passwd = text("x"),
                          .pw_uid = 1,
                          .pw_gid = 2,
                          .pw_gecos = text("g"),
                          .pw_dir = text("/"),
                          .pw_shell = text("s")};
        const group users{.gr_name = text("g"), .gr_passwd = text("x"), .gr_gid = 1, .gr_mem = no_members};
        const spwd shadow{.sp_namp = text("s"), .sp_pwdp = text("x"), .sp_lstchg = 1};
        const sgrp group_shadow{.sg_namp = text("h"), .sg_passwd = text("x"), .sg_adm = no_members, .sg_mem = no_members};
        t.value("putpwent", putpwent(&user, stream));
        t.value("putgrent", putgrent(&users, stream));
        t.value("putspent", putspent(&shadow, stream));
        t.value("putsgent", putsgent(&group_shadow, stream));
        t.value("addmntent", addmntent(stream, &mount));  // which looks for the end of the file first
        t.value("fflush", fflush(stream));
        t.value("send", send(c.fd, "!", 1, 0));
        shutdown(c.fd, SHUT_WR);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("of_remote_calls", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c);
        Xdr xdr{};
        int number = 0x61626364;
        libc_xdrstdio_create(&xdr, stream, Xdr::kEncode);
        t.value("xdr_int", libc_xdr_int(&xdr, &number));
        fflush(stream);
        t.outcome("peer", c.peer.receive_up_to(4));
        c.peer.send("wxyz");
        libc_xdrstdio_create(&xdr, stream, Xdr::kDecode);
        t.value("xdr_int", libc_xdr_int(&xdr, &number));
        t.yes_no("the number", number == 0x7778797a);
        t.still_works(c);
    });

    cases.add("of_remote_users", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c);
        c.peer.send("127.0.0.1 one\n127.0.0.1 two\n");
        c.peer.shutdown(SHUT_WR);
        t.value("__ivaliduser", libc___ivaliduser(stream, htonl(INADDR_LOOPBACK), "two", "two"));
        t.value("__ivaliduser", libc___ivaliduser(stream, htonl(INADDR_LOOPBACK), "three", "three"));
        t.value("send", send(c.fd, "on", 2, 0));
        t.outcome("peer", c.peer.receive_up_to(2));
    });
    return cases;
}

}  // namespace sansock::parity
