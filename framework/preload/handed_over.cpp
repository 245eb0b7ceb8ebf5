// Descriptors that are handed to libc or to the kernel for calls which nobody can see: streams, formatted output, asynchronous
// input and output, splice.
#include <aio.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "preload/real.hpp"
#include "preload/step_back.hpp"

// libc's own, which its headers declare only where _FORTIFY_SOURCE is on.
extern "C" int __dprintf_chk(int fd, int flag, const char *format, ...);
extern "C" int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments);

// liburing's, of whose rings the system calls are made inline. Results are negative errno values, as its own.
struct io_uring;
struct io_uring_params;
extern "C" int io_uring_setup(unsigned entries, io_uring_params *parameters);
extern "C" int io_uring_queue_init(unsigned entries, io_uring *ring, unsigned flags);
extern "C" int io_uring_queue_init_params(unsigned entries, io_uring *ring, io_uring_params *parameters);
extern "C" int io_uring_queue_init_mem(unsigned entries, io_uring *ring, io_uring_params *parameters, void *memory, size_t size);

// Of libc's streams from before `fdopen`, in no header of today.
extern "C" FILE *_IO_file_attach(FILE *stream, int fd);

using namespace sansock::preload;
using sansock::stream::Reason;

SANSOCK_EXPORT FILE *fdopen(int fd, const char *mode) {
    step_back(fd, Reason::kStandardIo);
    return SANSOCK_REAL(fdopen)(fd, mode);
}
SANSOCK_ALIAS(_IO_fdopen, fdopen);

SANSOCK_EXPORT FILE *_IO_file_attach(FILE *stream, int fd) {
    step_back(fd, Reason::kStandardIo);
    return SANSOCK_REAL(_IO_file_attach)(stream, fd);
}

SANSOCK_EXPORT int vdprintf(int fd, const char *format, va_list arguments) {
    step_back(fd, Reason::kStandardIo);
    return SANSOCK_REAL(vdprintf)(fd, format, arguments);
}

SANSOCK_EXPORT int dprintf(int fd, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int written = vdprintf(fd, format, arguments);
    va_end(arguments);
    return written;
}

SANSOCK_EXPORT int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments) {
    step_back(fd, Reason::kStandardIo);
    return SANSOCK_REAL(__vdprintf_chk)(fd, flag, format, arguments);
}

SANSOCK_EXPORT int __dprintf_chk(int fd, int flag, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int written = __vdprintf_chk(fd, flag, format, arguments);
    va_end(arguments);
    return written;
}

SANSOCK_EXPORT void backtrace_symbols_fd(void *const *addresses, int count, int fd) noexcept {
    step_back(fd, Reason::kStandardIo);
    SANSOCK_REAL(backtrace_symbols_fd)(addresses, count, fd);
}
SANSOCK_ALIAS(__backtrace_symbols_fd, backtrace_symbols_fd);

SANSOCK_EXPORT int eventfd_read(int fd, eventfd_t *value) {
    step_back(fd, Reason::kUnmodelled);
    return SANSOCK_REAL(eventfd_read)(fd, value);
}

SANSOCK_EXPORT int eventfd_write(int fd, eventfd_t value) {
    step_back(fd, Reason::kUnmodelled);
    return SANSOCK_REAL(eventfd_write)(fd, value);
}

// With the position -1 these read and write a stream; with any other a socket refuses them.
SANSOCK_EXPORT ssize_t preadv2(int fd, const iovec *parts, int count, off_t position, int flags) {
    if (position == -1) step_back(fd, Reason::kUnmodelled);
    return SANSOCK_REAL(preadv2)(fd, parts, count, position, flags);
}
SANSOCK_ALIAS(preadv64v2, preadv2);

SANSOCK_EXPORT ssize_t pwritev2(int fd, const iovec *parts, int count, off_t position, int flags) {
    if (position == -1) step_back(fd, Reason::kUnmodelled);
    return SANSOCK_REAL(pwritev2)(fd, parts, count, position, flags);
}
SANSOCK_ALIAS(pwritev64v2, pwritev2);

SANSOCK_EXPORT ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t size, unsigned flags) {
    step_back(in, Reason::kUnmodelled);
    step_back(out, Reason::kUnmodelled);
    return SANSOCK_REAL(splice)(in, in_offset, out, out_offset, size, flags);
}

SANSOCK_EXPORT int aio_read(aiocb *control) noexcept {
    step_back(control->aio_fildes, Reason::kStandardIo);
    return SANSOCK_REAL(aio_read)(control);
}

SANSOCK_EXPORT int aio_write(aiocb *control) noexcept {
    step_back(control->aio_fildes, Reason::kStandardIo);
    return SANSOCK_REAL(aio_write)(control);
}

SANSOCK_EXPORT int aio_read64(aiocb64 *control) noexcept {
    step_back(control->aio_fildes, Reason::kStandardIo);
    return SANSOCK_REAL(aio_read64)(control);
}

SANSOCK_EXPORT int aio_write64(aiocb64 *control) noexcept {
    step_back(control->aio_fildes, Reason::kStandardIo);
    return SANSOCK_REAL(aio_write64)(control);
}

SANSOCK_EXPORT int lio_listio(int mode, aiocb *const *list, int count, sigevent *event) noexcept {
    for (int i = 0; i < count; ++i) {
        if (list[i] != nullptr) step_back(list[i]->aio_fildes, Reason::kStandardIo);
    }
    return SANSOCK_REAL(lio_listio)(mode, list, count, event);
}

SANSOCK_EXPORT int lio_listio64(int mode, aiocb64 *const *list, int count, sigevent *event) noexcept {
    for (int i = 0; i < count; ++i) {
        if (list[i] != nullptr) step_back(list[i]->aio_fildes, Reason::kStandardIo);
    }
    return SANSOCK_REAL(lio_listio64)(mode, list, count, event);
}

SANSOCK_EXPORT int io_uring_setup(unsigned entries, io_uring_params *parameters) {
    rings_come();
    const auto real = SANSOCK_REAL(io_uring_setup);
    return real == nullptr ? -ENOSYS : real(entries, parameters);
}

SANSOCK_EXPORT int io_uring_queue_init(unsigned entries, io_uring *ring, unsigned flags) {
    rings_come();
    const auto real = SANSOCK_REAL(io_uring_queue_init);
    return real == nullptr ? -ENOSYS : real(entries, ring, flags);
}

SANSOCK_EXPORT int io_uring_queue_init_params(unsigned entries, io_uring *ring, io_uring_params *parameters) {
    rings_come();
    const auto real = SANSOCK_REAL(io_uring_queue_init_params);
    return real == nullptr ? -ENOSYS : real(entries, ring, parameters);
}

SANSOCK_EXPORT int io_uring_queue_init_mem(unsigned entries, io_uring *ring, io_uring_params *parameters, void *memory, size_t size) {
    rings_come();
    const auto real = SANSOCK_REAL(io_uring_queue_init_mem);
    return real == nullptr ? -ENOSYS : real(entries, ring, parameters, memory, size);
}
