// Situations that user space cannot model: the connection goes back to the kernel first.
#pragma once
#include <sys/socket.h>

#include "socket/connection.hpp"

namespace sansock::preload {

/// Every tracked connection that a message carries away (SCM_RIGHTS) steps back.
void descriptors_leave(const msghdr &message);
/// A new program is about to be started beside this one: what it would inherit is lent to it. `started`: it has been, or never will be.
void image_spawns();
void image_spawned();
/// One descriptor that the new program will have under another number.
void lend(int fd);
/// A new program takes this one's place: what it inherits steps back. After image_left() it is as any program that is no relative: this
/// process must have let go of all that it holds before.
void image_leaves();
void image_left();
/// Every tracked connection steps back: nobody knows what the new program, or the process, will do with which of them.
void everything_leaves(stream::Reason reason);
/// The process sets up io_uring's rings: what they read and write nobody sees, now or later.
void rings_come();
/// One descriptor, about to be used in a way that the library does not see.
void step_back(int fd, stream::Reason reason);

}  // namespace sansock::preload
