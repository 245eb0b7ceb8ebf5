#include "config/document.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

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

/// Characters that YAML forbids. yaml-cpp takes one of them (4) for the end of the text, and would drop the rest.
std::optional<Fault> find_forbidden(std::string_view text) {
    Position position;
    for (const char c : text) {
        const auto code = static_cast<unsigned char>(c);
        if ((code < 0x20 && c != '\t' && c != '\n' && c != '\r') || code == 0x7f)
            return Fault{position, fmt::format("control character {}; allowed: YAML in UTF-8", code)};
        if (c == '\n') {
            position = {position.line + 1, 1};
        } else {
            ++position.column;
        }
    }
    return std::nullopt;
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
        tree.faults().push_back({position_of(error.mark), "not YAML: " + error.msg});
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
