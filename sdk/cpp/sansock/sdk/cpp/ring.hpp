// A queue of fixed capacity: what is posted on the data path must not allocate.
#pragma once
#include <cstddef>
#include <vector>

namespace sansock::sdk {

template <class Item>
class Ring {
public:
    explicit Ring(std::size_t capacity) : items_(capacity) {}

    bool empty() const noexcept { return count_ == 0; }
    bool full() const noexcept { return count_ == items_.size(); }
    std::size_t size() const noexcept { return count_; }
    Item &front() noexcept { return items_[first_]; }
    const Item &front() const noexcept { return items_[first_]; }

    /// The item that is so many behind the first one.
    Item &operator[](std::size_t at) noexcept {
        at += first_;
        return items_[at >= items_.size() ? at - items_.size() : at];
    }

    /// The new last item, as it was left by its last use. Not when full.
    Item &push() noexcept {
        std::size_t last = first_ + count_++;
        if (last >= items_.size()) last -= items_.size();
        return items_[last];
    }

    /// Drops the first item. Not when empty.
    void pop() noexcept {
        if (++first_ == items_.size()) first_ = 0;
        --count_;
    }

private:
    std::vector<Item> items_;
    std::size_t first_ = 0;
    std::size_t count_ = 0;
};

}  // namespace sansock::sdk
