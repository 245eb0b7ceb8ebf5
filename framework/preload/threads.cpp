// The threads of plugins are no threads of the application.
#include <pthread.h>

#include <cstdlib>
#include <new>

#include "preload/real.hpp"
#include "socket/helper.hpp"

using sansock::socket::Helper;

namespace {

struct Work {
    void *(*function)(void *);
    void *argument;
};

void *do_for_us(void *given) {
    const Work work = *static_cast<Work *>(given);
    std::free(given);
    Helper::adopt_this_thread();
    return work.function(work.argument);
}

}  // namespace

/// What a thread of ours begins, a plugin's function on the helper or a thread that came of that, is one of ours as well.
SANSOCK_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument) noexcept {
    if (!Helper::has_this_thread()) return SANSOCK_REAL(pthread_create)(thread, attributes, function, argument);
    void *const work = std::malloc(sizeof(Work));
    if (work == nullptr) return EAGAIN;
    const int failure = SANSOCK_REAL(pthread_create)(thread, attributes, do_for_us, new (work) Work{function, argument});
    if (failure != 0) std::free(work);
    return failure;
}
