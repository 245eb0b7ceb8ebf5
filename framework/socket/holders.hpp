// Which processes hold a connection's socket: fork adds one, the last close and the end of a process take one away.
//
// A list, not a count, because processes are killed: whoever wants to know whether it is the last asks the kernel which of the others
// still live. A number that the kernel has given to a new process meanwhile counts as alive, which costs a slot, never a byte.
#pragma once
#include <cstddef>

#include "base/family_lock.hpp"

namespace sansock::socket {

class Holders {
public:
    /// A child that a fork is about to make, as long as its number is not known: by the number of the fork.
    static uint32_t unborn(uint32_t fork) { return kUnborn | fork; }

    /// Nothing happens when it is listed already.
    void add(uint32_t who);
    /// Nothing happens when `from` is not listed.
    void replace(uint32_t from, uint32_t to);
    void remove(uint32_t who);
    /// False: nobody else holds the socket, and `who` stays listed, for it has to take the connection apart.
    bool let_go(uint32_t who);
    /// Everybody who held the socket is dead; from now on `who` is listed, so that one alone takes the connection apart.
    [[nodiscard]] bool claim(uint32_t who);
    /// From now on nobody can know that it is the last.
    void crowd();
    [[nodiscard]] bool has(uint32_t who);
    /// True when `who` holds the socket and nobody else does.
    [[nodiscard]] bool only(uint32_t who);

    /// Where the numbers of processes lie, for who reads the memory from outside; 0 and those above kUnborn are none.
    static constexpr uint32_t list_at() { return offsetof(Holders, list_); }
    static constexpr uint32_t list_size() { return sizeof(list_); }

private:
    static constexpr uint32_t kMax = 8;
    static constexpr uint32_t kUnborn = 0x8000'0000u;

    /// How many of those listed live, as `who` does who asks; the dead are struck off.
    uint32_t count(uint32_t who);
    uint32_t *find(uint32_t who);

    FamilyLock lock_;
    bool crowded_ = false;  ///< There were more than kMax, or some whom we cannot see: nobody will ever know that it is the last.
    uint32_t list_[kMax] = {};
};

}  // namespace sansock::socket
