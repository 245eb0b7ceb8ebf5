// The worker's side of a measurement in plain POSIX: it is what runs unmodified under sansock. Failures end the process
// with a sentence on stderr.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace bench {

/// What a connection begins with: how the server shall serve it. As long as the smallest message that is measured.
struct Hello {
    enum class Mode : std::uint32_t {
        kEcho = 1,     ///< A thread of its own sends every `size` bytes back.
        kSink,         ///< A thread reads to the end, then tells how much it was.
        kEchoInLoop,   ///< The server's event loop sends back what comes.
        kOnce,         ///< The event loop sends the hello back and closes.
        kCountedEcho,  ///< As kEcho, counting system calls from round `first_counted` on; then tells what it has
                       ///< counted.
        kFigures,      ///< The event loop answers each byte with the server's Figures.
    };
    std::uint32_t magic = kMagic;
    Mode mode = Mode::kEcho;
    std::uint32_t size = 0;
    std::uint32_t first_counted = 0;
    std::uint32_t counted = 0;
    std::uint32_t unused[11] = {};

    static constexpr std::uint32_t kMagic = 0x31426e73;  // "snB1"
};
static_assert(sizeof(Hello) == 64);

[[noreturn]] void fail(const std::string &what);
/// Ends the process with what errno says.
[[noreturn]] void fail_errno(const std::string &what);

/// `address` is "tcp:PORT" on 127.0.0.1 (0: the kernel chooses) or "unix:NAME" (abstract).
int listen_on(const std::string &address);
/// What connect_to() takes for this listener.
std::string address_of(int listener, const std::string &asked);
int connect_to(const std::string &address);
/// Connects and says hello.
int open_connection(const std::string &address, Hello::Mode mode, std::size_t size);

void send_all(int fd, std::span<const std::byte> bytes);
/// False when the stream ended first.
bool receive_all(int fd, std::span<std::byte> bytes);

template <class T>
std::span<std::byte> bytes_of(T &value) {
    return std::as_writable_bytes(std::span(&value, 1));
}

}  // namespace bench
