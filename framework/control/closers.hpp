// Closes descriptors that others have sent. A close may take its time: of a file system in user space for ever, of a socket that lingers as
// long as whoever sent it likes.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <list>
#include <mutex>

#include "base/unique_fd.hpp"

namespace sansock::control {

/// Lives as long as the daemon: what hangs in a close cannot be ended.
class Closers {
public:
    static Closers &instance();

    /// What a user has sent; at once, but by another thread.
    void close(UniqueFd fd, uid_t user);
    /// While many closes of what a user has sent hang, nothing more that this user sends is taken.
    [[nodiscard]] bool may_take(uid_t user);

private:
    using Clock = std::chrono::steady_clock;
    static constexpr size_t kThreadsMax = 64, kHangingOfUserMax = 16, kIdleMax = 2, kPendingMax = 1024;
    static constexpr auto kHangsAfter = std::chrono::milliseconds(100);

    void add_thread();
    void work();

    struct Closing {
        UniqueFd fd;
        uid_t user;
        Clock::time_point begun;
    };
    std::mutex mutex_;
    std::condition_variable come_, gone_;
    std::deque<Closing> pending_;
    std::list<Closing> closing_;
    size_t threads_ = 0, idle_ = 0;
};

}  // namespace sansock::control
