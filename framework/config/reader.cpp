#include "config/reader.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "config/suggest.hpp"

namespace sansock::config {
namespace {

/// Reads the fallback of every setting in this scope and in the groups below it.
void store_fallbacks(Target &target, std::string_view scope) {
    for (const Setting *setting : settings_in(scope)) {
        if (setting->kind == Kind::group) store_fallbacks(target, setting->child_scope());
        if (setting->fallback.empty()) continue;
        const Node node{.type = Node::Type::scalar, .text = std::string(setting->fallback)};
        setting->store(target, convert(*setting, node).value());
    }
}

/// What is for the provider's plugin, as one mapping. What the plugin finds in line 3 of it stands in line 3 from where
/// the provider begins.
std::string block_for_plugin(const Node &block, std::string_view scope, const Provider &provider) {
    Node handed{.type = Node::Type::mapping, .position = {provider.position.line, 1}};
    const auto rows = settings_in(scope);
    for (const Member &member : block.members) {
        const auto row = std::ranges::find(rows, member.key.text, &Setting::name);
        if (row == rows.end()) continue;
        if ((*row)->kind == Kind::block) handed.members.push_back(member);
        // A plugin that knows no such threshold need not know that there is one, unless somebody sets it.
        if ((*row)->name == "rdma_threshold" && provider.rdma_threshold > 0) {
            handed.members.push_back(member);
            handed.members.back().value = {
                .type = Node::Type::scalar, .position = member.value.position, .text = std::to_string(provider.rdma_threshold)};
        }
    }
    return handed.members.empty() ? "" : to_json(handed, provider.position.line);
}

/// Whether two values of one list say the same, in whole or in part.
bool overlap(const Value &one, const Value &other) {
    if (const auto *subnet = std::get_if<Subnet>(&one)) {
        const auto &second = std::get<Subnet>(other);
        return subnet->contains(second) || second.contains(*subnet);
    }
    if (const auto *range = std::get_if<PortRange>(&one)) {
        const auto &second = std::get<PortRange>(other);
        return range->first <= second.last && second.first <= range->last;
    }
    const auto *text = std::get_if<std::string>(&one);
    return text != nullptr && *text == std::get<std::string>(other);
}

class Reader {
public:
    Reader(Reading &reading, const Host &host) : reading_(reading), host_(host) {}

    void read(const Node &document) {
        Target target{.config = &reading_.config};
        store_fallbacks(target, "");
        if (document.type == Node::Type::mapping) {
            read_members(target, "", document, document.position);
        } else if (document.type != Node::Type::null) {
            error(document.position, "{} is not a configuration; allowed: a mapping with {}", describe(document),
                  fmt::join(names_in(""), ", "));
        }
    }

private:
    template <class... Args>
    void error(Position position, fmt::format_string<Args...> format, Args &&...args) {
        reading_.errors.push_back({position, fmt::format(format, std::forward<Args>(args)...)});
    }

    /// Reads the settings of one block in the order of the table, so that a setting can count on those before it.
    /// What the block lacks is reported at `place`.
    void read_members(Target &target, std::string_view scope, const Node &mapping, Position place) {
        const auto found = find_members(mapping, names_in(scope));
        for (const Setting *setting : settings_in(scope)) {
            if (const auto member = found.find(setting->name); member != found.end()) {
                read_setting(target, *setting, *member->second);
            } else if (setting->required) {
                error(place, "{} is missing; allowed: {}", setting->name, allowed(*setting));
            }
        }
    }

    /// The members of a mapping by name; reports those that are unknown or there twice.
    std::map<std::string_view, const Member *> find_members(const Node &mapping, const std::vector<std::string_view> &names) {
        std::map<std::string_view, const Member *> found;
        for (const Member &member : mapping.members) {
            const Node &key = member.key;
            if (key.type != Node::Type::scalar || std::ranges::find(names, key.text) == names.end()) {
                report_unknown(key, names);
            } else if (const auto [first, is_new] = found.emplace(key.text, &member); !is_new) {
                error(key.position, "{} is given twice (first in line {}); once is allowed", key.text, first->second->key.position.line);
            }
        }
        return found;
    }

