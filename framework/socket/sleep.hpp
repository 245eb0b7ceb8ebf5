// The system calls in which threads of the application sleep. As in the libc calls that they stand for, pthread_cancel() may end
// the thread there. No destructor runs then: this library throws and catches nothing, since an unwinder of its own beside the
// application's could not work. So what must be undone when a sleep ends in that way is listed, innermost first.
#pragma once
#include "base/real.hpp"

namespace sansock::socket {

/// Something that a sleeping thread has announced or taken, and that is undone by its destructor, or else by its undo().
class Undo {
public:
    Undo(const Undo &) = delete;
    Undo &operator=(const Undo &) = delete;
    void undo_all() {
        for (Undo *each = this; each != nullptr; each = each->outer_) each->undo();
    }

protected:
    explicit Undo(Undo *outer) : outer_(outer) {}
    ~Undo() = default;
    virtual void undo() = 0;

private:
    Undo *outer_;
};

/// As raw_syscall6(). `undo`, which may be nullptr, is undone with all that is around it when the thread is cancelled meanwhile.
long cancellable_syscall(Undo *undo, long number, long a, long b, long c, long d, long e, long f);

template <class... Args>
long sleep_in(Undo *undo, long number, Args... args) {
    const long words[6] = {syscall_word(args)...};
    return cancellable_syscall(undo, number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

}  // namespace sansock::socket
