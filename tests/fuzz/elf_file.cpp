// A file that is taken for a shared library holds all that the dynamic loader is going to map.
#include "plugin/elf_file.hpp"

#include <elf.h>

#include "fuzz.hpp"

using namespace sansock;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz::Input input(data, size);
    // Up to where segments are told of it is the beginning of a right one.
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_DYN;
    header.e_machine = EM_X86_64;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phoff = input.number(sizeof header);
    header.e_phnum = static_cast<Elf64_Half>(input.number(2));
    if (input.below(8) == 0) input.copy(&header, sizeof header);
    std::string bytes(reinterpret_cast<const char *>(&header), sizeof header);
    bytes.resize(input.below(8) == 0 ? input.below(sizeof header) : sizeof header);
    bytes += input.all();

    const UniqueFd fd = fuzz::memory_file(bytes);
    const auto checked = plugin::check_shared_library(fuzz::path_of(fd));
    if (!checked) {
        MUST(checked.error().code == ENOEXEC && !checked.error().text.empty());
        return 0;
    }
    MUST(bytes.size() >= sizeof header && std::memcmp(bytes.data(), ELFMAG, SELFMAG) == 0);
    std::memcpy(&header, bytes.data(), sizeof header);
    for (size_t i = 0; i < header.e_phnum; ++i) {
        // In numbers that do not overflow.
        const auto at = static_cast<unsigned __int128>(header.e_phoff) + i * sizeof(Elf64_Phdr);
        MUST(at + sizeof(Elf64_Phdr) <= bytes.size());
        Elf64_Phdr segment;
        std::memcpy(&segment, bytes.data() + static_cast<size_t>(at), sizeof segment);
        if (segment.p_type == PT_LOAD) MUST(static_cast<unsigned __int128>(segment.p_offset) + segment.p_filesz <= bytes.size());
    }
    return 0;
}
