#pragma once

#include "case.hpp"

namespace sansock::parity {

/// One function per file of cases.
Subject transfer();
Subject vectors();
Subject messages();
Subject flags();
Subject timeouts();
Subject ends();
Subject failures();
Subject resets();
Subject options();
Subject controls();
Subject descriptors();
Subject poll_states();
Subject polling();
Subject selecting();
Subject epoll_control();
Subject epoll_triggers();
Subject epoll_sets();
Subject interruptions();
Subject handlers();
Subject files();
Subject stdio();
Subject processes();
Subject relatives();
Subject programs();
Subject passing();
Subject faults();
Subject threads();
Subject connecting();
Subject bulk();
Subject raw_calls();
Subject rings();
Subject fortified();
Subject passed_on();
Subject aliases();
Subject process_aliases();
Subject openings();
Subject stream_reads();
Subject stream_writes();
Subject stream_wide();
Subject stream_state();
Subject stream_records();
Subject stream_insides();
Subject stream_wide_insides();
Subject complaints();
Subject spawning();
Subject resolver();
Subject remote_calls();

/// What this program does when a case starts it as another process: `--receiver` takes a connection from a Unix socket
/// and echoes what it brings until its end, `--echo` does it with an inherited one.
int receive_passed(int channel);
int echo_until_end(int fd);

}  // namespace sansock::parity
