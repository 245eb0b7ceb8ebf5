#include "control/closers.hpp"

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>

namespace sansock::control {

Closers &Closers::instance() {
    static auto *const closers = new Closers;  // never taken apart: threads may hang in it
    return *closers;
}

bool Closers::may_take(uid_t user) {
    const std::scoped_lock lock(mutex_);
    if (closing_.size() < kHangingOfUserMax) return true;
    const auto before = Clock::now() - kHangsAfter;
    const auto hangs = [&](const Closing &one) { return one.begun < before; };
    const auto is_users = [&](const Closing &one) { return hangs(one) && one.user == user; };
    return std::ranges::count_if(closing_, hangs) < static_cast<ptrdiff_t>(kThreadsMax) &&
           std::ranges::count_if(closing_, is_users) < static_cast<ptrdiff_t>(kHangingOfUserMax);
}

void Closers::close(UniqueFd fd, uid_t user) {
    if (!fd) return;
    std::unique_lock lock(mutex_);
    pending_.push_back({std::move(fd), user, {}});
    if (threads_ == 0) add_thread();
    come_.notify_one();
    if (pending_.size() > kPendingMax) gone_.wait_for(lock, kHangsAfter, [this] { return pending_.size() <= kPendingMax; });
}

void Closers::add_thread() {
    try {
        std::thread([this] { work(); }).detach();
        ++threads_;
    } catch (const std::system_error &) {
        // those that there are will come to it
    }
}

/// Of all threads one is left that waits, as long as there may be more: it is there when the others hang.
void Closers::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        if (pending_.empty() && idle_ >= kIdleMax) break;
        ++idle_;
        come_.wait(lock, [this] { return !pending_.empty(); });
        --idle_;
        closing_.push_back(std::move(pending_.front()));
        pending_.pop_front();
        const auto mine = std::prev(closing_.end());
        mine->begun = Clock::now();
        if (idle_ == 0 && threads_ < kThreadsMax) add_thread();
        gone_.notify_one();
        lock.unlock();
        mine->fd.reset();
        lock.lock();
        closing_.erase(mine);
    }
    --threads_;
}

}  // namespace sansock::control
