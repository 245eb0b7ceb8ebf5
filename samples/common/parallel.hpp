#pragma once
#include <future>
#include <vector>

namespace samples {

/// Calls `work(0)` to `work(count - 1)`, each in a thread of its own, and answers their results in order. When some
/// throw, the first of those in order is thrown again once all have ended.
template <class Work>
auto in_parallel(unsigned count, Work work) {
    using Value = decltype(work(0U));
    std::vector<std::future<Value>> running;
    for (unsigned index = 0; index < count; ++index) {
        running.push_back(std::async(std::launch::async, work, index));
    }
    std::vector<Value> results;
    for (std::future<Value> &one : running) results.push_back(one.get());
    return results;
}

}  // namespace samples
