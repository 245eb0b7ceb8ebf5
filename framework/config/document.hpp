// A YAML text as a tree that knows where everything stands.
//
// This is the only place that knows yaml-cpp, and it listens to its events instead of using its nodes: those keep no
// position of a key, drop duplicate keys without a word and expand aliases.
#pragma once
#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "config/diagnostic.hpp"

namespace sansock::config {

struct Member;

struct Node {
    enum class Type { null, scalar, sequence, mapping };

    Type type = Type::null;
    Position position;            ///< A value that is missing stands where its key stands.
    std::string text;             ///< Of a scalar.
    bool quoted = false;          ///< A quoted scalar is text, whatever it looks like.
    std::vector<Node> items;      ///< Of a sequence.
    std::vector<Member> members;  ///< Of a mapping, in the file's order, duplicates included.
};

struct Member {
    Node key;
    Node value;
};

struct Fault {
    Position position;
    std::string text;
};

inline constexpr std::size_t kTextMax = std::size_t{256} << 10;  ///< Bytes. The commented default has 5 KiB.
inline constexpr std::size_t kDepthMax = 32;                     ///< Nested blocks. The settings need 5.

/// Reads a text of one document, in UTF-8, without anchors, aliases and tags. No document at all is a null node.
[[nodiscard]] std::expected<Node, std::vector<Fault>> parse_document(std::string_view text);

/// The node as JSON, which is YAML too. Plain scalars that JSON cannot write as numbers, booleans or null are strings.
/// Everything keeps its line, counted from `first_line` of the document.
[[nodiscard]] std::string to_json(const Node &node, int first_line);

}  // namespace sansock::config
