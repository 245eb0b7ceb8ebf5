/* Who may call what, and when. Every function of the contract carries a tag such as [progress & established]; the
 * words mean this, and the host promises to keep to it, so that a plugin needs no locks for its own objects.
 *
 * Threads
 *   any       from any thread while the object exists, at the same time as anything else.
 *   control   one at a time per provider. A call that names an endpoint or a completion queue is never made at the same
 *             time as a [progress] call on that queue or on an endpoint of that queue. May allocate and make system
 *             calls. Never waits for the peer.
 *   progress  one at a time per completion queue, its endpoints included, from changing threads. Calls on different
 *             queues of one provider run at the same time, and at the same time as [control] calls on other objects.
 *             Never blocks, never allocates, never takes a lock that a blocked thread may hold.
 *   any, not progress
 *             a function of the host: from any thread of the plugin, at the same time as anything else, but never from
 *             inside a [progress] call, for it may allocate and write.
 *   control, from inside open_provider only
 *             a function of the host: by the thread that the host has called open_provider in, before that returns.
 *
 * States of a plugin
 *   loaded       the library is mapped, init has not run, or deinit has.
 *   initialized  init succeeded.
 *
 * States of an endpoint
 *   created      by create_endpoint.
 *   offered      by make_offer: it waits for the answer.
 *   connecting   by accept_offer or take_answer: both ends know each other, the provider still has work to do.
 *   established  messages can be sent.
 *   failed       nothing moves any more, only close is left.
 *
 * A state tag names the states in which the call is allowed, `|` between them; without one, every state is meant. A
 * call in another state returns SANSOCK_EINVAL, or SANSOCK_ENOTCONN where it says so, and changes nothing.
 *
 * fork: a child of fork never calls into an object that its parent made, not even to close it, unless
 * `sansock_limits.fork_safe` is 1. Memory and descriptors of the child go when it executes or exits.
 *
 * Signals: no function is called from a signal handler that interrupted a call into the same plugin. */
#pragma once
