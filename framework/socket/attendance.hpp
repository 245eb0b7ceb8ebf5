// Who looks after a connection over messages: the helper, or the threads that read and write it.
//
// The helper is told by the provider's queue that something has come, and wakes the thread that waits for it: two wakes for one message,
// and a notification asked for with each. A thread that blocks in its calls can do better: it polls while it is awake, and asks to be
// notified, and listens to the queue itself, when it goes to sleep. While it *attends* in that way, the helper does not listen, or both
// would be woken.
//
// A thread that has not waited for 20 to 40 ms attends no more, whether it computes, sleeps for long or has jumped out of the call by a
// signal handler: the helper, which looks that often while anybody attends, takes over. It does so at once where a thread is about to wait
// in another way (poll, epoll, on TCP), or has closed the connection.
#pragma once
#include "base/family_lock.hpp"
#include "memory/layout.hpp"
#include "socket/sleep.hpp"

namespace sansock::socket {

struct Connection;
struct Courier;

/// Of one courier.
class Attendance {
public:
    static constexpr uint64_t kLookNs = 20'000'000;

    /// The helper listens to the queue from now on, whose epoll instance this is, under that name.
    void open(int helper, int queue, uint64_t name);
    /// The queue's descriptor is about to be closed. Threads that listen to it are woken.
    void close();

    [[nodiscard]] bool attended() const { return attended_.load(); }
    /// A thread is about to wait for what comes over `of`'s path. False: there is nothing to attend to.
    bool attend(const Connection &of, const Courier &courier);
    /// Back to the helper. True: nobody has asked for notifications yet.
    bool leave(const Connection &of, const Courier &courier);
    /// The helper looks. True: it is its turn, and nobody has asked for notifications yet.
    bool leave_if_unattended();
    /// Something has happened, of which threads that listen learn in no other way. The caller has a fence behind it.
    void wake();

private:
    friend class Listening;
    static constexpr size_t kListenersMax = 8;
    void helper_listens(bool on);
    bool leave();
    /// The listener's place, with the lock held; nullptr: there is none.
    std::atomic<uint16_t> *place_for(uint16_t waker);

    ProcessLock lock_;
    int helper_ = -1, queue_ = -1;
    uint64_t name_ = 0;
    uint32_t term_ = 0;  ///< Counts queues.
    /// Wake objects of threads that listen to this one; kNoWaker: a free place. Who has jumped out of the sleep stays here, and is woken in
    /// vain.
    std::atomic<uint16_t> listeners_[kListenersMax];
    std::atomic<bool> attended_{false};
    std::atomic<uint32_t> waits_{0};
    uint32_t waits_seen_ = 0;
};

/// A thread listens to the queue in its sleep.
class Listening final : public Undo {
public:
    /// `waker`: its wake object, or kNoWaker.
    Listening(Undo *outer, Connection &connection, uint16_t waker);
    ~Listening() { Listening::undo(); }

    /// The queue's descriptor, for the next sleep; -1: there is nothing to listen to, or nobody who would make it quiet. The helper may
    /// close it at any time, and rings the thread's wake object then.
    [[nodiscard]] int fd();

private:
    void undo() override;
    Connection &connection_;
    const uint16_t waker_;
    Courier *courier_ = nullptr;
    std::atomic<uint16_t> *place_ = nullptr;
    uint32_t term_ = 0;
};

}  // namespace sansock::socket
