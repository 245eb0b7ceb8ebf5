#include "socket/holders.hpp"

#include <algorithm>

#include "stream/end.hpp"

namespace sansock::socket {
namespace {

bool is_alive(uint32_t pid) { return raw_syscall(SYS_kill, pid, 0) != -ESRCH; }

}  // namespace

uint32_t *Holders::find(uint32_t who) {
    uint32_t *end = list_ + kMax;
    uint32_t *found = std::find(list_, end, who);
    return found == end ? nullptr : found;
}

uint32_t Holders::count(uint32_t who) {
    uint32_t living = 0;
    for (uint32_t &holder : list_) {
        if (holder != 0 && holder != who && (holder & kUnborn) == 0 && !is_alive(holder)) holder = 0;
        living += holder != 0;
    }
    return living;
}

void Holders::add(uint32_t who) {
    stream::Guard guard(lock_);
    if (find(who) != nullptr) return;
    if (uint32_t *free = find(0)) {
        *free = who;
    } else {
        crowded_ = true;
    }
}

void Holders::replace(uint32_t from, uint32_t to) {
    stream::Guard guard(lock_);
    if (uint32_t *holder = find(from)) *holder = to;
}

void Holders::remove(uint32_t who) {
    stream::Guard guard(lock_);
    if (uint32_t *holder = find(who)) *holder = 0;
}

void Holders::crowd() {
    stream::Guard guard(lock_);
    crowded_ = true;
}

bool Holders::let_go(uint32_t who) {
    stream::Guard guard(lock_);
    uint32_t *holder = find(who);
    // One that has left already, at its end say, and closes after that, must not take the connection from those who hold it still.
    if (!crowded_ && count(who) == (holder != nullptr ? 1u : 0u)) return false;
    if (holder != nullptr) *holder = 0;
    return true;
}

bool Holders::claim(uint32_t who) {
    stream::Guard guard(lock_);
    if (crowded_ || count(0) != 0) return false;
    list_[0] = who;
    return true;
}

bool Holders::has(uint32_t who) {
    stream::Guard guard(lock_);
    return find(who) != nullptr;
}

bool Holders::only(uint32_t who) {
    stream::Guard guard(lock_);
    return !crowded_ && find(who) != nullptr && count(who) == 1;
}

}  // namespace sansock::socket
