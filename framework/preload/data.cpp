// read, write, send, recv and their families.
#include <pthread.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

#include "base/guarded_copy.hpp"
#include "preload/real.hpp"
#include "preload/step_back.hpp"
#include "socket/io.hpp"
#include "socket/young.hpp"

extern "C" [[noreturn]] void __chk_fail();

namespace sansock::preload {
namespace {

using socket::Connection;
using socket::KernelCall;
using socket::YoungCall;

/// What the kernel refuses of an array of buffers before it looks at the socket; 0: nothing.
long refused(const iovec *parts, int count, int too_many) {
    if (count < 0 || count > 1024) return too_many;
    size_t total = 0;
    for (int i = 0; i < count; ++i) {
        iovec part;
        if (!guarded_copy(&part, &parts[i], sizeof part)) return -EFAULT;
        if (static_cast<ssize_t>(part.iov_len) < 0) return count == 1 ? -EFAULT : -EINVAL;
        total += part.iov_len;
        if (static_cast<ssize_t>(total) < 0) return -EINVAL;
    }
    return 0;
}

/// Nothing to read or write: answered before anybody looks at the socket.
bool empty(const iovec *parts, int count) {
    iovec part;
    for (int i = 0; i < count; ++i) {
        if (!guarded_copy(&part, &parts[i], sizeof part) || part.iov_len != 0) return false;
    }
    return count >= 0;
}

/// One call that receives: by the kernel while the connection is the kernel's, else by the stream.
template <class Ask>
ssize_t receive(int fd, const iovec *parts, int count, int flags, Ask ask) {
    if (YoungCall young(fd, false, flags); young) {
        const ssize_t got = ask();
        young.done(got);
        return got;
    }
    Connection *connection = connection_of(fd);
    if (connection == nullptr) return ask();
    if (KernelCall kernel(*connection, false); kernel.allowed()) {
        const ssize_t got = ask();
        kernel.done(got, flags);
        return got;
    }
    pthread_testcancel();  // as libc's calls do, whether they have to wait or not
    if (const long error = refused(parts, count, -EINVAL); error < 0) return answer(error);
    return answer(socket::receive_stream(*connection, parts, count, flags));
}

template <class Ask>
ssize_t send_parts(int fd, const iovec *parts, int count, int flags, Ask ask) {
    if (YoungCall young(fd, true, flags); young) {
        const ssize_t sent = ask();
        young.done(sent);
        return sent;
    }
    Connection *connection = connection_of(fd);
    if (connection == nullptr) return ask();
    if (KernelCall kernel(*connection, true); kernel.allowed()) {
        const ssize_t sent = ask();
        kernel.done(sent, flags);
        return sent;
    }
    pthread_testcancel();  // as libc's calls do, whether they have to wait or not
    if (const long error = refused(parts, count, -EINVAL); error < 0) return answer(error);
    return answer(socket::send_stream(*connection, parts, count, flags));
}

/// A TCP receive tells no name and no ancillary data.
ssize_t receive_message(int fd, msghdr *message, int flags) {
    Connection *connection = connection_of(fd);
    if (connection == nullptr) return SANSOCK_REAL(recvmsg)(fd, message, flags);
    if (KernelCall kernel(*connection, false); kernel.allowed()) {
        const ssize_t got = SANSOCK_REAL(recvmsg)(fd, message, flags);
        kernel.done(got, flags);
        return got;
    }
    msghdr copy;
    if (!guarded_copy(&copy, message, sizeof copy)) return answer(-EFAULT);
    const int count = static_cast<int>(std::min<size_t>(copy.msg_iovlen, 1025));
    if (const long error = refused(copy.msg_iov, count, -EMSGSIZE); error < 0) return answer(error);
    const ssize_t got = answer(socket::receive_stream(*connection, copy.msg_iov, count, flags));
    if (got >= 0) {
        message->msg_namelen = 0;
        message->msg_controllen = 0;
        message->msg_flags = flags & MSG_CMSG_CLOEXEC;
    }
    return got;
}

ssize_t send_message(int fd, const msghdr *message, int flags) {
    Connection *connection = connection_of(fd);
    if (connection == nullptr) {
        if (message != nullptr && message->msg_controllen > 0) descriptors_leave(*message);
        return SANSOCK_REAL(sendmsg)(fd, message, flags);
    }
    if (KernelCall kernel(*connection, true); kernel.allowed()) {
        const ssize_t sent = SANSOCK_REAL(sendmsg)(fd, message, flags);
        kernel.done(sent, flags);
        return sent;
    }
    msghdr copy;
    if (!guarded_copy(&copy, message, sizeof copy)) return answer(-EFAULT);
    if (copy.msg_controllen > 0) {
        step_back(fd, stream::Reason::kUnmodelled);
        return SANSOCK_REAL(sendmsg)(fd, message, flags);
    }
    const int count = static_cast<int>(std::min<size_t>(copy.msg_iovlen, 1025));
    if (const long error = refused(copy.msg_iov, count, -EMSGSIZE); error < 0) return answer(error);
    return answer(socket::send_stream(*connection, copy.msg_iov, count, flags));
}

constexpr size_t kFileChunk = 64 * 1024;

/// sendfile on a connection that the stream has: the file's bytes are copied through the window like any others.
ssize_t send_file(Connection &connection, int file, off64_t *offset, size_t count) {
    char chunk[kFileChunk];
    off64_t at = 0;
    if (offset == nullptr) {
        at = lseek64(file, 0, SEEK_CUR);
        if (at < 0) return -1;
    } else if (!guarded_copy(&at, offset, sizeof at)) {
        return answer(-EFAULT);
    } else if (at < 0) {
        return answer(-EINVAL);
    }
    size_t sent = 0;
    while (sent < count) {
        const ssize_t got = SANSOCK_REAL(pread64)(file, chunk, std::min(count - sent, sizeof chunk), at);
        if (got < 0 && sent == 0) return -1;
        if (got <= 0) break;
        const iovec part{chunk, static_cast<size_t>(got)};
        const long rc = socket::send_stream(connection, &part, 1, 0);
        if (rc < 0 && sent == 0) return answer(rc);
        if (rc <= 0) break;
        sent += static_cast<size_t>(rc);
        at += rc;
        if (rc < got) break;
    }
    if (offset != nullptr) {
        *offset = at;
    } else if (lseek64(file, at, SEEK_SET) < 0) {
        return -1;
    }
    return static_cast<ssize_t>(sent);
}

ssize_t send_file_or_kernel(int out, int in, off64_t *offset, size_t count) {
    if (YoungCall young(out, true, 0); young) {
        const ssize_t sent = SANSOCK_REAL(sendfile64)(out, in, offset, count);
        young.done(sent);
        return sent;
    }
    Connection *connection = connection_of(out);
    if (connection == nullptr) return SANSOCK_REAL(sendfile64)(out, in, offset, count);
    if (KernelCall kernel(*connection, true); kernel.allowed()) {
        const ssize_t sent = SANSOCK_REAL(sendfile64)(out, in, offset, count);
        kernel.done(sent);
        return sent;
    }
    return send_file(*connection, in, offset, count);
}

}  // namespace
}  // namespace sansock::preload

