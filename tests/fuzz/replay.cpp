// Runs a fuzzer without libFuzzer: its corpus as it stands, and then changes of it that are the same in every run.
//
//     fuzz_NAME CORPUS [RUNS]      RUNS inputs that are changed
//     fuzz_NAME FILE...            these alone, as what libFuzzer builds does
//
// An input that breaks something is left in crash-NAME.
#include <fcntl.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "fuzz.hpp"

namespace {

using Bytes = std::string;

/// xorshift64*: the same numbers with every library.
class Random {
public:
    uint64_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1d;
    }
    size_t below(size_t limit) { return limit == 0 ? 0 : (next() >> 16) % limit; }

private:
    uint64_t state_ = 0x9e3779b97f4a7c15;
};

const char *running_data = nullptr;
size_t running_size = 0;
char crash_file[256];

/// Allowed in a handler: nothing but calls of the kernel.
void keep_crash(int number) {
    const int fd = open(crash_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0 && write(fd, running_data, running_size) == static_cast<ssize_t>(running_size)) {
        static const char kSays[] = "the input is in ";
        (void)!write(STDERR_FILENO, kSays, sizeof kSays - 1);
        (void)!write(STDERR_FILENO, crash_file, std::strlen(crash_file));
        (void)!write(STDERR_FILENO, "\n", 1);
    }
    signal(number, SIG_DFL);
    raise(number);
}

void run(const Bytes &input) {
    // No byte more than there are, so that an access behind the last one is seen where accesses are watched.
    const std::unique_ptr<char[]> exact(new char[input.size()]);
    std::copy(input.begin(), input.end(), exact.get());
    running_data = exact.get();
    running_size = input.size();
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t *>(exact.get()), input.size());
}

Bytes changed(Bytes input, const Bytes &other, Random &random) {
    static constexpr uint64_t kEdges[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, UINT64_MAX};
    for (size_t times = 1 + random.below(5); times > 0; --times) {
        const size_t at = random.below(input.size() + 1), left = input.size() - at;
        switch (random.below(6)) {
            case 0:
                if (left > 0) input[at] = static_cast<char>(random.next());
                break;
            case 1:
                if (left > 0) input[at] = static_cast<char>(input[at] ^ (1 << random.below(8)));
                break;
            case 2: input.erase(at, 1 + random.below(16)); break;
            case 3: input.insert(at, other, random.below(other.size() + 1), 1 + random.below(64)); break;
            case 4: input.insert(at, 1 + random.below(4), static_cast<char>(random.next())); break;
            case 5: {
                const uint64_t edge = kEdges[random.below(std::size(kEdges))];
                const size_t size = size_t{1} << random.below(4);
                if (left >= size) std::memcpy(input.data() + at, &edge, size);
                break;
            }
        }
    }
    return input;
}

Bytes read(const std::filesystem::path &file) {
    std::ifstream in(file, std::ios::binary);
    MUST(in);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

int main(int argc, char **argv) {
    if (argc < 2) return std::fprintf(stderr, "usage: %s CORPUS [RUNS] or FILE...\n", argv[0]), 2;
    std::snprintf(crash_file, sizeof crash_file, "crash-%s", std::filesystem::path(argv[0]).filename().c_str());
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) signal(number, keep_crash);
    if (!std::filesystem::is_directory(argv[1])) {
        for (int i = 1; i < argc; ++i) run(read(argv[i]));
        return 0;
    }
    std::vector<std::filesystem::path> files;
    for (const auto &entry : std::filesystem::directory_iterator(argv[1])) files.push_back(entry.path());
    std::sort(files.begin(), files.end());  // a folder has no order
    std::vector<Bytes> corpus{""};
    for (const auto &file : files) corpus.push_back(read(file));
    for (const Bytes &input : corpus) run(input);
    Random random;
    const long runs = argc > 2 ? std::atol(argv[2]) : 0;
    for (long i = 0; i < runs; ++i) run(changed(corpus[random.below(corpus.size())], corpus[random.below(corpus.size())], random));
    std::printf("%zu inputs of the corpus and %ld changed ones\n", corpus.size(), runs);
}
