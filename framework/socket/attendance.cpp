#include "socket/attendance.hpp"

#include <sys/epoll.h>

#include "socket/courier.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {

void Attendance::open(int helper, int queue, uint64_t name) {
    stream::Guard guard(lock_);
    helper_ = helper;
    queue_ = queue;
    name_ = name;
    attended_.store(false);
    for (auto &listener : listeners_) listener.store(memory::kNoWaker);
    epoll_event event{EPOLLIN | EPOLLET, {.u64 = name_}};
    raw_syscall(SYS_epoll_ctl, helper_, EPOLL_CTL_ADD, queue_, &event);
}

void Attendance::close() {
    stream::Guard guard(lock_);
    if (queue_ < 0) return;
    queue_ = -1;
    ++term_;
    attended_.store(false);
    full_fence();  // who does not see that has its place already
    wake();
}

void Attendance::wake() {
    const uint64_t one = 1;
    for (const auto &listener : listeners_) {
        const uint16_t id = listener.load(std::memory_order_relaxed);
        if (id == memory::kNoWaker || is_my_waker(id)) continue;
        raw_syscall(SYS_write, Process::get()->wake_object(id).fd.load(std::memory_order_relaxed), &one, sizeof one);
    }
}

void Attendance::helper_listens(bool on) {
    epoll_event event{(on ? EPOLLIN : 0u) | EPOLLET, {.u64 = name_}};
    raw_syscall(SYS_epoll_ctl, helper_, EPOLL_CTL_MOD, queue_, &event);
    attended_.store(!on);
}

bool Attendance::attend(const Connection &of, const Courier &courier) {
    waits_.fetch_add(1, std::memory_order_relaxed);
    if (attended()) return true;
    stream::Guard guard(lock_);
    // One that was retired meanwhile may be another connection's by now.
    if (queue_ < 0 || of.courier.load(std::memory_order_acquire) != &courier) return false;
    if (!attended()) helper_listens(false);
    return true;
}

bool Attendance::leave() {
    if (!attended()) return false;
    helper_listens(true);
    return true;
}

bool Attendance::leave(const Connection &of, const Courier &courier) {
    if (!attended()) return false;
    stream::Guard guard(lock_);
    return of.courier.load(std::memory_order_acquire) == &courier && leave();
}

bool Attendance::leave_if_unattended() {
    if (!attended()) return false;
    const uint32_t waits = waits_.load(std::memory_order_relaxed);
    if (std::exchange(waits_seen_, waits) != waits) return false;
    stream::Guard guard(lock_);
    return leave();
}

std::atomic<uint16_t> *Attendance::place_for(uint16_t waker) {
    std::atomic<uint16_t> *place = nullptr;
    for (auto &listener : listeners_) {
        const uint16_t id = listener.load(std::memory_order_relaxed);
        if (id == waker) return &listener;
        if (id == memory::kNoWaker && place == nullptr) place = &listener;
    }
    if (place != nullptr) place->store(waker);
    return place;
}

Listening::Listening(Undo *outer, Connection &connection, uint16_t waker) : Undo(outer), connection_(connection), waker_(waker) {
    Courier *courier = connection.courier.load(std::memory_order_acquire);
    if (waker == memory::kNoWaker || courier == nullptr || !courier->attendance.attended()) return;
    Attendance &attendance = courier->attendance;
    stream::Guard guard(attendance.lock_);
    if (attendance.queue_ < 0 || connection.courier.load(std::memory_order_acquire) != courier) return;
    place_ = attendance.place_for(waker);
    if (place_ == nullptr) return;
    courier_ = courier;
    term_ = attendance.term_;
}

int Listening::fd() {
    if (courier_ == nullptr || courier_->carrier.stopped() || courier_->carrier.failed()) return -1;
    Attendance &attendance = courier_->attendance;
    stream::Guard guard(attendance.lock_);
    if (attendance.term_ != term_ || connection_.courier.load(std::memory_order_relaxed) != courier_) return -1;
    // A handler that waited on the same connection has left it.
    if (place_ == nullptr || place_->load(std::memory_order_relaxed) != waker_) place_ = attendance.place_for(waker_);
    return place_ != nullptr ? attendance.queue_ : -1;
}

void Listening::undo() {
    if (courier_ == nullptr || place_ == nullptr) return;
    stream::Guard guard(courier_->attendance.lock_);
    if (courier_->attendance.term_ == term_ && place_->load(std::memory_order_relaxed) == waker_) place_->store(memory::kNoWaker);
}

}  // namespace sansock::socket