    void report_unknown(const Node &key, const std::vector<std::string_view> &names) {
        const auto near = suggest(key.text, names);
        error(key.position, "{} is not a key{}; allowed: {}", describe(key), near ? fmt::format(" (did you mean \"{}\"?)", *near) : "",
              fmt::join(names, ", "));
    }

    void read_setting(Target &target, const Setting &setting, const Member &member) {
        const Node &value = member.value;
        switch (setting.kind) {
            case Kind::group:
                // A group with every line commented out is as good as none.
                if (value.type == Node::Type::null) return;
                if (!expect(setting, member, Node::Type::mapping)) return;
                return read_members(target, setting.child_scope(), value, value.position);
            case Kind::guid_map:
                reading_.has_providers = true;
                reading_.providers_known = expect(setting, member, Node::Type::mapping);
                if (reading_.providers_known) read_providers(setting, value);
                return;
            case Kind::sequence:
                reading_.has_routes = true;
                if (expect(setting, member, Node::Type::sequence)) read_routes(setting, value);
                return;
            case Kind::block:
                if (expect(setting, member, Node::Type::mapping)) check_block(value);
                return;
            default: read_values(target, setting, member);
        }
    }

    /// Whether the value is what the setting's kind is made of; reports it if not.
    bool expect(const Setting &setting, const Member &member, Node::Type type) {
        if (member.value.type == type) return true;
        if (member.value.type == Node::Type::null) {
            report_empty(setting, member);
            return false;
        }
        error(member.value.position, "{}: {} is not what belongs here; allowed: {}", setting.name, describe(member.value),
              allowed(setting));
        return false;
    }

    void report_empty(const Setting &setting, const Member &member) {
        error(member.value.position, "{} has no value; allowed: {}", setting.name, allowed(setting));
    }

    void read_values(Target &target, const Setting &setting, const Member &member) {
        const Node &value = member.value;
        if (setting.kind == Kind::guids) reading_.facts.back().names_providers = true;
        if (value.type == Node::Type::null) {
            report_empty(setting, member);
        } else if (takes_list(setting.kind) && value.type == Node::Type::sequence) {
            // An empty list would match nothing, and reads as if it matched everything.
            if (value.items.empty() && setting.kind != Kind::user_groups)
                error(value.position, "{} is an empty list; allowed: {}", setting.name, allowed(setting));
            std::vector<Said> said;
            for (const Node &item : value.items) {
                if (auto one = read_value(target, setting, item)) check_overlap(setting, said, {*std::move(one), &item});
            }
        } else {
            read_value(target, setting, value);
        }
    }

    /// An element of a list that was read.
    struct Said {
        Value value;
        const Node *node;
    };

    /// What a list says twice is a slip: one of the two was to say something else.
    void check_overlap(const Setting &setting, std::vector<Said> &said, Said one) {
        const auto first = std::ranges::find_if(said, [&](const Said &earlier) { return overlap(earlier.value, one.value); });
        if (first != said.end()) {
            error(one.node->position, "{}: {} and {} in line {} overlap; allowed: each once in a list", setting.name, describe(*one.node),
                  describe(*first->node), first->node->position.line);
        }
        said.push_back(std::move(one));
    }

    /// The value, unless something is wrong with it.
    std::optional<Value> read_value(Target &target, const Setting &setting, const Node &node) {
        auto value = convert(setting, node);
        if (!value) {
            error(node.position, "{}: {}; allowed: {}", setting.name, value.error(), allowed(setting));
            return std::nullopt;
        }
        if (const auto *guid = std::get_if<Guid>(&*value)) reading_.facts.back().references.push_back({*guid, node.position});
        if (auto *users = std::get_if<std::vector<User>>(&*value)) find_uids(*users, node);
        if (setting.kind == Kind::log_target) note_folder(std::get<std::string>(*value), node);
        setting.store(target, *value);
        return *std::move(value);
    }

