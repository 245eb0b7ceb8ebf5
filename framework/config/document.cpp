#include "config/document.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>

namespace sansock::config {
namespace {

Position position_of(const YAML::Mark &mark) { return mark.is_null() ? Position{} : Position{mark.line + 1, mark.column + 1}; }

/// Puts events together to a tree. What makes the tree impossible to trust is collected as faults.
class TreeBuilder : public YAML::EventHandler {
public:
    [[nodiscard]] Node &root() { return root_; }
    [[nodiscard]] std::vector<Fault> &faults() { return faults_; }

    void OnDocumentStart(const YAML::Mark &mark) override {
        if (++documents_ > 1) faults_.push_back({position_of(mark), "more text behind the end of the document; allowed: one document"});
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark &mark, YAML::anchor_t anchor) override {
        check(mark, "", anchor);
        Node node{.type = Node::Type::null, .position = position_of(mark)};
        // yaml-cpp names the token that follows, which may be lines away.
        if (!open_.empty() && open_.back().key) node.position = open_.back().key->position;
        add(std::move(node));
    }

    void OnAlias(const YAML::Mark &mark, YAML::anchor_t) override {
        faults_.push_back({position_of(mark), "an alias; allowed: the value itself, written out"});
        add({.type = Node::Type::null, .position = position_of(mark)});
    }

    void OnScalar(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor, const std::string &value) override {
        check(mark, tag, anchor);
        add({.type = Node::Type::scalar, .position = position_of(mark), .text = value, .quoted = tag == "!"});
    }

    void OnSequenceStart(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
        open(mark, tag, anchor, Node::Type::sequence);
    }
    void OnSequenceEnd() override { close(); }

    void OnMapStart(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
        open(mark, tag, anchor, Node::Type::mapping);
    }
    void OnMapEnd() override { close(); }

private:
    struct Open {
        Node node;
        std::optional<Node> key;  ///< Read, and waiting for its value.
    };

    /// yaml-cpp's own tags: "?" on plain nodes, "!" on quoted ones.
    void check(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor) {
        if (anchor != YAML::NullAnchor) faults_.push_back({position_of(mark), "an anchor; allowed: values without anchors"});
        if (!tag.empty() && tag != "?" && tag != "!")
            faults_.push_back({position_of(mark), fmt::format("tag \"{}\"; allowed: values without tags", tag)});
    }

    void open(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor, Node::Type type) {
        check(mark, tag, anchor);
        if (open_.size() == kDepthMax) throw YAML::ParserException(mark, fmt::format("nested too deep; allowed: {} levels", kDepthMax));
        open_.push_back({.node = {.type = type, .position = position_of(mark)}, .key = {}});
    }

    void close() {
        Node node = std::move(open_.back().node);
        open_.pop_back();
        add(std::move(node));
    }

    void add(Node node) {
        if (open_.empty()) {
            root_ = std::move(node);
            return;
        }
        auto &[parent, key] = open_.back();
        if (parent.type == Node::Type::sequence) {
            parent.items.push_back(std::move(node));
        } else if (!key) {
            key = std::move(node);
        } else {
            parent.members.push_back({std::move(*key), std::move(node)});
            key.reset();
        }
    }

