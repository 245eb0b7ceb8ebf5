// vfork, which returns twice on one stack: the child must find its way back while the parent's frame is still needed, so the
// return address is kept in a register over the system call. The child shares everything with the suspended parent thread,
// thread-local variables too, so a counter raised before and lowered by the parent says "this is a vfork child" for the price of one load.
#include "preload/real.hpp"
#include "preload/step_back.hpp"

extern "C" {

thread_local uint32_t sansock_vfork_depth __attribute__((tls_model("initial-exec"), visibility("hidden"))) = 0;

__attribute__((visibility("hidden"), used)) void sansock_before_vfork() { sansock::preload::image_spawns(); }
__attribute__((visibility("hidden"), used)) int sansock_after_vfork(int result) {
    sansock::preload::image_spawned();
    return static_cast<int>(sansock::preload::answer(result));
}
}

static_assert(SYS_vfork == 58, "the number below");
asm(R"(
    .text
    .p2align 4
    .globl vfork
    .globl __vfork
    .type vfork, @function
    .type __vfork, @function
vfork:
__vfork:
    endbr64
    sub $8, %rsp
    call sansock_before_vfork
    add $8, %rsp
    mov sansock_vfork_depth@gottpoff(%rip), %rdx
    pop %rdi
    incl %fs:(%rdx)
    mov $58, %eax
    syscall
    push %rdi
    test %eax, %eax
    jz 1f
    decl %fs:(%rdx)
    mov %eax, %edi
    sub $8, %rsp
    call sansock_after_vfork
    add $8, %rsp
1:  ret
    .size vfork, .-vfork
    .size __vfork, .-__vfork
)");
