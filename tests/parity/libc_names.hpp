#pragma once

// Functions of libc by the names that libc exports, which the test of docs/interception.md looks for among the names that the cases refer
// to. In C++ and with optimisation headers give other names to many of them (`fscanf` is __isoc99_fscanf), make them inline, or do not
// declare them at all.

/// libc_NAME is the function NAME.
#define SANSOCK_LIBC(result, name, arguments) extern "C" result libc_##name arguments __asm__(#name)

/// The same for a function that libc keeps only for programs that were linked long ago.
#define SANSOCK_OLD_LIBC(result, name, arguments) \
    extern "C" result libc_##name arguments;      \
    __asm__(".symver libc_" #name ", " #name "@GLIBC_2.2.5")