    /// A file of another host's may be right there.
    void note_folder(const std::string &file, const Node &node) {
        if (file.empty() || !host_.has_folder) return;
        const std::string folder = file.substr(0, std::max<std::size_t>(file.rfind('/'), 1));
        if (!host_.has_folder(folder)) {
            reading_.notes.push_back(
                {node.position, fmt::format("there is no folder \"{}\" on this host: nothing will be logged", folder)});
        }
    }

    /// A block is the plugin's, but what YAML itself forbids would reach it as something else.
    void check_block(const Node &node) {
        std::map<std::string_view, Position> seen;
        for (const auto &[key, value] : node.members) {
            if (key.type != Node::Type::scalar) {
                error(key.position, "{} is not a key; allowed: text", describe(key));
            } else if (const auto [first, is_new] = seen.emplace(key.text, key.position); !is_new) {
                error(key.position, "{} is given twice (first in line {}); once is allowed", key.text, first->second.line);
            }
            check_block(value);
        }
        for (const Node &item : node.items) check_block(item);
    }

    void find_uids(std::vector<User> &users, const Node &node) {
        for (std::size_t i = 0; i < users.size(); ++i) {
            find_uid(users[i], node.items[i].position);
            const auto first = std::ranges::find(users, users[i].name, &User::name);
            if (first == users.begin() + static_cast<std::ptrdiff_t>(i)) continue;
            error(node.items[i].position, "allow: {} is named twice in one group; once is allowed", describe(node.items[i]));
        }
    }

    void find_uid(User &user, Position place) {
        if (user.uid || !host_.find_user) return;
        user.uid = host_.find_user(user.name);
        if (!user.uid) reading_.notes.push_back({place, fmt::format("user \"{}\" does not exist on this host", user.name)});
    }

    void read_providers(const Setting &setting, const Node &mapping) {
        std::map<Guid, Position> seen;
        for (const auto &[key, block] : mapping.members) {
            const auto value = convert(setting, key);
            if (!value) {
                error(key.position, "{}; allowed: {}", value.error(), allowed(setting));
                reading_.providers_known = false;
                continue;
            }
            const Guid guid = std::get<Guid>(*value);
            if (const auto [first, is_new] = seen.emplace(guid, key.position); !is_new) {
                error(key.position, "provider {} is given twice (first in line {}); once is allowed", guid.text(), first->second.line);
            }
            read_provider(setting, guid, key.position, block);
        }
    }

    void read_provider(const Setting &setting, const Guid &guid, Position place, const Node &block) {
        const std::size_t errors_before = reading_.errors.size();
        Provider provider{.guid = guid, .position = place};
        Target target{.provider = &provider};
        store_fallbacks(target, setting.child_scope());
        read_block(target, setting, block, place);
        provider.block_yaml = block_for_plugin(block, setting.child_scope(), provider);
        reading_.config.providers.push_back(std::move(provider));
        reading_.provider_sound.push_back(reading_.errors.size() == errors_before);
    }

    void read_routes(const Setting &setting, const Node &sequence) {
        for (const Node &item : sequence.items) {
            const std::size_t errors_before = reading_.errors.size();
            Route route = default_route(reading_.config);
            route.position = item.position;
            reading_.facts.emplace_back();
            Target target{.route = &route};
            read_block(target, setting, item, item.position);
            reading_.config.routes.push_back(std::move(route));
            reading_.facts.back().sound = reading_.errors.size() == errors_before;
        }
    }

    /// One of the blocks that a guid_map or sequence is made of.
    void read_block(Target &target, const Setting &setting, const Node &block, Position place) {
        if (block.type == Node::Type::mapping) {
            read_members(target, setting.child_scope(), block, place);
        } else {
            error(block.position, "{} is not a block of {}; allowed: a mapping with {}", describe(block), setting.name,
                  fmt::join(names_in(setting.child_scope()), ", "));
        }
    }

    Reading &reading_;
    const Host &host_;
};

}  // namespace

Reading read_document(const Node &document, const Host &host) {
    Reading reading;
    Reader(reading, host).read(document);
    return reading;
}

Route default_route(const Config &config) {
    Route route;
    route.upgrade_after = config.upgrade_after;
    Target target{.route = &route};
    store_fallbacks(target, "routes[]");
    return route;
}

}  // namespace sansock::config
