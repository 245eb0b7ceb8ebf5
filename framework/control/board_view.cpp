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

constexpr uint32_t kEntrySizeMin = 256, kEntrySizeMax = 64 * 1024, kEntriesMax = 65536;
/// All entries of a process together; one that shows more shows only the first of them.
constexpr uint64_t kBytesMax = uint64_t{128} << 20;

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

bool is_sound(const BoardHeader &header) {
    if (header.magic != socket::kBoardMagic || header.fields > socket::kBoardFieldsMax || header.reasons > socket::kBoardReasonsMax)
        return false;
    if (header.entry_size < kEntrySizeMin || header.entry_size > kEntrySizeMax || header.entries_max > kEntriesMax) return false;
    return std::all_of(header.field, header.field + header.fields, [&](const BoardField &field) {
        return field.size > 0 && uint64_t{field.offset} + field.size <= header.entry_size &&
               memchr(field.name, '\0', sizeof field.name) != nullptr;
    });
}

}  // namespace

Result<BoardView> BoardView::open(UniqueFd &fd) {
    BoardView view;
    // Which a file system in user space does not get to see: of that any process could let us wait for ever.
    if (fcntl(fd.get(), F_GET_SEALS) < 0) return fail(EPROTO, "what it shows is no memory");
    struct stat status {};
    if (fstat(fd.get(), &status) != 0) return fail_errno("cannot look at the board");
    if (!S_ISREG(status.st_mode) || !read_exactly(fd.get(), &view.header_, sizeof view.header_, 0) || !is_sound(view.header_))
        return fail(EPROTO, "what it shows is no board");
    view.family_ = {status.st_dev, status.st_ino};
    view.version_ = text_of(view.header_.version);
    view.fd_ = std::move(fd);
    return view;
}

bool BoardView::refresh() {
    uint32_t used = 0;
    if (!read_exactly(fd_.get(), &used, sizeof used, header_.used_at)) return false;
    count_ = std::min({used, header_.entries_max, static_cast<uint32_t>(kBytesMax / header_.entry_size)});
    entries_.resize(size_t{count_} * header_.entry_size);
    return read_exactly(fd_.get(), entries_.data(), entries_.size(), header_.entries_at);
}

std::string_view BoardView::bytes(uint32_t index, std::string_view name) const {
    const BoardField *const end = header_.field + header_.fields;
    const BoardField *const field = std::find_if(header_.field, end, [&](const BoardField &one) { return name == one.name; });
    if (field == end || index >= count_) return {};
    return std::string_view(entries_).substr(size_t{index} * header_.entry_size + field->offset, field->size);
}

uint64_t BoardView::number(uint32_t index, std::string_view field) const {
    const std::string_view from = bytes(index, field);
    uint64_t number = 0;
    if (from.size() <= sizeof number) std::memcpy(&number, from.data(), from.size());
    return number;
}

std::string BoardView::text(uint32_t index, std::string_view field) const {
    const std::string_view from = bytes(index, field);
    return printable(from.substr(0, from.find('\0')));
}

std::vector<uint32_t> BoardView::numbers(uint32_t index, std::string_view field) const {
    const std::string_view from = bytes(index, field);
    std::vector<uint32_t> found(from.size() / sizeof(uint32_t));
    std::memcpy(found.data(), from.data(), found.size() * sizeof(uint32_t));
    return found;
}

std::string BoardView::address(uint32_t index, std::string_view field) const {
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

std::string BoardView::reason(uint64_t number) const { return number < header_.reasons ? text_of(header_.reason[number]) : std::string(); }

}  // namespace sansock::control
