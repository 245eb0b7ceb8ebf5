#include <sys/resource.h>
#include <sys/select.h>

#include <cstring>
#include <string>

#include "libc_names.hpp"
#include "subjects.hpp"

// Sun RPC, of which libc has the functions for programs linked long ago, and no headers any more.
namespace sansock::parity {

namespace {

/// As <rpc/clnt.h> had it: the answer to how a call went.
struct RpcError {
    int status;
    int padding;
    long fields[2];
};
struct Client;
struct ClientCalls {
    void *call, *abort;
    void (*get_error)(Client *, RpcError *);
    void *free_results, *destroy, *control;
};
struct Client {
    void *credentials;
    const ClientCalls *calls;
    void *its_own;
};
struct Service;  // SVCXPRT
using Number = unsigned long;
using Filter = int (*)(void *, void *);

SANSOCK_OLD_LIBC(Client *, clnt_create, (const char *, Number, Number, const char *));
SANSOCK_OLD_LIBC(int, clnt_broadcast, (Number, Number, Number, Filter, void *, Filter, void *, void *));
SANSOCK_OLD_LIBC(Client *, clntraw_create, (Number, Number));
SANSOCK_OLD_LIBC(Client *, clnttcp_create, (sockaddr_in *, Number, Number, int *, unsigned, unsigned));
SANSOCK_OLD_LIBC(Client *, clntudp_create, (sockaddr_in *, Number, Number, timeval, int *));
SANSOCK_OLD_LIBC(Client *, clntudp_bufcreate, (sockaddr_in *, Number, Number, timeval, int *, unsigned, unsigned));
SANSOCK_OLD_LIBC(Client *, clntunix_create, (void *, Number, Number, int *, unsigned, unsigned));
SANSOCK_OLD_LIBC(void, clnt_perror, (Client *, const char *));
SANSOCK_OLD_LIBC(void, clnt_perrno, (int));
SANSOCK_OLD_LIBC(void, clnt_pcreateerror, (const char *));
SANSOCK_OLD_LIBC(int, callrpc, (const char *, Number, Number, Number, Filter, const void *, Filter, void *));
SANSOCK_OLD_LIBC(void, get_myaddress, (sockaddr_in *));
SANSOCK_OLD_LIBC(int, getrpcport, (const char *, Number, Number, unsigned));
SANSOCK_OLD_LIBC(void *, pmap_getmaps, (sockaddr_in *));
SANSOCK_OLD_LIBC(unsigned short, pmap_getport, (sockaddr_in *, Number, Number, unsigned));
SANSOCK_OLD_LIBC(int, pmap_rmtcall, (sockaddr_in *, Number, Number, Number, Filter, void *, Filter, void *, timeval, Number *));
SANSOCK_OLD_LIBC(int, pmap_set, (Number, Number, int, unsigned short));
SANSOCK_OLD_LIBC(int, pmap_unset, (Number, Number));
SANSOCK_OLD_LIBC(int, registerrpc, (Number, Number, Number, char *(*)(char *), Filter, Filter));
SANSOCK_OLD_LIBC(void, svc_exit, ());
SANSOCK_OLD_LIBC(void, svc_getreq, (int));
SANSOCK_OLD_LIBC(void, svc_getreq_common, (int));
SANSOCK_OLD_LIBC(void, svc_getreq_poll, (pollfd *, int));
SANSOCK_OLD_LIBC(void, svc_getreqset, (fd_set *));
SANSOCK_OLD_LIBC(int, svc_register, (Service *, Number, Number, void (*)(void *, Service *), Number));
SANSOCK_OLD_LIBC(void, svc_unregister, (Number, Number));
SANSOCK_OLD_LIBC(void, svc_run, ());
SANSOCK_OLD_LIBC(int, svc_sendreply, (Service *, Filter, void *));
SANSOCK_OLD_LIBC(Service *, svcfd_create, (int, unsigned, unsigned));
SANSOCK_OLD_LIBC(Service *, svcraw_create, ());
SANSOCK_OLD_LIBC(Service *, svctcp_create, (int, unsigned, unsigned));
SANSOCK_OLD_LIBC(Service *, svcudp_bufcreate, (int, unsigned, unsigned));
SANSOCK_OLD_LIBC(Service *, svcudp_create, (int));
SANSOCK_OLD_LIBC(int, svcudp_enablecache, (Service *, Number));
SANSOCK_OLD_LIBC(Service *, svcunix_create, (int, unsigned, unsigned, char *));
SANSOCK_OLD_LIBC(Service *, svcunixfd_create, (int, unsigned, unsigned));
SANSOCK_OLD_LIBC(void, xdrrec_create, (void *, unsigned, unsigned, void *, int (*)(char *, char *, int), int (*)(char *, char *, int)));
SANSOCK_OLD_LIBC(int, xdrrec_endofrecord, (void *, int));
SANSOCK_OLD_LIBC(int, xdrrec_eof, (void *));
SANSOCK_OLD_LIBC(int, xdrrec_skiprecord, (void *));
SANSOCK_OLD_LIBC(int, xdr_int, (void *, int *));
SANSOCK_OLD_LIBC(int, xdr_void, ());
SANSOCK_OLD_LIBC(void, xprt_register, (Service *));
SANSOCK_OLD_LIBC(void, xprt_unregister, (Service *));
SANSOCK_OLD_LIBC(fd_set *, __rpc_thread_svc_fdset, ());
SANSOCK_OLD_LIBC(pollfd **, __rpc_thread_svc_pollfd, ());
SANSOCK_OLD_LIBC(int *, __rpc_thread_svc_max_pollfd, ());
SANSOCK_OLD_LIBC(int, _rpc_dtablesize, ());
extern "C" fd_set libc_svc_fdset;
__asm__(".symver libc_svc_fdset, svc_fdset@GLIBC_2.2.5");
extern "C" pollfd *libc_svc_pollfd;
__asm__(".symver libc_svc_pollfd, svc_pollfd@GLIBC_2.2.5");
extern "C" int libc_svc_max_pollfd;
__asm__(".symver libc_svc_max_pollfd, svc_max_pollfd@GLIBC_2.2.5");

constexpr Number kProgram = 0x20000099, kVersion = 1;  // of those that users may choose
constexpr int kTimedOut = 5;                           // RPC_TIMEDOUT

Filter nothing() { return reinterpret_cast<Filter>(libc_xdr_void); }

sockaddr_in *nobody() {
    static Address address;
    address = Address::loopback(AF_INET, 1);
    return reinterpret_cast<sockaddr_in *>(address.get());
}

int connection_fd = -1;
int read_record(char *, char *to, int size) { return static_cast<int>(recv(connection_fd, to, static_cast<std::size_t>(size), 0)); }
int write_record(char *, char *from, int size) { return static_cast<int>(send(connection_fd, from, static_cast<std::size_t>(size), 0)); }

}  // namespace

Subject remote_calls() {
    Subject cases{"remote_calls"};
    // Each is asked of a port where nobody is, or is not let have a socket: a real port mapper would keep what it hears.
    cases.add("clients", [](Case &t) {
        const auto c = t.connect();
        int fd = -1;
        t.yes_no("clnttcp_create", libc_clnttcp_create(nobody(), kProgram, kVersion, &fd, 0, 0) != nullptr);
        t.yes_no("clntudp_create", libc_clntudp_create(nobody(), kProgram, kVersion, {1, 0}, &fd) != nullptr);
        fd = -1;
        t.yes_no("clntudp_bufcreate", libc_clntudp_bufcreate(nobody(), kProgram, kVersion, {1, 0}, &fd, 400, 400) != nullptr);
        t.yes_no("clntraw_create", libc_clntraw_create(kProgram, kVersion) != nullptr);
        sockaddr_storage nowhere{.ss_family = AF_UNIX};
        fd = -1;
        t.yes_no("clntunix_create", libc_clntunix_create(&nowhere, kProgram, kVersion, &fd, 0, 0) != nullptr);
        t.yes_no("clnt_create", libc_clnt_create("127.0.0.1", kProgram, kVersion, "no such protocol") != nullptr);
        t.still_works(c);
    });

    cases.add("clients_that_are_given_a_connection", [](Case &t) {
        const auto c = t.connect();
        int fd = c.fd;
        t.yes_no("clnttcp_create", libc_clnttcp_create(nobody(), kProgram, kVersion, &fd, 0, 0) != nullptr);
        t.yes_no("clntudp_bufcreate", libc_clntudp_bufcreate(nobody(), kProgram, kVersion, {1, 0}, &fd, 400, 400) != nullptr);
        t.still_works(c);
    });

    cases.add("port_mapper", [](Case &t) {
        const auto c = t.connect();
        const int kept = dup(STDERR_FILENO);
        close(STDERR_FILENO);  // where they explain themselves
        rlimit before{};
        getrlimit(RLIMIT_NOFILE, &before);
        const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
        setrlimit(RLIMIT_NOFILE, &none);
        sockaddr_in address{};
        Number port = 0;
        t.value("getrpcport", libc_getrpcport("127.0.0.1", kProgram, kVersion, IPPROTO_TCP));
        t.yes_no("pmap_getmaps", libc_pmap_getmaps(nobody()) != nullptr);
        t.value("pmap_getport", libc_pmap_getport(nobody(), kProgram, kVersion, IPPROTO_TCP));
        t.yes_no("pmap_rmtcall",
                 libc_pmap_rmtcall(nobody(), kProgram, kVersion, 0, nothing(), nullptr, nothing(), nullptr, {1, 0}, &port) == 0);
        t.yes_no("callrpc", libc_callrpc("127.0.0.1", kProgram, kVersion, 0, nothing(), nullptr, nothing(), nullptr) == 0);
        t.yes_no("clnt_broadcast", libc_clnt_broadcast(kProgram, kVersion, 0, nothing(), nullptr, nothing(), nullptr, nullptr) == 0);
        t.value("registerrpc", libc_registerrpc(
                                   kProgram, kVersion, 0, [](char *) -> char * { return nullptr; }, nothing(), nothing()));
        setrlimit(RLIMIT_NOFILE, &before);
        must("dup2", dup2(kept, STDERR_FILENO));
        libc_pmap_set(kProgram, kVersion, IPPROTO_TCP, 1);  // whether it is kept goes by whether a port mapper is there
        libc_pmap_unset(kProgram, kVersion);
        libc_svc_unregister(kProgram, kVersion);
        libc_get_myaddress(&address);
        t.value("get_myaddress", address.sin_family);
        t.yes_no("_rpc_dtablesize", libc__rpc_dtablesize() > 0);
        t.still_works(c);
    });

    cases.add("complaints", [](Case &t) {
        const auto c = t.connect();
        const ClientCalls calls{.get_error = [](Client *, RpcError *error) { *error = {.status = kTimedOut}; }};
        Client client{nullptr, &calls, nullptr};
        const int kept = dup(STDERR_FILENO);
        int fd = -1;
        libc_clnttcp_create(nobody(), kProgram, kVersion, &fd, 0, 0);
        must("dup2", dup2(c.fd, STDERR_FILENO));
        libc_clnt_perror(&client, "clnt_perror");
        libc_clnt_perrno(kTimedOut);
        libc_clnt_pcreateerror("clnt_pcreateerror");
        must("dup2", dup2(kept, STDERR_FILENO));
        t.value("send", send(c.fd, "end", 3, 0));
        shutdown(c.fd, SHUT_WR);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("services", [](Case &t) {
        const auto c = t.connect();
        const int listener = listening_socket(AF_INET), datagrams = must("socket", socket(AF_INET, SOCK_DGRAM, 0));
        libc_svc_run();  // of no service
        Service *raw = libc_svcraw_create();
        t.yes_no("svcraw_create", raw != nullptr);
        t.value("svc_register", libc_svc_register(
                                    raw, kProgram, kVersion, [](void *, Service *) {}, 0));
        t.value("svc_sendreply", libc_svc_sendreply(raw, nothing(), nullptr));
        t.yes_no("svctcp_create", libc_svctcp_create(listener, 0, 0) != nullptr);
        Service *udp = libc_svcudp_bufcreate(datagrams, 400, 400);
        t.yes_no("svcudp_bufcreate", udp != nullptr);
        t.value("svcudp_enablecache", libc_svcudp_enablecache(udp, 4));
        t.yes_no("svcudp_create", libc_svcudp_create(datagrams) != nullptr);
        char path[] = "service";
        t.yes_no("svcunix_create", libc_svcunix_create(-1, 0, 0, path) != nullptr);
        libc_svc_getreq(0);
        fd_set none;
        FD_ZERO(&none);
        libc_svc_getreqset(&none);
        libc_svc_getreq_poll(libc_svc_pollfd, 0);
        t.yes_no("svc_fdset", libc___rpc_thread_svc_fdset() == &libc_svc_fdset && FD_ISSET(listener, &libc_svc_fdset));
        t.yes_no("svc_pollfd", libc___rpc_thread_svc_pollfd() == &libc_svc_pollfd && libc_svc_pollfd != nullptr);
        t.yes_no("svc_max_pollfd", libc___rpc_thread_svc_max_pollfd() == &libc_svc_max_pollfd && libc_svc_max_pollfd > 0);
        libc_svc_exit();
        libc_svc_run();
        t.still_works(c);
    });

    // They read and write it by libc's own calls. So here they do nothing but know it.
    cases.add("services_that_are_given_a_connection", [](Case &t) {
        const auto c = t.connect();
        Service *of_tcp = libc_svcfd_create(c.fd, 0, 0);
        t.yes_no("svcfd_create", of_tcp != nullptr);
        t.yes_no("in the set", FD_ISSET(c.fd, &libc_svc_fdset));
        libc_xprt_unregister(of_tcp);
        t.yes_no("in the set", FD_ISSET(c.fd, &libc_svc_fdset));
        libc_xprt_register(of_tcp);
        t.yes_no("in the set", FD_ISSET(c.fd, &libc_svc_fdset));
        libc_xprt_unregister(of_tcp);
        libc_svc_getreq_common(c.fd);  // which nobody serves now
        Service *of_unix = libc_svcunixfd_create(c.fd, 0, 0);
        t.yes_no("svcunixfd_create", of_unix != nullptr);
        libc_xprt_unregister(of_unix);
        libc_svc_exit();
        t.still_works(c);
    });

    cases.add("records", [](Case &t) {
        const auto c = t.connect();
        connection_fd = c.fd;
        struct {
            int direction;
            void *fields[8];
        } xdr{};
        int number = 0x61626364;
        libc_xdrrec_create(&xdr, 64, 64, nullptr, read_record, write_record);
        t.value("xdr_int", libc_xdr_int(&xdr, &number));
        t.value("xdrrec_endofrecord", libc_xdrrec_endofrecord(&xdr, 1));
        t.outcome("peer", c.peer.receive_up_to(8));
        c.peer.send({"\200\0\0\4wxyz", 8});
        xdr.direction = 1;
        t.value("xdrrec_skiprecord", libc_xdrrec_skiprecord(&xdr));
        t.value("xdr_int", libc_xdr_int(&xdr, &number));
        t.yes_no("the number", number == 0x7778797a);
        c.peer.shutdown(SHUT_WR);
        t.value("xdrrec_eof", libc_xdrrec_eof(&xdr));
        t.value("send", send(c.fd, "on", 2, 0));
        t.outcome("peer", c.peer.receive_up_to(2));
    });
    return cases;
}

}  // namespace sansock::parity
