// The native API, each end in a process of its own: a child is forked per test, which also shows that a child may open
// streams whatever its parent has open.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <iostream>
#include <numeric>
#include <thread>
#include <vector>

#include "sansock/poller.hpp"
#include "sansock/stream.hpp"

namespace {

using namespace std::chrono_literals;
using sansock::Listener;
using sansock::Stream;

sansock::Deadline in(std::chrono::nanoseconds time) { return std::chrono::steady_clock::now() + time; }
/// No test waits longer: what takes more is a failure.
sansock::Deadline watchdog() { return in(30s); }

std::span<const std::byte> bytes_of(const std::string &text) { return std::as_bytes(std::span(text)); }

std::vector<std::byte> pattern(std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((i * 7 + i / 251) & 0xff);
    return bytes;
}

/// Fewer bytes than asked for mean the end of the stream.
std::vector<std::byte> read_up_to(Stream &stream, std::size_t size) {
    std::vector<std::byte> bytes(size);
    std::size_t done = 0;
    while (done < size) {
        const auto got = stream.read(std::span(bytes).subspan(done), watchdog());
        if (!got) ADD_FAILURE() << got.error().message();
        if (!got || *got == 0) break;
        done += *got;
    }
    bytes.resize(done);
    return bytes;
}

/// Round trips of one byte until both ends are on a provider; the peer answers with the same. False: it did not get
/// there.
bool play_until_upgraded(Stream &stream, bool serves) {
    std::byte byte{1};
    for (int i = 0; i < 200'000; ++i) {
        const bool done = stream.statistics().sent.provider > 0 && stream.statistics().received.provider > 0;
        if (!serves) {
            byte = std::byte{done ? std::uint8_t{2} : std::uint8_t{1}};
            if (!stream.write(std::span(&byte, 1), watchdog())) return false;
        }
        if (const auto got = stream.read(std::span(&byte, 1), watchdog()); !got || *got != 1) return false;
        if (serves && !stream.write(std::span(&byte, 1), watchdog())) return false;
        if (byte == std::byte{2}) return true;
    }
    ADD_FAILURE() << "it stayed on TCP: " << stream.statistics().reason;
    return false;
}

class Native : public testing::Test {
protected:
    /// Runs `server` with an accepted stream in a child and answers the client's end. The child's status is checked at
    /// the end.
    Stream connect_to_child(const std::function<bool(Stream &)> &server) {
        auto listener = Listener::open("127.0.0.1", 0);
        EXPECT_TRUE(listener) << listener.error().message();
        child_ = fork();
        if (child_ == 0) {
            auto accepted = listener->accept(watchdog());
            const bool well = accepted && server(*accepted);
            if (accepted) accepted->close();
            _exit(well && !testing::Test::HasFailure() ? 0 : 1);
        }
        auto stream = Stream::connect("127.0.0.1", listener->port(), watchdog());
        EXPECT_TRUE(stream) << stream.error().message();
        return *std::move(stream);
    }

    void TearDown() override {
        if (child_ <= 0) return;
        int status = 0;
        ASSERT_EQ(waitpid(child_, &status, 0), child_);
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the other process failed, status " << status;
    }

