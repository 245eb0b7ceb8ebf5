// Which process of this host holds which connection that may leave TCP, and the tokens that were given out for them.
//
// A registered connection takes about 190 bytes (tests/bench/rendezvous.py measures it): a place in the map of its process, one in the
// set of all pairs, and their share of the two tables. One that has a token outstanding takes about 130 more, for as long.
#pragma once
#include <array>
#include <chrono>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/result.hpp"
#include "control/line.hpp"
#include "control/pair.hpp"
#include "pki/certificate.hpp"

namespace sansock::control {

using Token = std::array<uint8_t, 16>;

class Register {
public:
    using Clock = std::chrono::steady_clock;
    using Now = Clock::time_point;
    using Holder = std::shared_ptr<const Line>;
    using Host = std::shared_ptr<const pki::Names>;

    struct Limits {
        size_t connections = 262'144;
        size_t of_user = 65'536;  ///< Root may have all.
        Clock::duration token_life = std::chrono::seconds(10);
    };
    explicit Register(Limits limits);
    Register() : Register(Limits{}) {}

    /// A process has shown that it holds this connection. `cookie` is what the kernel tells its socket by: a pair with another one was
    /// another connection, and is over.
    Result<void> add(const Holder &holder, uint64_t id, const Pair &pair, uint64_t cookie);
    void remove(const Line &holder, uint64_t id);
    void remove_all(const Line &holder);

    /// Where a process's connection leads. Empty: it has none of that id.
    [[nodiscard]] std::optional<Pair> pair_of(const Line &holder, uint64_t id) const;
    /// What is known to be nowhere until `until` need not be asked for again.
    void note_not_there(const Line &holder, uint64_t id, Now until);
    [[nodiscard]] bool is_not_there(const Line &holder, uint64_t id, Now now) const;

    struct Held {
        Holder holder;  ///< Empty: by nobody, or by several.
        bool by_several = false;
        uint64_t id = 0;
        Token token{};
    };
    /// Who holds the connection, and a token for `asker` in place of any that was outstanding for it.
    [[nodiscard]] Held look_up(const Pair &pair, const Host &asker, Now now);
    /// The holder was not told.
    void withdraw(const Token &token);

    enum class Shown { kRight, kUnknown, kExpired, kElsewhere };
    struct Shower {
        Shown what = Shown::kUnknown;
        Holder holder;
    };
    /// Uses a token up, if whoever shows it comes from a host that its asker speaks for.
    [[nodiscard]] Shower show(const Token &token, const config::Address &from, Now now);

    [[nodiscard]] size_t connections() const;
    [[nodiscard]] size_t tokens(Now now);

private:
    struct Outstanding;
    using Tokens = std::list<Outstanding>;
    struct Connection {
        Pair pair;
        const Line *line = nullptr;
        uint64_t id = 0, cookie = 0;
        Now not_there_until{};
        Tokens::iterator token;
        bool has_token = false;
    };
    struct Outstanding {
        Token token;
        Connection *of;
        Host asker;
        Now until;
    };
    /// Who comes from outside chooses pairs, and processes choose ids: neither shall find those that fall into one place.
    struct Hash {
        uint64_t salt;
        size_t operator()(uint64_t id) const;
        size_t operator()(const Connection *connection) const { return (*this)(connection->pair); }
        size_t operator()(const Pair &pair) const;
        size_t operator()(const Token &token) const;
    };
    struct SamePair {
        bool operator()(const Connection *one, const Connection *other) const { return one->pair == other->pair; }
    };
    struct Process {
        Holder holder;
        std::unordered_map<uint64_t, Connection, Hash> connections;
    };

    [[nodiscard]] const Connection *find(const Line &holder, uint64_t id) const;
    void take_out(Connection &connection);
    void drop_token(Connection &connection);
    void expire(Now now);

    const Limits limits_;
    const Hash hash_;
    mutable std::mutex mutex_;
    std::unordered_map<uint64_t, Process> processes_;  ///< By the line's key.
    std::unordered_multiset<Connection *, Hash, SamePair> pairs_;
    std::unordered_map<uid_t, size_t> of_user_;
    Tokens tokens_;  ///< The oldest first.
    std::unordered_map<Token, Tokens::iterator, Hash> by_token_;
};

}  // namespace sansock::control
