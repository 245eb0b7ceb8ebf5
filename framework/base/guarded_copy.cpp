#include "base/guarded_copy.hpp"

#include <ucontext.h>

#include <cstdint>

// System V AMD64: rdi = to, rsi = from, rdx = n; answers in al. Plain loads and stores at every size: between two processors' caches
// `rep movsb` moved half as much. The second function writes whole cache lines with non-temporal stores; the first and the last 64
// bytes, which need not be whole lines, it writes plainly.
asm(R"(
    .text
    .p2align 6
    .globl sansock_guarded_copy
    .hidden sansock_guarded_copy
    .hidden sansock_guarded_copy_end
    .globl sansock_guarded_copy_end
    .type sansock_guarded_copy, @function
sansock_guarded_copy:
    endbr64
    cmp $16, %rdx
    jb 3f
    cmp $32, %rdx
    jbe 2f
    cmp $512, %rdx
    jae 5f
    movups -32(%rsi,%rdx), %xmm2
    movups -16(%rsi,%rdx), %xmm3
    lea -32(%rdi,%rdx), %r8
1:  movups (%rsi), %xmm0
    movups 16(%rsi), %xmm1
    movups %xmm0, (%rdi)
    movups %xmm1, 16(%rdi)
    add $32, %rsi
    add $32, %rdi
    cmp %r8, %rdi
    jb 1b
    movups %xmm2, (%r8)
    movups %xmm3, 16(%r8)
    mov $1, %eax
    ret
2:  movups (%rsi), %xmm0
    movups -16(%rsi,%rdx), %xmm1
    movups %xmm0, (%rdi)
    movups %xmm1, -16(%rdi,%rdx)
    mov $1, %eax
    ret
3:  cmp $8, %rdx
    jb 4f
    mov (%rsi), %r8
    mov -8(%rsi,%rdx), %r9
    mov %r8, (%rdi)
    mov %r9, -8(%rdi,%rdx)
    mov $1, %eax
    ret
4:  test %rdx, %rdx
    jz 7f
6:  movzbl (%rsi), %eax
    mov %al, (%rdi)
    inc %rsi
    inc %rdi
    dec %rdx
    jnz 6b
7:  mov $1, %eax
    ret
5:  movups -64(%rsi,%rdx), %xmm4
    movups -48(%rsi,%rdx), %xmm5
    movups -32(%rsi,%rdx), %xmm6
    movups -16(%rsi,%rdx), %xmm7
    lea -64(%rdi,%rdx), %r8
8:  movups (%rsi), %xmm0
    movups 16(%rsi), %xmm1
    movups 32(%rsi), %xmm2
    movups 48(%rsi), %xmm3
    movups %xmm0, (%rdi)
    movups %xmm1, 16(%rdi)
    movups %xmm2, 32(%rdi)
    movups %xmm3, 48(%rdi)
    add $64, %rsi
    add $64, %rdi
    cmp %r8, %rdi
    jb 8b
    movups %xmm4, (%r8)
    movups %xmm5, 16(%r8)
    movups %xmm6, 32(%r8)
    movups %xmm7, 48(%r8)
    mov $1, %eax
    ret
    .size sansock_guarded_copy, .-sansock_guarded_copy

    .p2align 6
    .globl sansock_guarded_copy_past_cache
    .hidden sansock_guarded_copy_past_cache
    .type sansock_guarded_copy_past_cache, @function
sansock_guarded_copy_past_cache:
    endbr64
    cmp $256, %rdx
    jb sansock_guarded_copy
    movups (%rsi), %xmm0
    movups 16(%rsi), %xmm1
    movups 32(%rsi), %xmm2
    movups 48(%rsi), %xmm3
    movups -64(%rsi,%rdx), %xmm4
    movups -48(%rsi,%rdx), %xmm5
    movups -32(%rsi,%rdx), %xmm6
    movups -16(%rsi,%rdx), %xmm7
    lea -64(%rdi,%rdx), %r8
    movups %xmm0, (%rdi)
    movups %xmm1, 16(%rdi)
    movups %xmm2, 32(%rdi)
    movups %xmm3, 48(%rdi)
    sub %rdi, %rsi
    add $64, %rdi
    and $-64, %rdi
9:  movups (%rsi,%rdi), %xmm0
    movups 16(%rsi,%rdi), %xmm1
    movups 32(%rsi,%rdi), %xmm2
    movups 48(%rsi,%rdi), %xmm3
    movntps %xmm0, (%rdi)
    movntps %xmm1, 16(%rdi)
    movntps %xmm2, 32(%rdi)
    movntps %xmm3, 48(%rdi)
    add $64, %rdi
    cmp %r8, %rdi
    jb 9b
    movups %xmm4, (%r8)
    movups %xmm5, 16(%r8)
    movups %xmm6, 32(%r8)
    movups %xmm7, 48(%r8)
    sfence
    mov $1, %eax
    ret
    .size sansock_guarded_copy_past_cache, .-sansock_guarded_copy_past_cache
sansock_guarded_copy_end:
)");

extern "C" const char sansock_guarded_copy_end[];

namespace sansock {

bool recover_guarded_copy(void *ucontext) noexcept {
    auto *context = static_cast<ucontext_t *>(ucontext);
    auto &registers = context->uc_mcontext.gregs;
    const auto at = static_cast<uintptr_t>(registers[REG_RIP]);
    if (at < reinterpret_cast<uintptr_t>(&sansock_guarded_copy) || at >= reinterpret_cast<uintptr_t>(sansock_guarded_copy_end)) {
        return false;
    }
    // Return to the caller as `ret` would, with false in al.
    registers[REG_RIP] = *reinterpret_cast<greg_t *>(registers[REG_RSP]);
    registers[REG_RSP] += 8;
    registers[REG_RAX] = 0;
    return true;
}

}  // namespace sansock