    pid_t child_ = -1;
};

TEST_F(Native, MovesOntoTheProviderAndSaysSo) {
    Stream sut = connect_to_child([](Stream &peer) { return play_until_upgraded(peer, true); });
    EXPECT_EQ(sut.statistics().reason, "not-yet");
    ASSERT_TRUE(play_until_upgraded(sut, false));
    const sansock::Statistics is = sut.statistics();
    EXPECT_TRUE(is.on_provider);
    EXPECT_EQ(is.path, "simulated");
    EXPECT_EQ(is.guid.size(), 36u) << is.guid;
    EXPECT_EQ(is.reason, "");
    EXPECT_EQ(is.sent.tcp + is.sent.provider, is.received.tcp + is.received.provider);
    EXPECT_EQ(is.upgrades, 1u);
}

TEST_F(Native, CarriesEveryByteOfBothDirectionsToTheEnd) {
    constexpr std::size_t kSize = 32 << 20;
    const auto exchange = [](Stream &stream) {
        const auto sent = pattern(kSize);
        std::thread writer([&] {
            const auto written = stream.write(sent, watchdog());
            EXPECT_TRUE(written && *written == kSize);
            EXPECT_TRUE(stream.shutdown_write());
        });
        const auto received = read_up_to(stream, kSize);
        std::byte more;
        const auto end = stream.read(std::span(&more, 1), watchdog());
        writer.join();
        return received == sent && end && *end == 0;
    };
    Stream sut = connect_to_child([&](Stream &peer) { return play_until_upgraded(peer, true) && exchange(peer); });
    ASSERT_TRUE(play_until_upgraded(sut, false));
    EXPECT_TRUE(exchange(sut));
    EXPECT_GT(sut.statistics().received.provider, kSize);
}

TEST_F(Native, GivesUpAtTheDeadlineOnEitherPath) {
    Stream sut = connect_to_child([](Stream &peer) {
        if (!play_until_upgraded(peer, true)) return false;
        std::byte byte;
        while (true) {
            const auto got = peer.read(std::span(&byte, 1), watchdog());
            if (!got) return false;
            if (*got == 0) return true;
        }
    });
    std::byte byte;
    EXPECT_EQ(sut.read(std::span(&byte, 1), in(5ms)).error(), std::errc::timed_out);
    ASSERT_TRUE(play_until_upgraded(sut, false));
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(sut.read(std::span(&byte, 1), in(20ms)).error(), std::errc::timed_out);
    EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
    EXPECT_EQ(sut.try_read(std::span(&byte, 1)).error(), std::errc::operation_would_block);
    EXPECT_EQ(sut.wait(POLLIN, in(5ms)).error(), std::errc::timed_out);
    EXPECT_EQ(sut.wait(POLLIN | POLLOUT, in(5ms)).value(), POLLOUT);
}

TEST_F(Native, AFullWindowLetsWriteAnswerWhatWasTaken) {
    int gate[2];
    ASSERT_EQ(pipe(gate), 0);
    Stream sut = connect_to_child([&](Stream &peer) {
        char go;
        if (!play_until_upgraded(peer, true) || read(gate[0], &go, 1) != 1) return false;
        return read_up_to(peer, 256 << 20).size() > 64 * 1024;
    });
    ASSERT_TRUE(play_until_upgraded(sut, false));
    const std::vector<std::byte> block(64 << 20);
    const auto taken = sut.write(block, in(50ms));
    ASSERT_TRUE(taken) << taken.error().message();
    EXPECT_GT(*taken, 64u * 1024);
    EXPECT_LT(*taken, block.size());
    EXPECT_EQ(sut.write(block, in(5ms)).error(), std::errc::timed_out);
    ASSERT_EQ(write(gate[1], "g", 1), 1);
    EXPECT_TRUE(sut.shutdown_write());
    close(gate[0]);
    close(gate[1]);
}

TEST_F(Native, AnotherThreadWakesAReader) {
    Stream sut = connect_to_child([](Stream &peer) {
        std::byte byte;
        return play_until_upgraded(peer, true) && peer.read(std::span(&byte, 1), watchdog()).value_or(1) == 0;
    });
    ASSERT_TRUE(play_until_upgraded(sut, false));
    sansock::Expected<std::size_t> got = 1;
    std::thread reader([&] {
        std::byte byte;
        got = sut.read(std::span(&byte, 1), watchdog());
    });
    EXPECT_TRUE(sut.shutdown());
    reader.join();
    EXPECT_EQ(got.value_or(1), 0u);
}

TEST_F(Native, TheEndOfAPeerThatDiedIsAnEndOrAReset) {
    Stream sut = connect_to_child([](Stream &peer) {
        if (!play_until_upgraded(peer, true)) return false;
        if (!peer.write(bytes_of("last words"), watchdog())) return false;
        _exit(0);
    });
    ASSERT_TRUE(play_until_upgraded(sut, false));
    const auto words = read_up_to(sut, 10);
    EXPECT_EQ(std::memcmp(words.data(), "last words", std::min<std::size_t>(words.size(), 10)), 0);
    EXPECT_EQ(words.size(), 10u);
    std::byte byte;
    EXPECT_EQ(sut.read(std::span(&byte, 1), watchdog()).value_or(1), 0u);
    std::error_code error;
    for (int i = 0; i < 1000 && !error; ++i) {
        if (const auto sent = sut.write(std::span(&byte, 1), watchdog()); !sent) error = sent.error();
    }
    EXPECT_TRUE(error == std::errc::broken_pipe || error == std::errc::connection_reset) << error.message();
}

TEST_F(Native, AChildHasNoPartInItsParentsStreams) {
    Stream sut = connect_to_child([](Stream &peer) { return play_until_upgraded(peer, true) && play_until_upgraded(peer, true); });
    ASSERT_TRUE(play_until_upgraded(sut, false));
    const pid_t bystander = fork();
    if (bystander == 0) {
        std::byte byte;
        const bool refused = sut.read(std::span(&byte, 1)).error() == std::errc::not_connected &&
                             sut.write(std::span(&byte, 1)).error() == std::errc::not_connected;
        sut.close();
        exit(refused ? 0 : 1);  // with destructors: they must not end the parent's stream either
    }
    int status = 1;
    ASSERT_EQ(waitpid(bystander, &status, 0), bystander);
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(play_until_upgraded(sut, false));
}

TEST_F(Native, AChildsPollerEndsBesideItsParentsStreams) {
    Stream stream = connect_to_child([](Stream &peer) { return play_until_upgraded(peer, true); });
    auto parents = sansock::Poller::open();
    ASSERT_TRUE(parents && parents->add(stream.descriptor(), {EPOLLIN, {}}));
    ASSERT_TRUE(play_until_upgraded(stream, false));
    const pid_t bystander = fork();
    if (bystander == 0) {
        auto listener = Listener::open("127.0.0.1", 0);
        auto own = Stream::connect("127.0.0.1", listener->port(), watchdog());
        {
            auto poller = sansock::Poller::open();
            if (!own || !poller || !poller->add(own->descriptor(), {EPOLLIN, {}})) _exit(1);
        }
        _exit(0);
    }
    int status = 1;
    ASSERT_EQ(waitpid(bystander, &status, 0), bystander);
    EXPECT_EQ(status, 0);
}

TEST_F(Native, AMovedFromStreamIsNotConnected) {
    Stream first = connect_to_child([](Stream &peer) { return read_up_to(peer, 2).size() == 2; });
    Stream sut = std::move(first);
    EXPECT_EQ(first.descriptor(), -1);
    EXPECT_EQ(first.write(bytes_of("x")).error(), std::errc::not_connected);
    EXPECT_EQ(sut.write(bytes_of("ab"), watchdog()).value_or(0), 2u);
}

// A thread that ends leaves its wake object to the next one, and a reader that keeps up goes to sleep after every few messages: if a wake
// goes to the wrong object, or is saved because one was sent already, then the writer fills its window and both wait for ever.
TEST_F(Native, ReadersInThreadsThatComeAndGoAreAllWoken) {
    auto listener = Listener::open("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    constexpr int kStreams = 60;
    constexpr std::size_t kSize = 4 << 20;
    const std::size_t writes[] = {512, 4096, 65536};
    child_ = fork();
    if (child_ == 0) {
        bool well = true;
        for (int i = 0; i < kStreams && well; ++i) {
            auto stream = listener->accept(watchdog());
            std::thread([&] {
                std::vector<std::byte> buffer(1 << 20);
                std::size_t total = 0;
                while (well) {
                    const auto got = stream->read(buffer, watchdog());
                    well = got.has_value();
                    if (!got || *got == 0) break;
                    total += *got;
                }
                well &= total == kSize && stream->write(std::span(buffer).first(1), watchdog());
            }).join();
        }
        _exit(well ? 0 : 1);
    }
    for (int i = 0; i < kStreams; ++i) {
        auto sut = Stream::connect("127.0.0.1", listener->port(), watchdog());
        ASSERT_TRUE(sut);
        const std::vector<std::byte> message(writes[i % 3]);
        for (std::size_t sent = 0; sent < kSize; sent += message.size()) {
            const auto written = sut->write(message, watchdog());
            ASSERT_TRUE(written) << written.error().message();
            ASSERT_EQ(*written, message.size()) << "stream " << i << " stalled after " << sent << " bytes";
        }
        ASSERT_TRUE(sut->shutdown_write());
        std::byte byte;
        ASSERT_EQ(sut->read(std::span(&byte, 1), watchdog()).value_or(0), 1u);
    }
}

// All of them become candidates within a few milliseconds, which is more than the channel between the two processes holds at once.
TEST_F(Native, HundredsOfStreamsThatStartAtOnceAllMove) {
    auto listener = Listener::open("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    constexpr std::size_t kStreams = 500;
    child_ = fork();
    if (child_ == 0) {
        std::vector<Stream> streams;
        while (streams.size() < kStreams) streams.push_back(*listener->accept(watchdog()));
        std::byte byte{1};
        while (byte == std::byte{1}) {
            for (Stream &stream : streams) {
                if (stream.read(std::span(&byte, 1), watchdog()).value_or(0) != 1) {
                    for (const Stream &each : streams) {
                        if (each.statistics().sent.provider == 0)
                            std::cerr << "the server's end stays on TCP: " << each.statistics().reason << '\n';
                    }
                    _exit(1);
                }
                if (!stream.write(std::span(&byte, 1), watchdog())) _exit(1);
            }
        }
        streams.clear();
        _exit(0);
    }
    std::vector<Stream> streams;
    while (streams.size() < kStreams) streams.push_back(*Stream::connect("127.0.0.1", listener->port(), watchdog()));
    std::size_t moved = 0;
    std::byte byte{1};
    for (int round = 0; round < 3000 && byte == std::byte{1}; ++round) {
        if (moved == kStreams) byte = std::byte{2};
        for (Stream &stream : streams) ASSERT_TRUE(stream.write(std::span(&byte, 1), watchdog()));
        std::byte back{};
        for (Stream &stream : streams) ASSERT_EQ(stream.read(std::span(&back, 1), watchdog()).value_or(0), 1u);
        moved = 0;
        for (Stream &stream : streams) moved += stream.statistics().sent.provider > 0;
    }
    EXPECT_EQ(moved, kStreams);
    for (Stream &stream : streams) {
        if (stream.statistics().sent.provider == 0) FAIL() << "the first that stayed on TCP: " << stream.statistics().reason;
    }
}

TEST_F(Native, APollerWatchesStreamsAndListenersAlike) {
    auto listener = Listener::open("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    constexpr int kStreams = 8, kRounds = 2000;
    child_ = fork();
    if (child_ == 0) {
        bool well = true;
        std::vector<Stream> streams;
        for (int i = 0; i < kStreams; ++i) streams.push_back(*Stream::connect("127.0.0.1", listener->port(), watchdog()));
        // On a busy machine all of the rounds may pass before the last stream has moved.
        const auto all_moved = [&] {
            return std::ranges::all_of(streams, [](const Stream &stream) { return stream.statistics().sent.provider > 0; });
        };
        const auto patience = std::chrono::steady_clock::now() + 20s;
        for (int round = 0; well && (round < kRounds || (!all_moved() && std::chrono::steady_clock::now() < patience)); ++round) {
            Stream &stream = streams[static_cast<std::size_t>(round % kStreams)];
            std::byte byte{static_cast<std::uint8_t>(round)}, back{};
            well = stream.write(std::span(&byte, 1), watchdog()) && stream.read(std::span(&back, 1), watchdog()) && back == byte;
        }
        well &= all_moved();
        streams.clear();
        _exit(well ? 0 : 1);
    }
    auto sut = sansock::Poller::open();
    ASSERT_TRUE(sut);
    ASSERT_TRUE(sut->add(listener->descriptor(), {EPOLLIN, {.fd = listener->descriptor()}}));
    EXPECT_EQ(sut->add(listener->descriptor(), {EPOLLIN, {}}).error(), std::errc::file_exists);
    std::vector<Stream> streams(1024);
    int open = 0, ended = 0;
    while (ended < kStreams) {
        epoll_event events[4];
        const auto count = sut->wait(events, watchdog());
        ASSERT_TRUE(count && *count > 0);
        for (const epoll_event &event : std::span(events).first(*count)) {
            if (event.data.fd == listener->descriptor()) {
                auto accepted = listener->try_accept();
                ASSERT_TRUE(accepted);
                const int fd = accepted->descriptor();
                ASSERT_TRUE(sut->add(fd, {EPOLLIN, {.fd = fd}}));
                streams.at(static_cast<std::size_t>(fd)) = *std::move(accepted);
                ++open;
                continue;
            }
            Stream &stream = streams.at(static_cast<std::size_t>(event.data.fd));
            std::byte buffer[16];
            const auto got = stream.try_read(buffer);
            if (!got && got.error() == std::errc::operation_would_block) continue;
            ASSERT_TRUE(got) << got.error().message();
            if (*got == 0) {
                ASSERT_TRUE(sut->remove(event.data.fd));
                stream.close();
                ++ended;
            } else {
                ASSERT_EQ(stream.try_write(std::span(buffer).first(*got)).value_or(0), *got);
            }
        }
    }
    EXPECT_EQ(open, kStreams);
    epoll_event none[1];
    EXPECT_EQ(sut->wait(none, in(5ms)).value_or(9), 0u);
}

TEST(NativeOpening, SaysWhatFailed) {
    auto listener = Listener::open("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    const std::uint16_t port = listener->port();
    EXPECT_EQ(Listener::open("127.0.0.1", port).error(), std::errc::address_in_use);
    EXPECT_EQ(listener->try_accept().error(), std::errc::operation_would_block);
    EXPECT_EQ(listener->accept(in(5ms)).error(), std::errc::timed_out);
    *listener = Listener();
    EXPECT_EQ(Stream::connect("127.0.0.1", port, watchdog()).error(), std::errc::connection_refused);
    const auto unknown = Stream::connect("no.such.host.invalid", port);
    ASSERT_FALSE(unknown);
    EXPECT_STREQ(unknown.error().category().name(), "getaddrinfo");
    EXPECT_FALSE(unknown.error().message().empty());
    EXPECT_EQ(Stream().statistics().path, "");
}

}  // namespace
