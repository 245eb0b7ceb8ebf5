#include "socket/report.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "socket/channel.hpp"
#include "socket/launch.hpp"
#include "socket/process.hpp"
#include "socket/young.hpp"
#include "stream/reason.hpp"

namespace sansock::socket {

void print_address(char *to, size_t size, const sockaddr_in6 &address) {
    char text[INET6_ADDRSTRLEN] = "";
    if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr)) {
        inet_ntop(AF_INET, &address.sin6_addr.s6_addr[12], text, sizeof text);
        snprintf(to, size, "%s:%u", text, ntohs(address.sin6_port));
    } else {
        inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof text);
        snprintf(to, size, "[%s]:%u", text, ntohs(address.sin6_port));
    }
}

void set_detail(Connection &connection, const char *text) {
    stream::Guard guard(connection.detail_lock);
    snprintf(connection.shared->detail, sizeof connection.shared->detail, "%s", text);
}

void copy_detail(Connection &connection, char (&to)[kDetailMax]) {
    stream::Guard guard(connection.detail_lock);
    memcpy(to, connection.shared->detail, sizeof to);
    to[sizeof to - 1] = '\0';
}

void note_peer(Connection &connection, const Peer &peer, const char *what) {
    char text[kDetailMax];
    if (peer.far != nullptr) {
        snprintf(text, sizeof text, "pid %d of the other host %s", peer.pid, what);
    } else {
        snprintf(text, sizeof text, "uid %u, pid %d %s", peer.uid, peer.pid, what);
    }
    set_detail(connection, text);
}

namespace {

/// A JSON string's inside: what would break it becomes an escape.
void print_escaped(char *to, size_t size, const char *from) {
    size_t used = 0;
    for (; *from != '\0' && used + 7 < size; ++from) {
        const auto c = static_cast<unsigned char>(*from);
        if (c == '"' || c == '\\') {
            to[used++] = '\\';
            to[used++] = static_cast<char>(c);
        } else if (c < 0x20) {
            used += static_cast<size_t>(snprintf(to + used, 7, "\\u%04x", c));
        } else {
            to[used++] = static_cast<char>(c);
        }
    }
    to[used] = '\0';
}

void write_line(Connection &connection, int file) {
    SharedConnection &shared = *connection.shared;
    char local[80], remote[80], program[160];
    {
        stream::Guard guard(connection.fd_lock);  // the helper may be looking the addresses up
        if (shared.remote.sin6_family == 0) socket_addresses(connection.fd.load(), shared.local, shared.remote);
        print_address(local, sizeof local, shared.local);
        print_address(remote, sizeof remote, shared.remote);
    }
    print_escaped(program, sizeof program, launch().program);
    const Account account = account_of(connection);
    char guid_field[48] = "null", reason_field[48] = "null";
    if (account.guid != nullptr) snprintf(guid_field, sizeof guid_field, "\"%s\"", account.guid);
    if (account.reason != nullptr) snprintf(reason_field, sizeof reason_field, "\"%s\"", account.reason);
    char detail_field[sizeof account.detail + 2] = "null";
    if (account.detail[0] != '\0') snprintf(detail_field, sizeof detail_field, "\"%s\"", account.detail);
    char line[1536];
    const int size = snprintf(
        line, sizeof line,
        "{\"pid\":%d,\"program\":\"%s\",\"role\":\"%s\",\"local\":\"%s\",\"peer\":\"%s\",\"provider\":%s,\"path\":\"%s\",\"reason\":%s,"
        "\"detail\":%s,\"bytes_sent\":{\"tcp\":%llu,\"provider\":%llu},\"bytes_received\":{\"tcp\":%llu,\"provider\":%llu},"
        "\"upgrades\":%u,\"step_backs\":%u}\n",
        Process::get()->pid(), program, shared.role == Role::kConnect ? "connect" : "accept", local, remote, guid_field, account.path,
        reason_field, detail_field, static_cast<unsigned long long>(account.sent_tcp),
        static_cast<unsigned long long>(account.sent_provider), static_cast<unsigned long long>(account.received_tcp),
        static_cast<unsigned long long>(account.received_provider), account.upgrades, account.step_backs);
    if (size > 0) raw_syscall(SYS_write, file, line, std::min(static_cast<size_t>(size), sizeof line - 1));
}

int open_report() {
    if (launch().report[0] == '\0') return -1;
    return static_cast<int>(raw_syscall(SYS_openat, AT_FDCWD, launch().report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
}

}  // namespace

Account account_of(Connection &connection) {
    const SharedConnection &shared = *connection.shared;
    const stream::State &state = shared.stream;
    const uint64_t out_provider = state.out.bytes_provider.load(), in_provider = state.in.bytes_provider.load();
    const uint32_t upgrades = state.upgrades.load();
    const char *reason = stream::reason_name(static_cast<stream::Reason>(state.reason.load()));
    const bool provider = upgrades > 0 && reason == nullptr;
    if (!provider && reason == nullptr) reason = stream::reason_name(stream::Reason::kNotYet);
    Account account{provider,
                    provider ? shared.plugin : "tcp",
                    upgrades > 0 ? shared.guid : nullptr,
                    reason,
                    "",
                    state.out.out.load() - out_provider,
                    out_provider,
                    state.in.in.load() - in_provider,
                    in_provider,
                    upgrades,
                    state.step_backs.load()};
    if (!provider) copy_detail(connection, account.detail);
    return account;
}

void report_connection(Connection &connection) {
    if (connection.reported || connection.shared->role == Role::kNone) return;
    const UniqueFd file(open_report());
    if (file) write_line(connection, file.get());
}

void report_all() {
    Process *process = Process::get();
    if (process == nullptr) return;
    const UniqueFd file(open_report());
    if (!file) return;
    grow_all_up(*process);
    for (uint32_t i = 0; i < process->connections_used(); ++i) {
        Connection &connection = process->connection_at(i);
        if (!connection.is_open() || connection.generation != connection.shared->generation.load()) continue;
        const Phase phase = connection.phase();
        if (phase == Phase::kFree || phase == Phase::kLingering || connection.refs.load() == 0) continue;
        if (connection.reported || connection.shared->role == Role::kNone) continue;
        write_line(connection, file.get());
        connection.reported = true;
    }
}

}  // namespace sansock::socket