using namespace sansock::preload;

SANSOCK_EXPORT ssize_t read(int fd, void *data, size_t size) {
    const iovec part{data, size};
    if (size == 0 && tracked_of(fd) != nullptr) return SANSOCK_REAL(read)(fd, data, size);
    return receive(fd, &part, 1, 0, [&] { return SANSOCK_REAL(read)(fd, data, size); });
}
SANSOCK_ALIAS(__read, read);

SANSOCK_EXPORT ssize_t __read_chk(int fd, void *data, size_t size, size_t room) {
    if (size > room) __chk_fail();
    return read(fd, data, size);
}

SANSOCK_EXPORT ssize_t readv(int fd, const iovec *parts, int count) {
    if (tracked_of(fd) != nullptr && empty(parts, count)) return SANSOCK_REAL(readv)(fd, parts, count);
    return receive(fd, parts, count, 0, [&] { return SANSOCK_REAL(readv)(fd, parts, count); });
}

SANSOCK_EXPORT ssize_t recv(int fd, void *data, size_t size, int flags) {
    const iovec part{data, size};
    return receive(fd, &part, 1, flags, [&] { return SANSOCK_REAL(recv)(fd, data, size, flags); });
}

SANSOCK_EXPORT ssize_t __recv_chk(int fd, void *data, size_t size, size_t room, int flags) {
    if (size > room) __chk_fail();
    return recv(fd, data, size, flags);
}

