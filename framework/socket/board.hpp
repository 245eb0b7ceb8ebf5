// What a process shows of its connections to sansockd: the memory that its family shares them in, which says itself where what lies.
//
// The daemon reads the words that the data path writes anyway, so that showing them costs nothing, and a process that hangs shows them
// as well. Daemon and library may be of different versions: a field has a name, and whoever looks for one that is not there goes
// without it. The header and the meaning of a name never change; a field with another meaning has another name.
#pragma once
#include <cstdint>

namespace sansock::socket {

inline constexpr uint64_t kBoardMagic = 0x3164'7261'6f42'6e73;  // "snBoard1"
inline constexpr uint32_t kBoardFieldsMax = 40, kBoardReasonsMax = 64;
inline constexpr uint32_t kBoardHeaderSize = 8192;
/// How the arrays `sizes` and `sleeps` count: messages of up to 64 bytes, of up to four times as many, and so on, the last of all that are
/// longer; sleeps of up to 10 microseconds, of ten times as long, and so on.
inline constexpr uint32_t kBoardSizes = 9, kBoardSleeps = 8;

/// A word of each row, little-endian like the machine; an array of such words; or text that ends with a zero byte.
struct BoardField {
    char name[24];
    uint32_t offset;  ///< In the row.
    uint32_t size;    ///< 1, 2, 4 or 8 bytes; more: an array, text, or an address as sockaddr_in6, as the name says.
};

struct BoardTable {
    uint32_t used_at;  ///< Where in the board the count of rows that were ever used lies, 4 bytes.
    uint32_t rows_at, row_size, rows_max;
    uint32_t fields;
    BoardField field[kBoardFieldsMax];
};

struct BoardHeader {
    uint64_t magic;
    char version[32];  ///< Of the library.
    BoardTable connections;
    BoardTable totals;     ///< One row: what the family has done.
    BoardTable providers;  ///< Likewise, by provider.
    uint32_t reasons;
    char reason[kBoardReasonsMax][24];  ///< Names of the numbers in the field `reason`; empty: none.
};
static_assert(sizeof(BoardHeader) <= kBoardHeaderSize);

/// Where in the board that is, in bytes from the header.
struct BoardPlaces {
    uint32_t used, connections, tally;
};
void describe_board(BoardHeader &header, const BoardPlaces &places);

}  // namespace sansock::socket
