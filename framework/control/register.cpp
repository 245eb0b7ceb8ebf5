#include "control/register.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <cstring>
#include <new>
#include <vector>

namespace sansock::control {
namespace {

void fill(void *bytes, size_t size) {
    if (getrandom(bytes, size, 0) != static_cast<ssize_t>(size)) throw std::bad_alloc();  // not for so few bytes
}

uint64_t any_salt() {
    uint64_t salt = 0;
    fill(&salt, sizeof salt);
    return salt;
}

/// The finaliser of splitmix64.
uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

}  // namespace

size_t Register::Hash::operator()(uint64_t id) const { return mixed(id ^ salt); }

size_t Register::Hash::operator()(const Pair &pair) const {
    const std::string_view bytes = pair.bytes();
    uint64_t hash = salt;
    for (size_t at = 0; at < bytes.size(); at += sizeof hash) {
        uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, std::min(sizeof word, bytes.size() - at));
        hash = mixed(hash ^ word) + salt;
    }
    return hash;
}

size_t Register::Hash::operator()(const Token &token) const {
    size_t hash;
    std::memcpy(&hash, token.data(), sizeof hash);
    return mixed(hash ^ salt);
}

Register::Register(Limits limits) : limits_(limits), hash_{any_salt()}, pairs_(0, hash_), by_token_(0, hash_) {}

const Register::Connection *Register::find(const Line &holder, uint64_t id) const {
    const auto process = processes_.find(holder.key);
    if (process == processes_.end()) return nullptr;
    const auto found = process->second.connections.find(id);
    return found == process->second.connections.end() ? nullptr : &found->second;
}

Result<void> Register::add(const Holder &holder, uint64_t id, const Pair &pair, uint64_t cookie) {
    const std::scoped_lock lock(mutex_);
    if (const Connection *const mine = find(*holder, id)) {
        if (mine->pair == pair && mine->cookie == cookie) return {};
        return fail(EEXIST, fmt::format("the id {} is that of another connection; allowed: to forget that one first", id));
    }
    Connection sought{.pair = pair};
    const auto [first, last] = pairs_.equal_range(&sought);
    std::vector<Connection *> over;
    for (auto at = first; at != last; ++at) {
        Connection &other = **at;
        if (other.cookie != cookie) {
            over.push_back(&other);
        } else if (other.line == holder.get()) {
            return fail(EEXIST, fmt::format("it is registered already, with the id {}", other.id));
        }
    }
    for (Connection *const other : over) {
        auto &connections = processes_.at(other->line->key).connections;
        const uint64_t other_id = other->id;
        take_out(*other);
        connections.erase(other_id);
    }
    if (pairs_.size() >= limits_.connections)
        return fail(ENOSPC, fmt::format("as many connections are registered as there may be, {}", limits_.connections));
    if (const auto user = of_user_.find(holder->who.uid); holder->who.uid != 0 && user != of_user_.end() && user->second >= limits_.of_user)
        return fail(ENOSPC,
                    fmt::format("uid {} has as many connections registered as a user may have, {}", holder->who.uid, limits_.of_user));
    const auto [process, is_new] = processes_.try_emplace(holder->key, Process{holder, decltype(Process::connections)(0, hash_)});
    Connection &made = process->second.connections[id];
    made = {.pair = pair, .line = holder.get(), .id = id, .cookie = cookie};
    pairs_.insert(&made);
    ++of_user_[holder->who.uid];
    return {};
}

/// Out of all but its process's map.
void Register::take_out(Connection &connection) {
    drop_token(connection);
    const auto [first, last] = pairs_.equal_range(&connection);
    for (auto at = first; at != last; ++at) {
        if (*at != &connection) continue;
        pairs_.erase(at);
        break;
    }
    const auto user = of_user_.find(connection.line->who.uid);
    if (--user->second == 0) of_user_.erase(user);
}

void Register::remove(const Line &holder, uint64_t id) {
    const std::scoped_lock lock(mutex_);
    const auto process = processes_.find(holder.key);
    if (process == processes_.end()) return;
    const auto found = process->second.connections.find(id);
    if (found == process->second.connections.end()) return;
    take_out(found->second);
    process->second.connections.erase(found);
}

void Register::remove_all(const Line &holder) {
    const std::scoped_lock lock(mutex_);
    const auto process = processes_.find(holder.key);
    if (process == processes_.end()) return;
    for (auto &[id, connection] : process->second.connections) take_out(connection);
    processes_.erase(process);
}

std::optional<Pair> Register::pair_of(const Line &holder, uint64_t id) const {
    const std::scoped_lock lock(mutex_);
    const Connection *const found = find(holder, id);
    return found == nullptr ? std::nullopt : std::optional(found->pair);
}

void Register::note_not_there(const Line &holder, uint64_t id, Now until) {
    const std::scoped_lock lock(mutex_);
    if (const Connection *const found = find(holder, id)) const_cast<Connection *>(found)->not_there_until = until;
}

bool Register::is_not_there(const Line &holder, uint64_t id, Now now) const {
    const std::scoped_lock lock(mutex_);
    const Connection *const found = find(holder, id);
    return found != nullptr && now < found->not_there_until;
}

void Register::drop_token(Connection &connection) {
    if (!connection.has_token) return;
    connection.has_token = false;
    by_token_.erase(connection.token->token);
    tokens_.erase(connection.token);
}

void Register::expire(Now now) {
    while (!tokens_.empty() && tokens_.front().until <= now) drop_token(*tokens_.front().of);
}

Register::Held Register::look_up(const Pair &pair, const Host &asker, Now now) {
    const std::scoped_lock lock(mutex_);
    expire(now);
    Connection sought{.pair = pair};
    const auto [first, last] = pairs_.equal_range(&sought);
    if (first == last) return {};
    if (std::next(first) != last) return {.by_several = true};
    Connection &connection = **first;
    drop_token(connection);
    Outstanding made{.of = &connection, .asker = asker, .until = now + limits_.token_life};
    fill(made.token.data(), made.token.size());
    tokens_.push_back(std::move(made));
    connection.token = std::prev(tokens_.end());
    connection.has_token = true;
    by_token_.emplace(connection.token->token, connection.token);
    return {.holder = processes_.at(connection.line->key).holder, .id = connection.id, .token = connection.token->token};
}

void Register::withdraw(const Token &token) {
    const std::scoped_lock lock(mutex_);
    if (const auto found = by_token_.find(token); found != by_token_.end()) drop_token(*found->second->of);
}

Register::Shower Register::show(const Token &token, const config::Address &from, Now now) {
    const std::scoped_lock lock(mutex_);
    const auto found = by_token_.find(token);
    if (found == by_token_.end()) return {};
    const Outstanding &outstanding = *found->second;
    if (outstanding.until <= now) {
        expire(now);
        return {.what = Shown::kExpired};
    }
    if (!outstanding.asker->speaks_for(from)) return {.what = Shown::kElsewhere};
    Shower shower{.what = Shown::kRight, .holder = processes_.at(outstanding.of->line->key).holder};
    drop_token(*outstanding.of);
    return shower;
}

size_t Register::connections() const {
    const std::scoped_lock lock(mutex_);
    return pairs_.size();
}

size_t Register::tokens(Now now) {
    const std::scoped_lock lock(mutex_);
    expire(now);
    return tokens_.size();
}

}  // namespace sansock::control
