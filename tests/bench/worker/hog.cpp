// Load beside a measurement.
#include <unistd.h>

#include <cstdint>
#include <thread>

#include "roles.hpp"

namespace bench {

void hog() {
    std::thread([] {
        char byte;
        while (read(STDIN_FILENO, &byte, 1) > 0) {
        }
        _exit(0);
    }).detach();
    for (volatile std::uint64_t work = 0;;) work = work + 1;
}

}  // namespace bench
