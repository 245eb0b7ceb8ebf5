#include "figures.hpp"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "transport.hpp"

// glibc lets a program put its own functions before its allocator's; those of the libraries in the process come here
// too.
extern "C" {
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static std::atomic<std::uint64_t> allocations{0};

void *malloc(size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_calloc(count, size);
}
void *realloc(void *memory, size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_realloc(memory, size);
}
}

namespace bench {
namespace {

/// Without stdio, which would allocate.
std::uint64_t proportional_set_size() {
    char text[2048];
    const int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    const ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0) close(fd);
    const std::string_view all(text, size > 0 ? static_cast<std::size_t>(size) : 0);
    const auto at = all.find("\nPss:");
    if (at == std::string_view::npos) return 0;
    const auto digits = all.find_first_of("0123456789", at);
    std::uint64_t kib = 0;
    if (digits != std::string_view::npos) std::from_chars(all.data() + digits, all.data() + all.size(), kib);
    return kib * 1024;
}

}  // namespace

Figures own_figures(Asked asked) {
    timespec cpu{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return {static_cast<std::uint64_t>(cpu.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(cpu.tv_nsec),
            asked == kAll ? proportional_set_size() : 0, allocations.load(std::memory_order_relaxed)};
}

Figures figures_over(int fd, Asked asked) {
    Figures figures{};
    const std::byte question{asked};
    send_all(fd, std::span(&question, 1));
    if (!receive_all(fd, bytes_of(figures))) fail("the server went away");
    return figures;
}

double Durations::percentile_us(double share) {
    if (values_.empty()) return 0;
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(values_.size())));
    const auto at = values_.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
    std::ranges::nth_element(values_, at);
    return static_cast<double>(*at) / 1000;
}

Line::Line(const std::string &name) : text_("{\"case\": \"" + name + "\"") {}

Line &Line::add(const char *name, double value) {
    char figure[96];
    std::snprintf(figure, sizeof figure, ", \"%s\": %.6g", name, value);
    text_ += figure;
    return *this;
}

void Line::print() const {
    std::printf("%s}\n", text_.c_str());
    std::fflush(stdout);
}

}  // namespace bench
