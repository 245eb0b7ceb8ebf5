// One loaded plugin: mapped, of the right contract, initialised. Undone in the reverse order at the end of its life.
#pragma once
#include <sansock/sdk/entry.h>

#include <memory>
#include <vector>

#include "base/result.hpp"
#include "plugin/manifest.hpp"

namespace sansock::plugin {

class Library {
public:
    /// Loads, compares the contract, calls init. `services` is lent to the plugin and must outlive the library.
    [[nodiscard]] static Result<std::unique_ptr<Library>> load(const Manifest &manifest, const sansock_host &services);
    ~Library();

    /// What the manifest calls it.
    [[nodiscard]] const std::string &name() const;
    [[nodiscard]] Result<sansock_provider *> open_provider(const sansock_provider_config &config) const;

private:
    struct State;
    explicit Library(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

/// The error of a plugin's call: status, name, and the reason that the plugin wrote, made safe to print.
[[nodiscard]] Error plugin_error(std::int32_t status, const std::string &what, const sansock_error &error);

/// An empty error for a plugin to write into.
[[nodiscard]] sansock_error empty_error();

}  // namespace sansock::plugin
