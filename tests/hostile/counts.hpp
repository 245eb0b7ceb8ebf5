// What one end of a connection has sent and read, in a file that outlives it.
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace sansock::hostile {

/// Bytes that send() has taken, and bytes read.
struct Counts {
    std::atomic<uint64_t> sent{0}, received{0};
};

/// nullptr: that failed.
inline Counts *mapped_counts(const char *path) {
    const int file = open(path, O_RDWR | O_CLOEXEC);
    void *memory = mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return memory == MAP_FAILED ? nullptr : static_cast<Counts *>(memory);
}

/// For a test that reads them: a file of its own.
class CountsFile {
public:
    CountsFile() {
        char name[] = "/tmp/sansock-counts-XXXXXX";
        const int file = mkstemp(name);
        path_ = name;
        if (ftruncate(file, sizeof(Counts)) != 0) std::abort();
        close(file);
        counts_ = mapped_counts(name);
    }
    ~CountsFile() {
        munmap(counts_, sizeof(Counts));
        unlink(path_.c_str());
    }
    CountsFile(const CountsFile &) = delete;
    CountsFile &operator=(const CountsFile &) = delete;
    [[nodiscard]] const std::string &path() const { return path_; }
    [[nodiscard]] uint64_t sent() const { return counts_->sent; }
    [[nodiscard]] uint64_t received() const { return counts_->received; }

private:
    std::string path_;
    Counts *counts_;
};

}  // namespace sansock::hostile
