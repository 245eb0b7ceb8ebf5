// A server that forks for every connection once it has moved: the child goes on with it, the parent closes its own descriptor.
//
//   hostile_forks ROUNDS   listens on a free port, says "port N", and serves ROUNDS connections, one after the other, by echoing. Every
//                          other child ends without closing. At the end it says what it holds after the last connection, and held
//                          after the first
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
    const Holding before = held();
    for (int round = 1; round < rounds; ++round) serve(accept(listener, nullptr, nullptr), round % 2 == 0);
    puts(holding_line(settled(before), before).c_str());
    return 0;
}
