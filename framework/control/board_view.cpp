#include "control/board_view.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/printable.hpp"

namespace sansock::control {
namespace {

using socket::BoardField;
using socket::BoardHeader;
using socket::BoardTable;

/// Rows that are read by the ten thousand are not many times more when they are read than where they lie.
constexpr uint32_t kConnectionSizeMin = 256, kRowSizeMin = 16, kRowSizeMax = 64 * 1024, kConnectionsMax = 65536;
constexpr uint32_t kProvidersMax = 256, kTotalsMax = 1;

template <size_t size>
std::string text_of(const char (&from)[size]) {
    return printable({from, strnlen(from, size)});
}

/// Nothing but what pread() has copied is looked at, so that no process can change it afterwards.
bool read_exactly(int fd, void *to, size_t size, uint64_t offset) {
    auto *bytes = static_cast<char *>(to);
    while (size > 0) {
        const ssize_t got = pread(fd, bytes, size, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        bytes += got;
        size -= static_cast<size_t>(got);
        offset += static_cast<uint64_t>(got);
    }
    return true;
}

bool is_sound(const BoardTable &table, uint32_t rows_max, uint32_t row_size_min = kRowSizeMin) {
    if (table.fields > socket::kBoardFieldsMax || table.row_size > kRowSizeMax || table.rows_max > rows_max) return false;
    if (table.row_size < row_size_min && table.rows_max != 0) return false;
    return std::all_of(table.field, table.field + table.fields, [&](const BoardField &field) {
        return field.size > 0 && uint64_t{field.offset} + field.size <= table.row_size &&
               memchr(field.name, '\0', sizeof field.name) != nullptr;
    });
}

bool is_sound(const BoardHeader &header) {
    return header.magic == socket::kBoardMagic && header.reasons <= socket::kBoardReasonsMax &&
           is_sound(header.connections, kConnectionsMax, kConnectionSizeMin) && is_sound(header.totals, kTotalsMax) &&
           is_sound(header.providers, kProvidersMax);
}

}  // namespace

Result<std::unique_ptr<BoardView>> BoardView::open(UniqueFd &fd) {
    std::unique_ptr<BoardView> view(new BoardView);
    // Which a file system in user space does not get to see: of that any process could let us wait for ever.
    if (fcntl(fd.get(), F_GET_SEALS) < 0) return fail(EPROTO, "what it shows is no memory");
    struct stat status {};
    if (fstat(fd.get(), &status) != 0) return fail_errno("cannot look at the board");
    if (!S_ISREG(status.st_mode) || !read_exactly(fd.get(), &view->header_, sizeof view->header_, 0) || !is_sound(view->header_))
        return fail(EPROTO, "what it shows is no board");
    view->family_ = {status.st_dev, status.st_ino};
    view->version_ = text_of(view->header_.version);
    view->fd_ = std::move(fd);
    return view;
}

/// Connections last: one whose place is given away meanwhile is missed then, not seen twice.
bool BoardView::refresh(uint64_t connections_max) {
    if (totals.refresh(fd_.get(), header_.totals, kBytesMax) && providers.refresh(fd_.get(), header_.providers, kBytesMax) &&
        connections.refresh(fd_.get(), header_.connections, connections_max))
        return true;
    forget();
    return false;
}

void BoardView::forget() {
    connections.forget();
    totals.forget();
    providers.forget();
}

uint64_t BoardView::bytes_read() const { return connections.bytes_.size() + totals.bytes_.size() + providers.bytes_.size(); }

std::string BoardView::reason(uint64_t number) const { return number < header_.reasons ? text_of(header_.reason[number]) : std::string(); }

bool BoardRows::refresh(int fd, const BoardTable &table, uint64_t bytes_max) {
    forget();
    if (table.rows_max == 0) return true;
    uint32_t used = 0;
    if (!read_exactly(fd, &used, sizeof used, table.used_at)) return false;
    table_ = &table;
    count_ = std::min({used, table.rows_max, static_cast<uint32_t>(bytes_max / table.row_size)});
    bytes_.resize(size_t{count_} * table.row_size);
    return read_exactly(fd, bytes_.data(), bytes_.size(), table.rows_at);
}

const BoardField *BoardRows::find(std::string_view name) const {
    if (count_ == 0) return nullptr;
    const BoardField *const end = table_->field + table_->fields;
    const BoardField *const field = std::find_if(table_->field, end, [&](const BoardField &one) { return name == one.name; });
    return field == end ? nullptr : field;
}

std::string_view BoardRows::bytes(uint32_t index, const BoardField *field) const {
    if (index >= count_ || field == nullptr) return {};
    return std::string_view(bytes_).substr(size_t{index} * table_->row_size + field->offset, field->size);
}

uint64_t BoardRows::number(uint32_t index, const BoardField *field) const {
    const std::string_view from = bytes(index, field);
    uint64_t number = 0;
    if (!from.empty() && from.size() <= sizeof number) std::memcpy(&number, from.data(), from.size());
    return number;
}

uint64_t BoardRows::number(uint32_t index, std::string_view field) const { return number(index, find(field)); }

std::string BoardRows::text(uint32_t index, std::string_view field) const {
    const std::string_view from = bytes(index, field);
    return printable(from.substr(0, from.find('\0')));
}

template <class Word>
std::vector<Word> BoardRows::words(uint32_t index, std::string_view field) const {
    const std::string_view from = bytes(index, field);
    std::vector<Word> found(from.size() / sizeof(Word));
    if (!found.empty()) std::memcpy(found.data(), from.data(), found.size() * sizeof(Word));
    return found;
}

std::vector<uint32_t> BoardRows::numbers(uint32_t index, std::string_view field) const { return words<uint32_t>(index, field); }
std::vector<uint64_t> BoardRows::counts(uint32_t index, std::string_view field) const { return words<uint64_t>(index, field); }

std::string BoardRows::address(uint32_t index, std::string_view field) const {
    const std::string_view from = bytes(index, field);
    sockaddr_in6 address{};
    if (from.size() != sizeof address) return {};
    std::memcpy(&address, from.data(), sizeof address);
    if (address.sin6_family != AF_INET6) return {};
    char text[INET6_ADDRSTRLEN] = "";
    const bool mapped = IN6_IS_ADDR_V4MAPPED(&address.sin6_addr);
    inet_ntop(mapped ? AF_INET : AF_INET6, mapped ? &address.sin6_addr.s6_addr[12] : address.sin6_addr.s6_addr, text, sizeof text);
    return mapped ? fmt::format("{}:{}", text, ntohs(address.sin6_port)) : fmt::format("[{}]:{}", text, ntohs(address.sin6_port));
}

}  // namespace sansock::control
