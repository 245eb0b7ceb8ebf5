#include "kernel.hpp"

#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <unistd.h>

namespace sansock::plugins {
namespace {

detail::SystemCall find_system_call() noexcept {
    void *const libc = ::dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
    void *const found = libc == nullptr ? nullptr : ::dlsym(libc, "syscall");
    if (libc != nullptr) ::dlclose(libc);
    return found == nullptr ? &::syscall : reinterpret_cast<detail::SystemCall>(found);
}

}  // namespace

const detail::SystemCall detail::system_call = find_system_call();

}  // namespace sansock::plugins
