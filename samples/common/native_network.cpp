// The samples' network on sansock's own API: no preload library is needed, and the other end may be anything.
#include <poll.h>

#include <system_error>
#include <utility>

#include "common/network.hpp"
#include "sansock/stream.hpp"

namespace samples {
namespace {

/// The value, or the error as an exception that says what failed.
template <class T>
T value_of(sansock::Expected<T> result, const std::string &what) {
    if (!result) throw std::system_error(result.error(), what);
    return *std::move(result);
}

std::optional<std::size_t> size_or_nothing(const sansock::Expected<std::size_t> &result, const char *what) {
    if (!result && result.error() == std::errc::operation_would_block) return std::nullopt;
    return value_of(result, what);
}

std::string name_of(const std::string &host, std::uint16_t port) { return host + " port " + std::to_string(port); }

class NativeConnection final : public Connection {
public:
    explicit NativeConnection(sansock::Stream stream) : stream_(std::move(stream)) {}

    void send_all(std::span<const std::byte> bytes) override {
        while (!bytes.empty()) bytes = bytes.subspan(value_of(stream_.write(bytes), "send"));
    }
    std::size_t receive(std::span<std::byte> bytes) override { return value_of(stream_.read(bytes), "receive"); }

    std::optional<std::size_t> try_send(std::span<const std::byte> bytes) override {
        return size_or_nothing(stream_.try_write(bytes), "send");
    }
    std::optional<std::size_t> try_receive(std::span<std::byte> bytes) override {
        return size_or_nothing(stream_.try_read(bytes), "receive");
    }

    Ready wait(bool or_send) override {
        const auto events = value_of(stream_.wait(static_cast<short>(or_send ? POLLIN | POLLOUT : POLLIN)), "wait");
        return {(events & POLLOUT) != 0, (events & ~POLLOUT) != 0};
    }

    void stop() override { static_cast<void>(stream_.shutdown()); }  // It fails only where the stream has ended.

private:
    sansock::Stream stream_;
};

class NativeListener final : public Listener {
public:
    explicit NativeListener(sansock::Listener listener) : listener_(std::move(listener)) {}

    std::unique_ptr<Connection> accept() override {
        auto stream = listener_.try_accept();
        if (!stream && stream.error() == std::errc::operation_would_block) return nullptr;
        return std::make_unique<NativeConnection>(value_of(std::move(stream), "accept"));
    }
    [[nodiscard]] std::uint16_t port() const override { return listener_.port(); }
    [[nodiscard]] int descriptor() const override { return listener_.descriptor(); }

private:
    sansock::Listener listener_;
};

}  // namespace

std::unique_ptr<Connection> connect_to(const std::string &host, std::uint16_t port) {
    return std::make_unique<NativeConnection>(value_of(sansock::Stream::connect(host, port), "connect to " + name_of(host, port)));
}

std::unique_ptr<Listener> listen_on(const std::string &host, std::uint16_t port) {
    return std::make_unique<NativeListener>(value_of(sansock::Listener::open(host, port), "listen on " + name_of(host, port)));
}

}  // namespace samples
