// Reads what a process shows of its connections (socket/board.hpp), which may be of another version, or lie.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "socket/board.hpp"

namespace sansock::control {

/// The rows of one of its tables, as they were when they were read last.
class BoardRows {
public:
    [[nodiscard]] uint32_t count() const { return count_; }

    /// nullptr: this version has none of that name.
    [[nodiscard]] const socket::BoardField *find(std::string_view field) const;

    /// Of row `index`. Absent fields are 0, or empty.
    [[nodiscard]] uint64_t number(uint32_t index, const socket::BoardField *field) const;
    [[nodiscard]] uint64_t number(uint32_t index, std::string_view field) const;
    [[nodiscard]] std::string text(uint32_t index, std::string_view field) const;
    [[nodiscard]] std::string address(uint32_t index, std::string_view field) const;
    /// Arrays of 4, or 8, bytes each.
    [[nodiscard]] std::vector<uint32_t> numbers(uint32_t index, std::string_view field) const;
    [[nodiscard]] std::vector<uint64_t> counts(uint32_t index, std::string_view field) const;

private:
    friend class BoardView;
    bool refresh(int fd, const socket::BoardTable &table, uint64_t bytes_max);
    void forget() { count_ = 0, bytes_ = {}; }
    [[nodiscard]] std::string_view bytes(uint32_t index, std::string_view field) const { return bytes(index, find(field)); }
    [[nodiscard]] std::string_view bytes(uint32_t index, const socket::BoardField *field) const;
    template <class Word>
    [[nodiscard]] std::vector<Word> words(uint32_t index, std::string_view field) const;

    const socket::BoardTable *table_ = nullptr;
    uint32_t count_ = 0;
    std::string bytes_;
};

class BoardView {
public:
    /// Checks the header, and takes the descriptor over. Fails with EPROTO where it is no board's; then it is the caller's still.
    static Result<std::unique_ptr<BoardView>> open(UniqueFd &fd);
    BoardView(const BoardView &) = delete;
    BoardView &operator=(const BoardView &) = delete;

    /// Equal for the boards of one family.
    using Family = std::pair<uint64_t, uint64_t>;  ///< Device and inode.
    [[nodiscard]] Family family() const { return family_; }
    [[nodiscard]] const std::string &version() const { return version_; }
    /// All rows of a table; of one that has more only the first are read.
    static constexpr uint64_t kBytesMax = uint64_t{128} << 20;
    /// Reads all rows as they are now, at most so much of connections; false: nothing can be read any more, and nothing is kept.
    bool refresh(uint64_t connections_max = kBytesMax);
    /// Gives back what refresh() has read.
    void forget();
    [[nodiscard]] uint64_t bytes_read() const;

    BoardRows connections, totals, providers;

    /// The name of a reason's number; empty: none.
    [[nodiscard]] std::string reason(uint64_t number) const;

private:
    BoardView() = default;

    UniqueFd fd_;
    Family family_{};
    socket::BoardHeader header_{};
    std::string version_;
};

}  // namespace sansock::control
