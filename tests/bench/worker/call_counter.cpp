#include "call_counter.hpp"

#include <dirent.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if !defined(__x86_64__)
#error "sansock-bench-worker: system calls are counted on x86-64 only"
#endif

// The only instructions whose system calls go to the kernel at once: the handler's, and its return.
asm(R"(
    .text
    .globl bench_direct_begin
    .hidden bench_direct_begin
    .globl bench_direct_end
    .hidden bench_direct_end
    .globl bench_direct_call
    .hidden bench_direct_call
    .globl bench_direct_return
    .hidden bench_direct_return
bench_direct_begin:
bench_direct_call:              # (number, a, b, c, d, e, f)
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsi
    mov %rcx, %rdx
    mov %r8, %r10
    mov %r9, %r8
    mov 8(%rsp), %r9
    syscall
    ret
bench_direct_return:
    mov $15, %eax               # rt_sigreturn
    syscall
    ud2                         # the kernel looks at the address behind the instruction
bench_direct_end:
)");
extern "C" {
extern const char bench_direct_begin[], bench_direct_end[];
long bench_direct_call(long number, long a, long b, long c, long d, long e, long f);
void bench_direct_return();
}

namespace bench {
namespace {

// As in linux/prctl.h of Linux 5.11, which older headers lack.
constexpr int kSetDispatch = 59;
constexpr unsigned long kDispatchOff = 0, kDispatchOn = 1;

std::atomic<std::uint64_t> calls{0};

void make_call(int, siginfo_t *, void *context) {
    auto &registers = static_cast<ucontext_t *>(context)->uc_mcontext.gregs;
    if (registers[REG_RAX] != SYS_clock_nanosleep) calls.fetch_add(1, std::memory_order_relaxed);
    registers[REG_RAX] = bench_direct_call(registers[REG_RAX], registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
                                           registers[REG_R10], registers[REG_R8], registers[REG_R9]);
}

/// libc would return from the handler by a system call of its own, which would come to the handler.
bool install_handler() {
    struct {
        void (*handler)(int, siginfo_t *, void *);
        unsigned long flags;
        void (*restorer)();
        unsigned long mask;
    } action{make_call, SA_SIGINFO | SA_NODEFER | 0x04000000ul /* SA_RESTORER */, bench_direct_return, 0};
    return syscall(SYS_rt_sigaction, SIGSYS, &action, nullptr, sizeof action.mask) == 0;
}

}  // namespace

bool count_calls() {
    return install_handler() && prctl(kSetDispatch, kDispatchOn, bench_direct_begin, bench_direct_end - bench_direct_begin, nullptr) == 0;
}

void stop_counting_calls() { prctl(kSetDispatch, kDispatchOff, 0, 0, 0); }

std::uint64_t calls_counted() { return calls.load(std::memory_order_relaxed); }

std::uint64_t wakes_of_other_threads() {
    constexpr const char *kField = "\nvoluntary_ctxt_switches:";
    std::uint64_t sum = 0;
    DIR *tasks = opendir("/proc/self/task");
    while (const dirent *entry = tasks == nullptr ? nullptr : readdir(tasks)) {
        if (entry->d_name[0] == '.' || std::atoi(entry->d_name) == static_cast<int>(syscall(SYS_gettid))) continue;
        char path[300], text[4096];
        std::snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        std::FILE *file = std::fopen(path, "re");
        if (file == nullptr) continue;
        text[std::fread(text, 1, sizeof text - 1, file)] = '\0';
        std::fclose(file);
        if (const char *at = std::strstr(text, kField)) sum += std::strtoull(at + std::strlen(kField), nullptr, 10);
    }
    if (tasks != nullptr) closedir(tasks);
    return sum;
}

}  // namespace bench
