#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdio>

#include "libc_names.hpp"

// The insides of libc's streams that it exports, as of glibc's libio/libioP.h, which is not installed.
namespace sansock::parity {

/// A stream as libc lays it out, with room behind it for what it keeps there of programs and of memory.
struct RawStream {
    FILE file;
    const void *jumps;
    void *room[4];
    void *lock[2];
};

struct Marker {
    Marker *next;
    FILE *stream;
    int position;
};

SANSOCK_LIBC(void, _IO_init, (FILE *, int));
SANSOCK_LIBC(void, _IO_file_init, (RawStream *));
extern "C" const char _IO_file_jumps[], _IO_wfile_jumps[];  // tables of functions, of which the address is what counts

/// A stream of no file yet, as libstdc++ of the last century made them.
inline void make(RawStream &stream) {
    stream = {};
    stream.file._lock = reinterpret_cast<decltype(stream.file._lock)>(stream.lock);
    libc__IO_init(&stream.file, 0);
    stream.jumps = _IO_file_jumps;
    libc__IO_file_init(&stream);
}

}  // namespace sansock::parity
