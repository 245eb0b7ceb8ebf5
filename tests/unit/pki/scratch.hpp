// A directory for a test.
#pragma once
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace sansock::pki {

class Scratch : public ::testing::Test {
protected:
    Scratch() {
        std::string name = std::filesystem::temp_directory_path() / "sansock-pki-XXXXXX";
        directory_ = mkdtemp(name.data());
    }
    ~Scratch() override { std::filesystem::remove_all(directory_); }

    [[nodiscard]] std::string file(const std::string &name) const { return directory_ + "/" + name; }
    static void write(const std::string &path, const std::string &bytes) { std::ofstream(path, std::ios::binary) << bytes; }
    static std::string read(const std::string &path) {
        std::ifstream in(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    std::string directory_;
};

}  // namespace sansock::pki
