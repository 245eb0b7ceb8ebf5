#include "plugin/manifest.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace sansock::plugin {
namespace {

/// A fault at a place in the file; caught at the end of this file.
struct Fault {
    YAML::Mark mark;
    std::string text;
};

std::string text_of(const YAML::Node &node, std::string_view key) {
    if (!node.IsScalar() || node.Scalar().empty()) {
        throw Fault{node.Mark(), std::string(key) + " must be a text that is not empty"};
    }
    return node.Scalar();
}

bool is_canonical_guid(std::string_view text) {
    if (text.size() != 36) return false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const bool dash = at == 8 || at == 13 || at == 18 || at == 23;
        const char c = text[at];
        const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (dash ? c != '-' : !digit) return false;
    }
    return true;
}

std::vector<std::string> guids_of(const YAML::Node &node) {
    if (!node.IsSequence()) throw Fault{node.Mark(), "guids must be a list"};
    std::vector<std::string> guids;
    for (const YAML::Node &item : node) {
        std::string guid = text_of(item, "a GUID");
        if (!is_canonical_guid(guid)) {
            throw Fault{item.Mark(), "'" + guid +
                                         "' is not a canonical GUID; write 36 characters in lower case, such as "
                                         "01234567-89ab-cdef-0123-456789abcdef"};
        }
        if (std::ranges::find(guids, guid) != guids.end()) throw Fault{item.Mark(), "GUID " + guid + " is declared twice"};
        guids.push_back(std::move(guid));
    }
    return guids;
}

void read_abi(const YAML::Node &node, Manifest &manifest) {
    const std::string text = text_of(node, "abi");
    const char *const end = text.data() + text.size();
    const auto major = std::from_chars(text.data(), end, manifest.abi_major);
    if (major.ec == std::errc() && major.ptr != end && *major.ptr == '.') {
        const auto minor = std::from_chars(major.ptr + 1, end, manifest.abi_minor);
        if (minor.ec == std::errc() && minor.ptr == end) return;
    }
    throw Fault{node.Mark(), "abi is '" + text + "'; write the contract's major and minor number, such as \"1.0\""};
}

void read_member(const std::string &key, const YAML::Node &value, const YAML::Mark &mark, Manifest &manifest) {
    if (key == "name") {
        manifest.name = text_of(value, key);
    } else if (key == "library") {
        const std::filesystem::path library = text_of(value, key);
        if (library.has_parent_path()) {
            throw Fault{value.Mark(), "library must be a file name without directories: it lies beside the manifest"};
        }
        manifest.library = manifest.file.parent_path() / library;
    } else if (key == "version") {
        manifest.version = text_of(value, key);
    } else if (key == "abi") {
        read_abi(value, manifest);
    } else if (key == "vendor") {
        manifest.vendor = text_of(value, key);
    } else if (key == "description") {
        manifest.description = text_of(value, key);
    } else if (key == "guids") {
        manifest.guids = guids_of(value);
    } else {
        throw Fault{mark, "unknown key '" + key + "'; known are name, library, version, abi, vendor, description and guids"};
    }
}

Manifest parse(const std::filesystem::path &file) {
    const YAML::Node root = YAML::LoadFile(file.string());
    if (!root.IsMap()) throw Fault{root.Mark(), "a manifest must be a mapping of keys to values"};
    Manifest manifest;
    manifest.file = file;
    std::vector<std::string> seen;
    for (const auto &member : root) {
        const YAML::Node &key_node = member.first;
        const std::string key = text_of(key_node, "a key");
        if (std::ranges::find(seen, key) != seen.end()) throw Fault{key_node.Mark(), "key '" + key + "' is given twice"};
        read_member(key, member.second, key_node.Mark(), manifest);
        seen.push_back(key);
    }
    for (const char *key : {"name", "library", "version", "abi", "vendor", "description", "guids"}) {
        if (std::ranges::find(seen, key) == seen.end()) throw Fault{root.Mark(), std::string("key '") + key + "' is missing"};
    }
    return manifest;
}

std::unexpected<Error> fault_at(const std::filesystem::path &file, const YAML::Mark &mark, const std::string &text) {
    // A file that says nothing has no place in it.
    const int line = mark.is_null() ? 1 : mark.line + 1, column = mark.is_null() ? 1 : mark.column + 1;
    return fail(EINVAL, file.string() + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + text);
}

}  // namespace

Result<Manifest> read_manifest(const std::filesystem::path &file) {
    try {
        return parse(std::filesystem::absolute(file));
    } catch (const Fault &fault) {
        return fault_at(file, fault.mark, fault.text);
    } catch (const YAML::BadFile &) {
        return fail(ENOENT, file.string() + ": cannot be read");
    } catch (const YAML::Exception &error) {
        return fault_at(file, error.mark, error.msg);
    } catch (const std::filesystem::filesystem_error &error) {
        return fail(error.code().value(), file.string() + ": " + error.code().message());
    }
}

}  // namespace sansock::plugin
