// Two processes greet each other until their stream is on a provider, and tell its name.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <sansock/stream.hpp>

int main() {
    auto listener = sansock::Listener::open("127.0.0.1", 0);
    if (!listener) return 1;
    const pid_t child = fork();
    if (child == 0) {
        auto stream = sansock::Stream::connect("127.0.0.1", listener->port());
        std::byte byte{};
        while (stream && stream->write(std::span(&byte, 1)) && stream->read(std::span(&byte, 1)).value_or(0) == 1) {
        }
        _exit(0);
    }
    auto stream = listener->accept();
    for (int i = 0; stream && i < 100'000 && stream->statistics().sent.provider == 0; ++i) {
        std::byte byte;
        if (stream->read(std::span(&byte, 1)).value_or(0) != 1 || !stream->write(std::span(&byte, 1))) return 1;
    }
    if (stream) std::puts(stream->statistics().path.c_str());
    stream->close();
    return waitpid(child, nullptr, 0) == child ? 0 : 1;
}
