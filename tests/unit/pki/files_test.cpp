#include "pki/files.hpp"

#include <sys/stat.h>

#include "scratch.hpp"

namespace sansock::pki {
namespace {

class FilesTest : public Scratch {
protected:
    static unsigned mode_of(const std::string &path) {
        struct stat is {};
        return stat(path.c_str(), &is) == 0 ? is.st_mode & 07777 : 0;
    }
    [[nodiscard]] size_t count() const {
        return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_), std::filesystem::directory_iterator()));
    }
};

TEST_F(FilesTest, HaveTheirModeWhateverTheMask) {
    const mode_t before = umask(0);
    ASSERT_TRUE(write_files({{file("key"), "secret", kSecretMode}, {file("pem"), "public"}}, Existing::kRefuse));
    umask(before);
    EXPECT_EQ(mode_of(file("key")), 0600u);
    EXPECT_EQ(mode_of(file("pem")), 0644u);
    EXPECT_EQ(count(), 2u) << "nothing else stays";
}

TEST_F(FilesTest, AreAllRefusedForOne) {
    write(file("second"), "before");
    EXPECT_EQ(write_files({{file("first"), "a"}, {file("second"), "b"}}, Existing::kRefuse).error().code, EEXIST);
    EXPECT_EQ(read(file("second")), "before");
    EXPECT_EQ(count(), 1u);
}

TEST_F(FilesTest, AreReplacedWholeAndNotFollowed) {
    write(file("elsewhere"), "untouched");
    std::filesystem::create_symlink(file("elsewhere"), file("link"));
    ASSERT_TRUE(write_files({{file("link"), "new", kSecretMode}}, Existing::kReplace));
    EXPECT_EQ(read(file("elsewhere")), "untouched");
    EXPECT_EQ(read(file("link")), "new");
    EXPECT_EQ(mode_of(file("link")), 0600u);
}

TEST_F(FilesTest, WithASecretAreReadByFew) {
    write(file("key"), "secret");
    for (const unsigned right : {0600u, 0400u, 0640u}) {
        ASSERT_EQ(chmod(file("key").c_str(), right), 0);
        EXPECT_TRUE(read_file(file("key"), true)) << right;
    }
    for (const unsigned wrong : {0644u, 0604u, 0660u, 0602u}) {
        ASSERT_EQ(chmod(file("key").c_str(), wrong), 0);
        EXPECT_EQ(read_file(file("key"), true).error().code, EPERM) << wrong;
        EXPECT_TRUE(read_file(file("key"))) << wrong;
    }
}

TEST_F(FilesTest, AreFilesOfSomeSize) {
    EXPECT_EQ(read_file(file("none")).error().code, ENOENT);
    EXPECT_EQ(read_file(directory_).error().code, EINVAL);
    ASSERT_EQ(mkfifo(file("pipe").c_str(), 0600), 0);
    EXPECT_EQ(read_file(file("pipe")).error().code, EINVAL) << "and nobody waits for its other end";
    write(file("large"), std::string((1 << 20) + 1, 'x'));
    EXPECT_EQ(read_file(file("large")).error().code, EFBIG);
}

}  // namespace
}  // namespace sansock::pki
