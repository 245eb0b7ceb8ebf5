// What a process shows of its connections to sansockd: the memory that its family shares them in, which says itself where what lies.
//
// The daemon reads the words that the data path writes anyway, so that showing them costs nothing, and a process that hangs shows them
// as well. Daemon and library may be of different versions: a field has a name, and whoever looks for one that is not there goes
// without it. The header and the meaning of a name never change; a field with another meaning has another name.
#pragma once
#include <cstdint>

namespace sansock::socket {

inline constexpr uint64_t kBoardMagic = 0x3164'7261'6f42'6e73;  // "snBoard1"
inline constexpr uint32_t kBoardFieldsMax = 64, kBoardReasonsMax = 64;
inline constexpr uint32_t kBoardHeaderSize = 8192;

/// A word of each connection, little-endian like the machine, or text that ends with a zero byte.
struct BoardField {
    char name[24];
    uint32_t offset;  ///< In a connection's entry.
    uint32_t size;    ///< 1, 2, 4 or 8 bytes; more: text, or an address as sockaddr_in6.
};

struct BoardHeader {
    uint64_t magic;
    uint32_t fields, reasons;
    uint32_t used_at;  ///< Where in the board the count of entries that were ever used lies, 4 bytes.
    uint32_t entries_at, entry_size, entries_max;
    char version[32];  ///< Of the library.
    BoardField field[kBoardFieldsMax];
    char reason[kBoardReasonsMax][24];  ///< Names of the numbers in the field `reason`; empty: none.
};
static_assert(sizeof(BoardHeader) <= kBoardHeaderSize);

/// `used_at` and `entries_at` count from the header.
void describe_board(BoardHeader &header, uint64_t used_at, uint64_t entries_at);

}  // namespace sansock::socket
