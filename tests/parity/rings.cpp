#include <liburing.h>
#include <sys/syscall.h>

#include "libc_names.hpp"
#include "subjects.hpp"

namespace sansock::parity {
namespace {

SANSOCK_LIBC(int, io_uring_setup, (unsigned, io_uring_params *));

/// One request through the ring, waited for.
int through(io_uring &ring, void (*prepare)(io_uring_sqe *, int, const void *, unsigned, uint64_t), int fd, const void *bytes,
            unsigned size) {
    prepare(io_uring_get_sqe(&ring), fd, bytes, size, 0);
    io_uring_submit(&ring);
    io_uring_cqe *done = nullptr;
    const int rc = io_uring_wait_cqe(&ring, &done);
    if (rc < 0) return rc;
    const int result = done->res;
    io_uring_cqe_seen(&ring, done);
    return result;
}

void prepare_read(io_uring_sqe *entry, int fd, const void *bytes, unsigned size, uint64_t) {
    io_uring_prep_recv(entry, fd, const_cast<void *>(bytes), size, 0);
}

void prepare_write(io_uring_sqe *entry, int fd, const void *bytes, unsigned size, uint64_t) {
    io_uring_prep_send(entry, fd, bytes, size, 0);
}

/// Both ways, through the ring and beside it.
void use(Case &t, io_uring &ring, const Connection &c) {
    char buffer[8];
    t.value("send through the ring", through(ring, prepare_write, c.fd, "ring", 4));
    t.outcome("peer", c.peer.recv(8));
    c.peer.send("back");
    t.data("recv through the ring", through(ring, prepare_read, c.fd, buffer, sizeof buffer), buffer);
    t.value("send", send(c.fd, "beside", 6, 0));
    t.outcome("peer", c.peer.recv(8));
    c.peer.send("again");
    t.await_unread(c.fd, 5);
    t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
}

}  // namespace

// io_uring: the kernel reads and writes where no function is called.
Subject rings() {
    Subject cases{"rings"};
    cases.add("set_up_beside_connections", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("early");
        t.await_unread(c.fd, 5);
        io_uring ring;
        t.value("io_uring_queue_init", io_uring_queue_init(4, &ring, 0));
        char buffer[8];
        t.data("what came before", through(ring, prepare_read, c.fd, buffer, sizeof buffer), buffer);
        use(t, ring, c);
    });

    cases.add("set_up_before_connections", [](Case &t) {
        io_uring ring;
        io_uring_params parameters{};
        t.value("io_uring_queue_init_params", io_uring_queue_init_params(4, &ring, &parameters));
        const auto c = t.connect_cold();
        t.warm_wherever(c);
        use(t, ring, c);
    });

    cases.add("set_up_by_hand", [](Case &t) {
        const auto c = t.connect();
        io_uring_params parameters{};
        t.yes_no("io_uring_setup", libc_io_uring_setup(4, &parameters) >= 0);
        t.still_works(c);
    });

    cases.add("set_up_by_number", [](Case &t) {
        const auto c = t.connect();
        io_uring_params parameters{};
        t.yes_no("a ring", syscall(SYS_io_uring_setup, 4, &parameters) >= 0);
        t.value("send", send(c.fd, "on", 2, 0));
        t.outcome("peer", c.peer.recv(8));
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
    });
    return cases;
}

}  // namespace sansock::parity
