// A server that forks for every connection once it has moved: the child goes on with it, the parent closes its own descriptor.
//
//   hostile_forks ROUNDS   listens on a free port, says "port N", and serves ROUNDS connections, one after the other, by echoing. Every
//                          other child ends without closing. At the end: "holds D T A, held D T A", after the last connection and after
//                          the first (descriptors, threads, arenas)
#include <sys/wait.h>

#include "stream_program.hpp"

namespace sansock::hostile {
namespace {

constexpr size_t kMessage = 64;
constexpr int kMessagesOfParent = 50;

/// False: the other end has closed.
bool echo(int fd) {
    char message[kMessage];
    return recv(fd, message, sizeof message, MSG_WAITALL) == kMessage && send(fd, message, sizeof message, MSG_NOSIGNAL) == kMessage;
}

void serve(int fd, bool closes) {
    for (int i = 0; i < kMessagesOfParent; ++i) {
        echo(fd);
        usleep(2000);  // the two processes have time to meet
    }
    if (fork() == 0) {
        while (echo(fd)) {
        }
        if (closes) close(fd);
        _exit(0);
    }
    close(fd);
    wait(nullptr);
}

/// What it holds once nothing changes any more; nobody says when that is.
Held settled(const Held &wanted) {
    for (int tries = 0; tries < 40; ++tries) {
        if (const Held now; now.arenas <= wanted.arenas && now.descriptors <= wanted.descriptors) return now;
        usleep(100'000);
    }
    return {};
}

}  // namespace
}  // namespace sansock::hostile

int main(int count, char **arguments) {
    using namespace sansock::hostile;
    setvbuf(stdout, nullptr, _IOLBF, 0);
    const int rounds = count == 2 ? atoi(arguments[1]) : 0;
    const int listener = rounds > 0 ? listen_anywhere() : -1;
    if (listener < 0) {
        fprintf(stderr, "usage: hostile_forks ROUNDS\n");
        return 2;
    }
    serve(accept(listener, nullptr, nullptr), true);
    usleep(1'500'000);  // the helper has looked for what the child has left
    const Held before;
    for (int round = 1; round < rounds; ++round) serve(accept(listener, nullptr, nullptr), round % 2 == 0);
    printf("holds %s, held %s\n", settled(before).text().c_str(), before.text().c_str());
    return 0;
}
