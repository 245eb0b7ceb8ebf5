// A child of fork must not keep its parent's queue pairs alive when the parent is gone. It cannot close what it has inherited, for the
// libraries that it has inherited too would close those numbers a second time when it ends. So it puts /dev/null in their place.
#pragma once
#include <mutex>

namespace sansock::verbs {

/// A descriptor that no child of this process gets while this object is there.
class KeptFromChildren {
public:
    /// Throws sdk::Failure when there is no room for that.
    explicit KeptFromChildren(int fd);
    ~KeptFromChildren();
    KeptFromChildren(const KeptFromChildren &) = delete;
    KeptFromChildren &operator=(const KeptFromChildren &) = delete;

private:
    const int fd_;
};

/// Nobody forks while this is held, once there is a KeptFromChildren.
[[nodiscard]] std::unique_lock<std::mutex> no_fork();

}  // namespace sansock::verbs
