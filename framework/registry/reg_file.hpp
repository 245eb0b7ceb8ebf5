// What a .reg file says of Winsock Direct's providers, and on which of its lines.
//
// Under the key `TCP on SAN` (KB924286) each provider has a subkey named by its GUID, with up to two REG_DWORD values. All else that
// a file holds is kept as it stands and means nothing here.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/diagnostic.hpp"
#include "config/guid.hpp"
#include "registry/text.hpp"

namespace sansock::registry {

enum class Setting : uint8_t { send_buffers, receive_buffers };
inline constexpr Setting kSettings[] = {Setting::send_buffers, Setting::receive_buffers};

struct SettingShape {
    std::string_view value;  ///< Its name in the registry.
    std::string_view key;    ///< ... and in the YAML.
    uint32_t min, max, absent;
};
[[nodiscard]] const SettingShape &shape_of(Setting setting);

/// A line that sets or deletes one of a provider's two values.
struct Assignment {
    size_t line = 0;       ///< Index into Text::lines.
    size_t last_line = 0;  ///< Of the value, where it goes on.
    config::Guid guid;
    Setting setting{};
    std::optional<uint32_t> number;         ///< Nothing: deleted, or what is written there is no REG_DWORD.
    size_t digits_at = 0, digits_size = 0;  ///< Where the number stands in the line, written as dword:XXXXXXXX; 0, 0: otherwise.
};

/// A line in brackets.
struct Key {
    size_t line = 0;
    std::optional<config::Guid> guid;  ///< Of the provider whose key it is.
    bool of_all = false;               ///< The key `TCP on SAN` itself.
    bool deletes = false;              ///< With everything below it.
};

struct RegFile {
    std::vector<Key> keys;
    std::vector<Assignment> assignments;
    std::vector<config::Diagnostic> notes;  ///< What is there, and is not taken over.

    struct Values {
        std::optional<uint32_t> send_buffers, receive_buffers;  ///< As written, whether or not it is in the range.

        std::optional<uint32_t> &of(Setting setting) { return setting == Setting::send_buffers ? send_buffers : receive_buffers; }
    };
    /// The providers that are left when all lines have taken effect, one after another, as the registry editor reads them.
    [[nodiscard]] std::map<config::Guid, Values> providers() const;
};

/// What holds for a value: itself, or where it is absent or out of its range the default.
[[nodiscard]] uint32_t effective(Setting setting, std::optional<uint32_t> number);

/// `name` is what notes and errors call the file. Fails with EINVAL, and a place, for what is no .reg file.
[[nodiscard]] std::expected<RegFile, config::Diagnostic> parse(const Text &text, const std::string &name);

/// The key of a provider as the registry editor writes it.
[[nodiscard]] std::string key_of(const config::Guid &guid);

}  // namespace sansock::registry
