// What a connection has moved and by which path: as figures, and as one JSON line for `sansock run --report`.
#pragma once
#include "socket/connection.hpp"

namespace sansock::socket {

/// The pointers last as long as the connection.
struct Account {
    bool on_provider;
    const char *path;         ///< The plugin's name, or "tcp".
    const char *guid;         ///< Of the provider that carries it or did; nullptr: none.
    const char *reason;       ///< Why it is on TCP; nullptr on a provider.
    char detail[kDetailMax];  ///< Who or what is behind the reason; empty: nothing to add.
    uint64_t sent_tcp, sent_provider, received_tcp, received_provider;
    uint32_t upgrades, step_backs;
};
Account account_of(Connection &connection);

/// "127.0.0.1:6379" or "[::1]:6379".
void print_address(char *to, size_t size, const sockaddr_in6 &address);
/// Says in the connection's report who or what is behind its reason. Any thread.
void set_detail(Connection &connection, const char *text);
void copy_detail(Connection &connection, char (&to)[kDetailMax]);
/// That it is the peer; `what` is a part of a sentence about it.
void note_peer(Connection &connection, const Peer &peer, const char *what);

/// Appends the line of a connection that ends here. Nothing happens without SANSOCK_REPORT.
void report_connection(Connection &connection);
/// The lines of all connections that are open while the process ends.
void report_all();

}  // namespace sansock::socket
