#include "fiber.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Keeps what the System V ABI lets a function expect to be kept, changes stacks, and returns on the other one.
asm(R"(
    .text
    .p2align 4
    .type sansock_switch_stack, @function
sansock_switch_stack:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size sansock_switch_stack, .-sansock_switch_stack
)");
extern "C" void sansock_switch_stack(void **save, void *to);

namespace sansock::simulation {
namespace {

thread_local Fiber *entering = nullptr;

}  // namespace

Fiber::Fiber() {
    void *memory = mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    stack_ = static_cast<char *>(memory);
    mprotect(stack_, 4096, PROT_NONE);  // an overflow stops here
}

Fiber::~Fiber() { munmap(stack_, kStackSize); }

void Fiber::start(std::function<void()> body) {
    body_ = std::move(body);
    done_ = false;
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(stack_ + 4096, kStackSize - 4096);
    shadow_mine_ = nullptr;
#endif
    auto *top = reinterpret_cast<uint64_t *>(stack_ + kStackSize);
    --top;                                               // so that the stack is aligned as after a call
    *--top = reinterpret_cast<uint64_t>(&Fiber::enter);  // where the first switch returns to
    for (int i = 0; i < 6; ++i) *--top = 0;
    mine_ = top;
}

void Fiber::enter() {
    Fiber &self = *entering;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &self.resumer_stack_, &self.resumer_stack_size_);
#endif
    self.body_();
    self.done_ = true;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(nullptr, self.resumer_stack_, self.resumer_stack_size_);
#endif
    sansock_switch_stack(&self.mine_, self.resumer_);
    std::abort();
}

bool Fiber::resume() {
    entering = this;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&shadow_resumer_, stack_, kStackSize);
#endif
    sansock_switch_stack(&resumer_, mine_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(shadow_resumer_, nullptr, nullptr);
#endif
    return !done_;
}

void Fiber::pause() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&shadow_mine_, resumer_stack_, resumer_stack_size_);
#endif
    sansock_switch_stack(&mine_, resumer_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(shadow_mine_, &resumer_stack_, &resumer_stack_size_);
#endif
}

}  // namespace sansock::simulation
