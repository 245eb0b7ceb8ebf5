#include "socket/reload.hpp"

#include <algorithm>
#include <cstring>

#include "socket/meetings.hpp"

namespace sansock::socket {

bool Reload::begin(bool live, std::span<char> why) {
    if (process_.runtime() == nullptr) {
        constexpr std::string_view kNone = "no configuration could be read when the process needed one first; it has to be started again";
        std::ranges::copy(kNone.substr(0, why.size()), why.begin());
        return false;
    }
    if (!process_.runtime()->reload(why)) return false;
    process_.set_policy(process_.runtime()->policy());
    if (live) {
        due_ns_ = 0;
        wait_ns_ = kWaitNs;
    }
    return true;
}

bool Reload::apply(Connection &connection) {
    if (!connection.is_open()) return true;
    stream::Guard guard(connection.fd_lock);
    if (!connection.is_open() || !connection.is_in_family() || !connection.mapped.load(std::memory_order_acquire)) return true;
    if (connection.phase() != Phase::kAttached) return true;
    stream::End &end = connection.end();
    const SharedConnection &shared = *connection.shared;
    if (drain_.is_drained(shared.guid)) return true;
    const Choice choice = process_.runtime()->choose(server_of(shared), 0, shared.guid);
    // One of messages whose device is away for the moment comes back by itself.
    if (choice.refused == stream::Reason::kNoProvider && connection.goes_by_messages() && !shared.stream.required) return true;
    if (choice.refused != stream::Reason::kNone) {
        end.step(choice.refused, true);
        return true;
    }
    // Over messages the credits were agreed on when the ends met; what must not use TCP cannot step back.
    const bool stays = connection.goes_by_messages() || shared.stream.required;
    if (stays || shared.stream.out.buffers_max == choice.send_buffers) {
        end.undrain();  // it may have been waiting for its peer with other numbers
        return true;
    }
    end.drain();
    if (!end.at_rest_on_tcp()) return false;
    fit_window(connection, choice);
    end.undrain();
    return true;
}

void Reload::timers() {
    if (now_ns() < due_ns_) return;
    bool all = true;
    for (uint32_t i = 0; i < process_.connections_used(); ++i) all &= apply(process_.connection_at(i));
    due_ns_ = all ? UINT64_MAX : now_ns() + wait_ns_;
    wait_ns_ = std::min(2 * wait_ns_, kWaitNsMax);
}

}  // namespace sansock::socket
