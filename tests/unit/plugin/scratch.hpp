// A folder of its own for a test's manifests and libraries, gone afterwards.
#pragma once
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace sansock::plugin {

class Scratch {
public:
    Scratch() {
        std::string pattern = (std::filesystem::temp_directory_path() / "sansock-plugin-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
        path_ = pattern;
    }
    ~Scratch() { std::filesystem::remove_all(path_); }
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;

    [[nodiscard]] const std::filesystem::path &path() const { return path_; }

    std::filesystem::path write(const std::string &name, const std::string &text) const {
        std::ofstream(path_ / name) << text;
        return path_ / name;
    }

    /// A manifest that is right in everything, with its name and its one GUID as given.
    std::filesystem::path manifest(const std::string &name, const std::string &guid, const std::string &library) const {
        return write(name + ".yaml", "name: " + name + "\nlibrary: " + library +
                                         "\nversion: \"1\"\nabi: \"1.0\"\nvendor: test\ndescription: test\nguids: [" + guid + "]\n");
    }

private:
    std::filesystem::path path_;
};

inline constexpr const char *kGuid = "01234567-89ab-4def-8123-456789abcdef";
inline constexpr const char *kOtherGuid = "11234567-89ab-4def-8123-456789abcdef";

}  // namespace sansock::plugin
