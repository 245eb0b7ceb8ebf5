#include "socket/attendance.hpp"

#include <sys/epoll.h>

#include <utility>

#include "socket/courier.hpp"

namespace sansock::socket {

void Attendance::open(int helper, int queue, uint64_t name) {
    stream::Guard guard(lock_);
    helper_ = helper;
    queue_ = queue;
    name_ = name;
    attended_.store(false, std::memory_order_release);
    epoll_event event{EPOLLIN | EPOLLET, {.u64 = name_}};
    raw_syscall(SYS_epoll_ctl, helper_, EPOLL_CTL_ADD, queue_, &event);
}

bool Attendance::close() {
    stream::Guard guard(lock_);
    queue_ = -1;
    ++term_;
    attended_.store(false, std::memory_order_release);
    return std::exchange(listeners_, 0) != 0;
}

void Attendance::helper_listens(bool on) {
    epoll_event event{on ? EPOLLIN | EPOLLET : 0u, {.u64 = name_}};
    raw_syscall(SYS_epoll_ctl, helper_, EPOLL_CTL_MOD, queue_, &event);
    attended_.store(!on);
}

bool Attendance::attend() {
    waits_.fetch_add(1, std::memory_order_relaxed);
    if (attended()) return true;
    stream::Guard guard(lock_);
    if (queue_ < 0) return false;
    if (!attended()) helper_listens(false);
    return true;
}

bool Attendance::leave() {
    if (!attended()) return false;
    stream::Guard guard(lock_);
    if (!attended()) return false;
    helper_listens(true);
    return true;
}

bool Attendance::leave_if_unattended() {
    if (!attended()) return false;
    const uint32_t waits = waits_.load(std::memory_order_relaxed);
    return std::exchange(waits_seen_, waits) == waits && leave();
}

Listening::Listening(Undo *outer, Connection &connection) : Undo(outer) {
    Courier *courier = connection.courier.load(std::memory_order_acquire);
    if (courier == nullptr || !courier->attendance.attended()) return;
    Attendance &attendance = courier->attendance;
    stream::Guard guard(attendance.lock_);
    // One that was retired meanwhile may be another connection's by now.
    if (attendance.queue_ < 0 || connection.courier.load(std::memory_order_acquire) != courier) return;
    courier_ = courier;
    term_ = attendance.term_;
    ++attendance.listeners_;
}

int Listening::fd() {
    if (courier_ == nullptr || courier_->carrier.stopped() || courier_->carrier.failed()) return -1;
    stream::Guard guard(courier_->attendance.lock_);
    return courier_->attendance.term_ == term_ ? courier_->attendance.queue_ : -1;
}

void Listening::undo() {
    if (courier_ == nullptr) return;
    stream::Guard guard(courier_->attendance.lock_);
    if (courier_->attendance.term_ == term_) --courier_->attendance.listeners_;
}

}  // namespace sansock::socket
