#include "plugin/library.hpp"

#define BOOST_DLL_USE_STD_FS
#include <boost/dll/shared_library.hpp>
#include <cctype>
#include <cstring>

#include "plugin/elf_file.hpp"

namespace sansock::plugin {
namespace {

std::string contract(std::uint32_t major, std::uint32_t minor) { return std::to_string(major) + "." + std::to_string(minor); }

std::unexpected<Error> wrong_contract(const std::string &who, std::uint32_t major, std::uint32_t minor) {
    return fail(ENOEXEC, who + " was built against contract " + contract(major, minor) + ", this host against " +
                             contract(SANSOCK_ABI_MAJOR, SANSOCK_ABI_MINOR) +
                             " (SDK " SANSOCK_SDK_VERSION "); install a build of the plugin that fits this version of sansock");
}

}  // namespace

struct Library::State {
    std::string name;
    boost::dll::shared_library library;
    const sansock_plugin *entry = nullptr;
};

sansock_error empty_error() {
    sansock_error error{};
    error.size = sizeof error;
    return error;
}

Error plugin_error(std::int32_t status, const std::string &what, const sansock_error &error) {
    std::string reason;
    for (const char c : std::string_view(error.text, ::strnlen(error.text, sizeof error.text))) {
        if (c == '\n') {
            reason += "; ";  // one sentence a line
        } else {
            reason += std::iscntrl(static_cast<unsigned char>(c)) ? ' ' : c;
        }
    }
    if (status >= 0) return {EPROTO, what + " returned " + std::to_string(status) + ", which is no status"};
    if (reason.empty()) reason = sansock_status_name(status);
    return {-status, what + ": " + reason};
}

Library::Library(std::unique_ptr<State> state) : state_(std::move(state)) {}

Library::~Library() { state_->entry->deinit(); }

const std::string &Library::name() const { return state_->name; }

Result<std::unique_ptr<Library>> Library::load(const Manifest &manifest, const sansock_host &services) {
    const std::string who = "plugin '" + manifest.name + "' (" + manifest.library.string() + ")";
    if (manifest.abi_major != SANSOCK_ABI_MAJOR) return wrong_contract(who, manifest.abi_major, manifest.abi_minor);
    if (auto whole = check_shared_library(manifest.library); !whole) return std::unexpected(whole.error());

    auto state = std::make_unique<State>();
    state->name = manifest.name;
    try {
        using namespace boost::dll;
        state->library.load(manifest.library, load_mode::rtld_now | load_mode::rtld_local);
        if (!state->library.has(SANSOCK_PLUGIN_ENTRY_NAME)) {
            return fail(ENOEXEC, who + " exports no symbol " SANSOCK_PLUGIN_ENTRY_NAME "; it is not a sansock plugin");
        }
        state->entry = &state->library.get<const sansock_plugin>(SANSOCK_PLUGIN_ENTRY_NAME);
    } catch (const std::exception &error) {
        return fail(ENOEXEC, who + " cannot be loaded: " + error.what());
    }

    // Nothing but the major number may be read before it is known to be ours.
    const sansock_plugin &entry = *state->entry;
    if (entry.abi_major != SANSOCK_ABI_MAJOR) return wrong_contract(who, entry.abi_major, entry.abi_minor);
    if (entry.init == nullptr || entry.deinit == nullptr || entry.open_provider == nullptr || entry.name == nullptr) {
        return fail(EPROTO, who + " lacks a function or a name in its entry");
    }
    if (entry.name != manifest.name) {
        return fail(EPROTO, who + " calls itself '" + entry.name + "'; the manifest belongs to another library");
    }
    sansock_error error = empty_error();
    if (const std::int32_t status = entry.init(&services, &error); status != SANSOCK_OK) {
        return std::unexpected(plugin_error(status, who + " failed to initialise", error));
    }
    return std::unique_ptr<Library>(new Library(std::move(state)));
}

Result<sansock_provider *> Library::open_provider(const sansock_provider_config &config) const {
    const std::string what = "plugin '" + state_->name + "' cannot open provider " + config.guid;
    sansock_error error = empty_error();
    sansock_provider *provider = nullptr;
    const std::int32_t status = state_->entry->open_provider(&config, &provider, &error);
    if (status != SANSOCK_OK) return std::unexpected(plugin_error(status, what, error));
    if (provider == nullptr || provider->ops == nullptr) return fail(EPROTO, what + ": it returned success and no provider");
    return provider;
}

}  // namespace sansock::plugin
