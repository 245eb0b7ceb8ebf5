#include "plugin/elf_file.hpp"

#include <elf.h>
#include <link.h>

#include <cstring>
#include <fstream>
#include <vector>

namespace sansock::plugin {
namespace {

using Header = ElfW(Ehdr);
using Segment = ElfW(Phdr);

#if defined(__x86_64__)
constexpr auto kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr auto kMachine = EM_AARCH64;
#else
#error "name this machine's ELF number here"
#endif

}  // namespace

Result<void> check_shared_library(const std::filesystem::path &file) {
    std::ifstream in(file, std::ios::binary | std::ios::ate);
    if (!in) return fail(ENOENT, file.string() + ": the library cannot be read: " + std::strerror(errno));
    const auto length = static_cast<std::uint64_t>(in.tellg());
    const auto truncated = [&](std::uint64_t needed) {
        return fail(ENOEXEC, file.string() + ": the library is truncated: " + std::to_string(length) + " of at least " +
                                 std::to_string(needed) + " bytes are there; install it again");
    };

    Header header{};
    if (length < sizeof header) return truncated(sizeof header);
    in.seekg(0).read(reinterpret_cast<char *>(&header), sizeof header);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_type != ET_DYN || header.e_phentsize != sizeof(Segment)) {
        return fail(ENOEXEC, file.string() + ": the file is not a shared library");
    }
    if (header.e_machine != kMachine) {
        return fail(ENOEXEC, file.string() + ": the library was built for another kind of machine (ELF number " +
                                 std::to_string(header.e_machine) + ", this is " + std::to_string(kMachine) + ")");
    }

    std::vector<Segment> segments(header.e_phnum);
    const std::uint64_t table_bytes = segments.size() * sizeof(Segment);
    if (header.e_phoff > length || length - header.e_phoff < table_bytes) return truncated(header.e_phoff + table_bytes);
    in.seekg(static_cast<std::streamoff>(header.e_phoff));
    in.read(reinterpret_cast<char *>(segments.data()), static_cast<std::streamsize>(table_bytes));
    if (!in) return fail(EIO, file.string() + ": the library cannot be read");
    for (const Segment &segment : segments) {
        if (segment.p_type != PT_LOAD) continue;
        if (segment.p_offset > length || length - segment.p_offset < segment.p_filesz) {
            return truncated(segment.p_offset + segment.p_filesz);
        }
    }
    return {};
}

}  // namespace sansock::plugin