    Node root_;
    std::vector<Open> open_;
    std::vector<Fault> faults_;
    int documents_ = 0;
};

/// Bytes of the UTF-8 character that the text begins with; 0 when it begins with none.
std::size_t character_size(std::string_view text) {
    const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const unsigned lead = at(0);
    if (lead < 0x80) return 1;
    const std::size_t size = lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
    for (std::size_t i = 1; i < size; ++i)
        if (at(i) < 0x80 || at(i) > 0xbf) return 0;
    // Longer than need be, half of a UTF-16 pair, or beyond the last one.
    if ((lead == 0xe0 && at(1) < 0xa0) || (lead == 0xed && at(1) > 0x9f)) return 0;
    if ((lead == 0xf0 && at(1) < 0x90) || (lead == 0xf4 && at(1) > 0x8f)) return 0;
    return size;
}

/// Characters that YAML forbids, and bytes that are no character. yaml-cpp takes one of them (4) for the end of the text, and would drop
/// the rest.
std::optional<Fault> find_forbidden(std::string_view text) {
    Position position;
    while (!text.empty()) {
        const auto code = static_cast<unsigned char>(text.front());
        const std::size_t size = character_size(text);
        if (size == 0) return Fault{position, fmt::format("byte 0x{:02x} is no UTF-8; allowed: YAML in UTF-8", code)};
        const unsigned value = size == 2 ? (code & 0x1fu) << 6 | (static_cast<unsigned char>(text[1]) & 0x3fu) : code;
        const bool is_control = size == 1 ? (code < 0x20 && code != '\t' && code != '\n' && code != '\r') || code == 0x7f
                                          : size == 2 && value < 0xa0 && value != 0x85;
        if (is_control) return Fault{position, fmt::format("control character {}; allowed: YAML in UTF-8", value)};
        if (code == '\n') {
            position = {position.line + 1, 1};
        } else {
            position.column += static_cast<int>(size);
        }
        text.remove_prefix(size);
    }
    return std::nullopt;
}

std::string_view line_of(std::string_view text, int line) {
    for (; line > 1 && !text.empty(); --line) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    return text.substr(0, text.find('\n'));
}

bool is_indented_by_tab(std::string_view line) { return line.substr(0, line.find_first_not_of(" \t")).find('\t') != line.npos; }

/// What yaml-cpp found wrong, in words for people who write YAML rather than parsers of it.
Fault explained(const YAML::Exception &error, std::string_view text) {
    namespace Message = YAML::ErrorMsg;
    const Position position = position_of(error.mark);
    const auto is = [&](const char *message) { return error.msg == message; };
    const auto fault = [&](std::string what) { return Fault{position, "not YAML: " + std::move(what)}; };

    if (is(Message::END_OF_MAP_FLOW)) return fault("a mapping that no } closes; allowed: {key: value, ...}");
    if (is(Message::END_OF_SEQ_FLOW)) return fault("a list that no ] closes; allowed: [value, ...]");
    // A tab is seen by what follows it, which may be in the next line.
    for (const int line : {position.line, position.line - 1}) {
        const std::string_view written = line >= 1 ? line_of(text, line) : std::string_view();
        if (!is_indented_by_tab(written)) continue;
        return {{line, static_cast<int>(written.find('\t')) + 1}, "not YAML: a tab; allowed: blanks to indent with"};
    }
    if (is(Message::MAP_VALUE)) {
        const std::string_view before = line_of(text, position.line).substr(0, static_cast<std::size_t>(position.column - 1));
        static constexpr std::size_t kKeyMax = 1024;  // Where yaml-cpp gives up.
        if (before.size() > kKeyMax) return fault(fmt::format("a key that is too long; allowed: {} characters", kKeyMax));
        return fault(
            "a colon that belongs to no key; allowed: one `key: value` a line, also in the line above, and text with a colon in quotes");
    }
    if (is(Message::BLOCK_ENTRY)) return fault("a dash that begins no element of a list; allowed: elements in lines of their own");
    if (is(Message::MAP_KEY)) return fault("a key where none can stand; allowed: a line of its own for each key");
    if (is(Message::END_OF_MAP)) return fault("a line that is no `key: value` of the mapping above; allowed: keys in the same column");
    if (is(Message::END_OF_SEQ)) return fault("a line that is no element of the list above; allowed: `- ` in the same column");
    if (is(Message::FLOW_END)) return fault("a bracket that closes nothing; allowed: text with brackets in quotes");
    if (is(Message::EOF_IN_SCALAR)) return fault("a quote that is not closed; allowed: the same quote at both ends of the text");
    if (is(Message::UNKNOWN_TOKEN)) return fault("a character that begins no value; allowed: such text in quotes");
    if (is(Message::ALIAS_NOT_FOUND) || is(Message::ANCHOR_NOT_FOUND))
        return fault("a * or & without a name; allowed: such text in quotes");
    if (error.msg.starts_with(Message::INVALID_ESCAPE))
        return fault("a backslash that YAML does not know in double quotes; allowed: text with backslashes in single quotes");
    return fault(error.msg);
}

/// Writes a tree as JSON, with line feeds where the lines of the document end.
class JsonWriter {
public:
    explicit JsonWriter(int line) : line_(line) {}

    void write(const Node &node) {
        for (; line_ < node.position.line; ++line_) out_ += '\n';
        switch (node.type) {
            case Node::Type::null: out_ += "null"; break;
            case Node::Type::scalar: write_scalar(node); break;
            case Node::Type::sequence: write_list('[', node.items, ']', [&](const Node &item) { write(item); }); break;
            case Node::Type::mapping:
                write_list('{', node.members, '}', [&](const Member &member) {
                    Node key = member.key;
                    key.quoted = true;  // JSON knows no other keys.
                    write(key);
                    out_ += ": ";
                    write(member.value);
                });
                break;
        }
    }

    [[nodiscard]] std::string take() { return std::move(out_); }

private:
    void write_scalar(const Node &node) {
        const bool is_text = node.quoted || !nlohmann::json::accept(node.text);
        out_ += is_text ? nlohmann::json(node.text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) : node.text;
    }

    template <class List, class Write>
    void write_list(char open, const List &list, char close, Write write_one) {
        out_ += open;
        for (bool first = true; const auto &one : list) {
            if (!std::exchange(first, false)) out_ += ", ";
            write_one(one);
        }
        out_ += close;
    }

    std::string out_;
    int line_;
};

}  // namespace

std::expected<Node, std::vector<Fault>> parse_document(std::string_view text) {
    if (text.size() > kTextMax) return std::unexpected(std::vector{Fault{{}, fmt::format("too large; allowed: {} bytes", kTextMax)}});
    if (auto fault = find_forbidden(text)) return std::unexpected(std::vector{*std::move(fault)});

    TreeBuilder tree;
    try {
        std::istringstream stream{std::string(text)};
        YAML::Parser parser(stream);
        // One document more than allowed is enough to know. On some texts yaml-cpp finds documents without end.
        if (parser.HandleNextDocument(tree)) parser.HandleNextDocument(tree);
    } catch (const YAML::Exception &error) {
        tree.faults().push_back(explained(error, text));
    }
    if (!tree.faults().empty()) return std::unexpected(std::move(tree.faults()));
    return std::move(tree.root());
}

std::string to_json(const Node &node, int first_line) {
    JsonWriter writer(first_line);
    writer.write(node);
    return writer.take();
}

}  // namespace sansock::config
