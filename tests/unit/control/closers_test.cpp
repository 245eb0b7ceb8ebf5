#include "control/closers.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace sansock::control {
namespace {

/// A socket whose last close lasts for as long as `far` is there and reads nothing.
UniqueFd lingering(UniqueFd &far) {
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in name{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof name;
    EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr *>(&name), size), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    getsockname(listener.get(), reinterpret_cast<sockaddr *>(&name), &size);
    UniqueFd near(::socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(::connect(near.get(), reinterpret_cast<sockaddr *>(&name), size), 0);
    far = UniqueFd(accept(listener.get(), nullptr, nullptr));
    const std::vector<char> bytes(65536);
    while (send(near.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
    }
    const linger long_one{1, 1000};
    EXPECT_EQ(setsockopt(near.get(), SOL_SOCKET, SO_LINGER, &long_one, sizeof long_one), 0);
    return near;
}

bool ends(int fd) {
    for (int i = 0; i < 20'000; ++i) {
        char byte;
        if (recv(fd, &byte, 1, MSG_DONTWAIT) == 0) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
}

TEST(Closers, CloseWhatOthersHangIn) {
    constexpr uid_t kHostile = 4711, kOther = 4712;
    auto *const forever = new Closers;  // its threads do not end
    std::vector<UniqueFd> far(16);
    for (UniqueFd &end : far) forever->close(lingering(end), kHostile);
    for (int i = 0; forever->may_take(kHostile); ++i) {
        ASSERT_LT(i, 20'000) << "the hostile user's closes hang";
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_TRUE(forever->may_take(kOther));
    for (int i = 0; i < 2000; ++i) {
        int pair[2];
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        const UniqueFd mine(pair[0]);
        forever->close(UniqueFd(pair[1]), kOther);
        ASSERT_TRUE(ends(mine.get())) << i;
    }
    far.clear();  // resets them, and their closes end
    for (int i = 0; !forever->may_take(kHostile); ++i) {
        ASSERT_LT(i, 20'000);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

}  // namespace
}  // namespace sansock::control
