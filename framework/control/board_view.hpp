// Reads what a process shows of its connections (socket/board.hpp), which may be of another version, or lie.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "socket/board.hpp"

namespace sansock::control {

class BoardView {
public:
    /// Checks the header, and takes the descriptor over. Fails with EPROTO where it is no board's; then it is the caller's still.
    static Result<BoardView> open(UniqueFd &fd);

    /// Equal for the boards of one family.
    using Family = std::pair<uint64_t, uint64_t>;  ///< Device and inode.
    [[nodiscard]] Family family() const { return family_; }
    [[nodiscard]] const std::string &version() const { return version_; }
    /// Reads the entries as they are now; false: nothing can be read any more.
    bool refresh();
    /// Gives back what refresh() has read.
    void forget() { count_ = 0, entries_ = {}; }
    [[nodiscard]] uint32_t count() const { return count_; }
    [[nodiscard]] uint64_t bytes_read() const { return entries_.size(); }

    /// Of entry `index` as last read. Absent fields are 0, or empty.
    [[nodiscard]] uint64_t number(uint32_t index, std::string_view field) const;
    [[nodiscard]] std::string text(uint32_t index, std::string_view field) const;
    [[nodiscard]] std::string address(uint32_t index, std::string_view field) const;
    [[nodiscard]] std::vector<uint32_t> numbers(uint32_t index, std::string_view field) const;
    /// The name of a reason's number; empty: none.
    [[nodiscard]] std::string reason(uint64_t number) const;

private:
    BoardView() = default;
    [[nodiscard]] std::string_view bytes(uint32_t index, std::string_view field) const;

    UniqueFd fd_;
    Family family_{};
    socket::BoardHeader header_{};
    std::string version_;
    uint32_t count_ = 0;
    std::string entries_;
};

}  // namespace sansock::control
