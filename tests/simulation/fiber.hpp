// A thread of control on a stack of its own that runs only when it is told to. An abandoned fiber is never unwound, as a killed
// thread never is: what lives on its stack must own nothing.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>

namespace sansock::simulation {

class Fiber {
public:
    static constexpr size_t kStackSize = 96 * 1024;
    Fiber();
    ~Fiber();
    Fiber(const Fiber &) = delete;
    Fiber &operator=(const Fiber &) = delete;

    /// The next resume() begins `body`; whatever ran here before is abandoned.
    void start(std::function<void()> body);
    /// From the scheduler: runs the fiber until it pauses. False: its body has returned.
    bool resume();
    /// From inside the fiber: back to whoever resumed it.
    void pause();

private:
    static void enter();

    char *stack_;
    void *mine_ = nullptr;  ///< Stack pointers while the other one runs.
    void *resumer_ = nullptr;
    void *shadow_mine_ = nullptr, *shadow_resumer_ = nullptr;  ///< AddressSanitizer's view of the two stacks.
    const void *resumer_stack_ = nullptr;
    size_t resumer_stack_size_ = 0;
    std::function<void()> body_;
    bool done_ = true;
};

}  // namespace sansock::simulation
