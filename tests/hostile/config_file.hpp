// A configuration that a test writes itself.
#pragma once
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace sansock::hostile {

inline constexpr const char *kMemory = "41f96c03-1cad-4222-9c2b-682b71c6a8f0";
inline constexpr const char *kOtherMemory = "c0ffee00-5eed-4000-8000-000000000002";

class ConfigFile {
public:
    explicit ConfigFile(const std::string &yaml) {
        char name[] = "/tmp/sansock-config-XXXXXX";
        folder_ = mkdtemp(name);
        chmod(name, 0755);
        std::ofstream(path()) << yaml;
    }
    ~ConfigFile() { std::filesystem::remove_all(folder_); }
    ConfigFile(const ConfigFile &) = delete;
    ConfigFile &operator=(const ConfigFile &) = delete;
    [[nodiscard]] std::string path() const { return folder_ + "/config.yaml"; }
    /// Another file beside it.
    [[nodiscard]] std::string beside(const std::string &name) const { return folder_ + "/" + name; }

private:
    std::string folder_;
};

}  // namespace sansock::hostile
