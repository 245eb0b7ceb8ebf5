#include "socket/sleep.hpp"

#include <pthread.h>

namespace sansock::socket {

static void cancelled(void *undo) {
    if (undo != nullptr) static_cast<Undo *>(undo)->undo_all();
}

long cancellable_syscall(Undo *undo, long number, long a, long b, long c, long d, long e, long f) {
    long result;
    int before;
    pthread_cleanup_push(cancelled, undo);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
    result = raw_syscall6(number, a, b, c, d, e, f);
    pthread_setcanceltype(before, nullptr);
    pthread_cleanup_pop(0);
    return result;
}

}  // namespace sansock::socket
