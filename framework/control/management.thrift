/**
 * What operators ask sansockd over its Unix socket (`management` in its directory).
 *
 * Field numbers are never used again for something else; a reader takes what it does not know for absent.
 */
namespace cpp sansock.control.wire

/** One end of a connection, in one process. */
struct Connection {
  1: i32 pid
  2: string program
  /** "connect" or "accept". */
  3: string role
  /** As 127.0.0.1:6379 or [::1]:6379; empty while the process has not looked it up. */
  4: string local
  5: string peer
  /** What carries it: the plugin's name, or "tcp". */
  6: string path
  /** The GUID of the provider that carries it or did; empty: none. */
  7: string provider
  /** Why it is on TCP, as in reports; empty where it is not. */
  8: string reason
  /** Who or what is behind the reason, for people. */
  9: string detail
  /** Bytes since the connection was made. */
  10: i64 sent_tcp
  11: i64 sent_provider
  12: i64 received_tcp
  13: i64 received_provider
  14: i32 upgrades
  15: i32 step_backs
  /** Bytes that may be kept until the peer has read them, and those that are. */
  16: i64 window
  17: i64 kept
  /** Send buffers that hold such bytes, and how many the provider's block allows. */
  18: i32 buffers_held
  19: i32 buffers_max
  /** "open", or "closing" while the peer has yet to read the rest. */
  20: string state
  /** Processes that hold the socket, as far as they are known. */
  21: i32 holders
  /** Calls that found no room for all that they sent, for the peer had yet to read. */
  22: i64 full
  23: i32 uid
}

struct Process {
  1: i32 pid
  2: i32 uid
  3: string program
  /** The library's version. */
  4: string version
  /** Its configuration file; empty: the embedded default. */
  5: string config
  6: i32 connections
  7: i32 on_provider
}

/** How this host meets others. */
struct Hosts {
  /** Where it listens. */
  1: string where
  /** As its certificate names it, and until when that is valid, in seconds since 1970. */
  2: string name
  3: i64 valid_until
  /** Connections that processes have registered. */
  4: i64 connections
  /** Other hosts that it asks, and those that it cannot reach. */
  5: i64 asked
  6: i64 unreachable
}

struct Status {
  /** The daemon's. */
  1: string version
  2: list<Process> processes
  3: list<Connection> connections
  /** Of other users, whom the caller may not look at. */
  4: i32 hidden_processes
  /** Not there: the daemon was started without a rendezvous. */
  5: optional Hosts hosts
}

/** Why something was not done. */
exception Refused {
  1: string why
}

/** A process that has not yet done what it was told. */
struct Straggler {
  1: i32 pid
  2: i32 uid
  3: string program
  /** Its connections that the drained providers still carry. */
  4: i32 connections
  /** None is left, but something of the provider is in use: its plugin stays loaded. */
  5: bool in_use
}

struct Drains {
  /** The providers that are drained. */
  1: list<string> guids
  /** Processes that the daemon knows. */
  2: i32 processes
  3: list<Straggler> stragglers
}

/** What became of a reload in one process. */
struct Reloaded {
  1: i32 pid
  2: i32 uid
  3: string program
  /** Its configuration file; empty: the embedded default. */
  4: string config
  5: bool done
  /** Why not: what is wrong with the file, or that the process has not answered. */
  6: string why
}

service Management {
  /** The processes and connections that the caller may see: all for root and the daemon's group, else the caller's own. */
  Status status()

  /** Moves all connections of a provider to TCP, in every process, and lets none to it, until it is undrained. Returns at once. */
  void drain(1: string guid) throws (1: Refused refused)
  void undrain(1: string guid) throws (1: Refused refused)
  /** What is drained, and how far that has got. */
  Drains drains()

  /**
   * Lets every process read its configuration file anew, once all of them have been found right. New connections follow it at once, those
   * that are there already if `live`. Refused, with all faults, when a file is wrong: then nothing has changed anywhere.
   */
  list<Reloaded> reload(1: bool live) throws (1: Refused refused)

  /** How much the daemon says from now on: error, warning, info or debug. */
  void set_log_level(1: string level) throws (1: Refused refused)
}
