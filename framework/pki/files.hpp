// Files of keys and certificates: never half written, never with more readers than they are for.
#pragma once
#include <string>
#include <vector>

#include "base/result.hpp"

namespace sansock::pki {

constexpr unsigned kPublicMode = 0644, kSecretMode = 0600;

enum class Existing { kRefuse, kReplace };

/// One file that is to be written.
struct NewFile {
    std::string path, bytes;
    unsigned mode = kPublicMode;
};

/// The whole file, of at most a mebibyte. A secret one that everybody may read, or that its group may write, is refused.
[[nodiscard]] Result<std::string> read_file(const std::string &path, bool secret = false);

/// Each file is there in full under its name or is not, also after a crash. With kRefuse none is written where one of them exists.
[[nodiscard]] Result<void> write_files(const std::vector<NewFile> &files, Existing existing);

/// Makes a directory that only its owner may look into, if it is not there.
[[nodiscard]] Result<void> make_directory(const std::string &path);

}  // namespace sansock::pki