SANSOCK_EXPORT ssize_t recvfrom(int fd, void *data, size_t size, int flags, sockaddr *address, socklen_t *length) {
    const iovec part{data, size};
    Connection *connection = connection_of(fd);
    // A connected TCP socket leaves the address alone and says that its length is 0.
    const ssize_t got = receive(fd, &part, 1, flags, [&] { return SANSOCK_REAL(recvfrom)(fd, data, size, flags, address, length); });
    if (connection != nullptr && got >= 0 && address != nullptr && length != nullptr) *length = 0;
    return got;
}

SANSOCK_EXPORT ssize_t __recvfrom_chk(int fd, void *data, size_t size, size_t room, int flags, sockaddr *address, socklen_t *length) {
    if (size > room) __chk_fail();
    return recvfrom(fd, data, size, flags, address, length);
}

SANSOCK_EXPORT ssize_t recvmsg(int fd, msghdr *message, int flags) { return receive_message(fd, message, flags); }

SANSOCK_EXPORT int recvmmsg(int fd, mmsghdr *messages, unsigned count, int flags, timespec *timeout) {
    if (connection_of(fd) == nullptr) return SANSOCK_REAL(recvmmsg)(fd, messages, count, flags, timeout);
    unsigned done = 0;
    for (; done < count; ++done) {
        const int wait = done > 0 && (flags & MSG_WAITFORONE) != 0 ? MSG_DONTWAIT : 0;
        const ssize_t got = receive_message(fd, &messages[done].msg_hdr, (flags & ~MSG_WAITFORONE) | wait);
        if (got < 0) break;
        messages[done].msg_len = static_cast<unsigned>(got);
        if (got == 0) {
            ++done;
            break;
        }
    }
    return done > 0 ? static_cast<int>(done) : -1;
}

SANSOCK_EXPORT ssize_t write(int fd, const void *data, size_t size) {
    const iovec part{const_cast<void *>(data), size};
    return send_parts(fd, &part, 1, 0, [&] { return SANSOCK_REAL(write)(fd, data, size); });
}
SANSOCK_ALIAS(__write, write);

SANSOCK_EXPORT ssize_t writev(int fd, const iovec *parts, int count) {
    return send_parts(fd, parts, count, 0, [&] { return SANSOCK_REAL(writev)(fd, parts, count); });
}

SANSOCK_EXPORT ssize_t send(int fd, const void *data, size_t size, int flags) {
    const iovec part{const_cast<void *>(data), size};
    return send_parts(fd, &part, 1, flags, [&] { return SANSOCK_REAL(send)(fd, data, size, flags); });
}
SANSOCK_ALIAS(__send, send);

SANSOCK_EXPORT ssize_t sendto(int fd, const void *data, size_t size, int flags, const sockaddr *address, socklen_t length) {
    const iovec part{const_cast<void *>(data), size};
    char probe;
    if (address != nullptr && length > 0 && connection_of(fd) != nullptr && !sansock::guarded_copy(&probe, address, 1))
        return answer(-EFAULT);
    return send_parts(fd, &part, 1, flags, [&] { return SANSOCK_REAL(sendto)(fd, data, size, flags, address, length); });
}

SANSOCK_EXPORT ssize_t sendmsg(int fd, const msghdr *message, int flags) { return send_message(fd, message, flags); }

SANSOCK_EXPORT int sendmmsg(int fd, mmsghdr *messages, unsigned count, int flags) {
    if (connection_of(fd) == nullptr) return SANSOCK_REAL(sendmmsg)(fd, messages, count, flags);
    unsigned done = 0;
    for (; done < count; ++done) {
        const ssize_t sent = send_message(fd, &messages[done].msg_hdr, flags);
        if (sent < 0) break;
        messages[done].msg_len = static_cast<unsigned>(sent);
    }
    return done > 0 || count == 0 ? static_cast<int>(done) : -1;
}

SANSOCK_EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) { return send_file_or_kernel(out, in, offset, count); }
SANSOCK_EXPORT ssize_t sendfile(int out, int in, off_t *offset, size_t count) { return send_file_or_kernel(out, in, offset, count); }
