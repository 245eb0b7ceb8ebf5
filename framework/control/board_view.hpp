// Reads what a process shows of its connections (socket/board.hpp), which may be of another version, or lie.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "socket/board.hpp"

namespace sansock::control {

class BoardView {
public:
    /// Checks the header. Fails with EPROTO where the memory is no board.
    static Result<BoardView> open(UniqueFd fd);

    /// Equal for the boards of one family.
    [[nodiscard]] uint64_t family() const { return inode_; }
    [[nodiscard]] const std::string &version() const { return version_; }
    /// Reads the entries as they are now; false: nothing can be read any more.
    bool refresh();
    /// Gives back what refresh() has read.
    void forget() { count_ = 0, entries_ = {}; }
    [[nodiscard]] uint32_t count() const { return count_; }

    /// Of entry `index` as last read. Absent fields are 0, or empty.
    [[nodiscard]] uint64_t number(uint32_t index, std::string_view field) const;
    [[nodiscard]] std::string text(uint32_t index, std::string_view field) const;
    [[nodiscard]] std::string address(uint32_t index, std::string_view field) const;
    [[nodiscard]] std::vector<uint32_t> numbers(uint32_t index, std::string_view field) const;
    /// The name of a reason's number; empty: none.
    [[nodiscard]] std::string reason(uint64_t number) const;

private:
    explicit BoardView(UniqueFd fd) : fd_(std::move(fd)) {}
    [[nodiscard]] std::string_view bytes(uint32_t index, std::string_view field) const;

    UniqueFd fd_;
    uint64_t inode_ = 0;
    socket::BoardHeader header_{};
    std::string version_;
    uint32_t count_ = 0;
    std::string entries_;
};

}  // namespace sansock::control
