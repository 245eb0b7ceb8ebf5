/* The application's one thread at each end, inside the library. It wants to say its N bytes, shut down, read to the end of the
 * peer's stream, and close; in any order of reading and writing. */

#define READING(me)     (s[me].result == NOTHING && !s[me].in_lock)
#define WRITING(me)     (w[me].out < N(me) && !s[me].shut && !s[me].broken && !s[me].out_lock)

#define MAY_READ_TCP(me)    (READING(me) && READABLE(me) > 0 && !READS_WINDOW(me))
/* A frozen reader comes back to the window only when TCP has ended and is read out: T33. */
#define WINDOW_AGAIN(me)    (TCP_ENDED(me) && READABLE(me) == 0)
#ifdef MUT_REREAD_AFTER_STEPPED
#define WINDOW_VALID(me)    (w[P(me)].sw > 0 && w[me].in >= w[P(me)].x)
#else
#define WINDOW_VALID(me)    PAST_X(me)
#endif
#define MAY_READ_WINDOW(me) (READING(me) && WINDOW_VALID(me) && w[me].in < w[P(me)].out && (!FROZEN(me) || WINDOW_AGAIN(me)))
#define MAY_READ_FIN(me)    (READING(me) && !NATIVE_IMAGE(me) && w[P(me)].fin && w[me].in == w[P(me)].y)
/* On the data path nobody looks at TCP: its end is known only from the helper. */
#define END_SEEN(me)        (TCP_ENDED(me) && READABLE(me) == 0 && (!READS_WINDOW(me) || s[me].gone))
#ifdef MUT_NO_REREAD
#define MAY_READ_END(me)    (READING(me) && END_SEEN(me))
#else
#define MAY_READ_END(me)    (READING(me) && END_SEEN(me) && !MAY_READ_WINDOW(me))
#endif

#define MAY_WRITE_TCP(me)    (WRITING(me) && !OUT_ON_PROVIDER(me) && TCP_ROOM(me) > 0 && !rst[me])
#define MAY_WRITE_WINDOW(me) (WRITING(me) && OUT_ON_PROVIDER(me) && w[me].step < EPOCH && \
                              w[me].out - KEPT_FROM(me) < WINDOW && !s[me].gone)
#define WRITE_BREAKS(me)     (WRITING(me) && (s[me].gone || (rst[me] && !OUT_ON_PROVIDER(me))))
#define MAY_SHUT(me)         (w[me].out == N(me) && !s[me].shut && !s[me].broken && !s[me].out_lock)
#define MAY_CLOSE(me)        (s[me].result != NOTHING && (s[me].shut || s[me].broken) && !s[me].out_lock && !s[me].in_lock)

#define IDLE(me) (!MAY_READ_TCP(me) && !MAY_READ_WINDOW(me) && !MAY_READ_FIN(me) && !MAY_READ_END(me) && !MAY_WRITE_TCP(me) && \
                  !MAY_WRITE_WINDOW(me) && !WRITE_BREAKS(me) && !MAY_SHUT(me) && !MAY_CLOSE(me))
/* What a wait on the TCP socket answers to; and a wait on TCP and the wake object, where a reader of the window leaves TCP out. */
#ifdef MUT_WAIT_ON_STANDING_FIN
#define TCP_INPUT(me)  (READABLE(me) > 0 || TCP_ENDED(me))
#else
#define TCP_INPUT(me)  (s[me].result == NOTHING && (READABLE(me) > 0 || TCP_ENDED(me)))
#endif
#define TCP_OUTPUT(me) (MAY_WRITE_TCP(me) || (WRITING(me) && rst[me]))
#define TCP_WAKES(me)  (TCP_INPUT(me) || TCP_OUTPUT(me))
#ifdef MUT_WAIT_FORGETS_TCP_ROOM
#define BELL_WAKES(me) (bell[me] || (TCP_WAKES(me) && !READS_WINDOW(me)))
#else
#define BELL_WAKES(me) (bell[me] || (TCP_INPUT(me) && !READS_WINDOW(me)) || (TCP_OUTPUT(me) && !OUT_ON_PROVIDER(me)))
#endif

#define MAY_SAY_READY(me) (w[me].ready < EPOCH && !PINNED(me) && s[me].result == NOTHING && s[me].holders == 1 && \
                           w[me].frozen < EPOCH && !kfin[me])
#ifdef MUT_SWITCH_BUSY_QUEUE
#define QUIET(me) (!alien[me])
#else
#define QUIET(me) (unsent[me] == 0 && !alien[me])
#endif
#ifdef MUT_NO_HOLDERS_CHECK
#define ONE_HOLDER(me) true
#else
#define ONE_HOLDER(me) (s[me].holders == 1)
#endif
#define MAY_SWITCH(me) (WRITING(me) && s[me].leave == 0 && w[P(me)].ready == EPOCH && w[me].sw < EPOCH && w[me].frozen < EPOCH && w[me].step < EPOCH && \
                        w[P(me)].step < EPOCH && QUIET(me) && ONE_HOLDER(me) && !s[me].gone && !rst[me] && !kfin[me])

/* A cold word has changed: both sides fence, so a sleeper is never missed. */
inline wake_app(me)
{
    if
    :: w[me].parked > 0 -> bell[me] = true
    :: else
    fi
}

/* The data path's look at `parked` is a plain load, which may be older than the bytes just published. While the sleeper's first
 * sleep is bounded it may therefore be missed, never later: park.pml shows why. */
inline wake_app_lazily(me)
{
#ifndef MUT_NO_DATA_BELL
    if
    :: w[me].parked > 0 -> bell[me] = true
#ifdef PARKING
    :: w[me].parked == 1
#endif
    :: w[me].parked == 0
    fi
#else
    skip
#endif
}

/* The checks that every byte and every end goes through. */
#ifdef MUT_SEND_BEFORE_PUBLISH
byte told_count[2];
#define TOLD(me) told_count[me]
inline told(me) { told_count[me] = w[me].out + 1 }
#else
#define TOLD(me) w[me].out
inline told(me) { skip }
#endif
inline deliver(me, got, offset) { assert(got == offset) }            /* S1: every byte once, in order, and no other */
inline end_of_file(me)
{
    assert(w[me].in == TOLD(P(me)));                                  /* S2: a clean end means a whole stream */
    assert(s[P(me)].shut || s[P(me)].closing || (shut_down[P(me)] &&
           (!END_IS_DEATH(me) || w[P(me)].in >= w[me].out)));         /* S3: and nothing of ours left unread */
    s[me].result = END_OF_FILE
}

/* T34: the end of TCP, and nothing is left to deliver. What is the reader told? */
#ifdef MUT_UNREAD_OUTPUT_IS_CLEAN
#define OUTPUT_UNREAD(me) false
#else
#define OUTPUT_UNREAD(me) (w[P(me)].in < w[me].out)
#endif
inline judge_end(me)
{
    if
    :: !rst[me] && !END_IS_DEATH(me) -> end_of_file(me)         /* the kernel's own answer */
    :: !rst[me] && END_IS_DEATH(me) && w[P(me)].state != RESET && w[P(me)].state != POISONED && !OUTPUT_UNREAD(me) -> end_of_file(me)
    :: else -> s[me].result = CONN_RESET
    fi
}

/* T23, T24, T25. The kernel may say FIN only where it cannot be taken for a death (I4). */
#define NATIVE(me) (NATIVE_IMAGE(me) || w[me].stepped >= EPOCH || (w[me].ready < EPOCH && w[me].sw < EPOCH))
inline shutdown_writing(me)
{
    if
    :: NATIVE(me) -> kfin[me] = true
    :: else ->
        w[me].y = w[me].out; w[me].fin = true; wake_app(P(me));
#ifdef MUT_KERNEL_FIN_ON_SHUTDOWN
        kfin[me] = true;
#endif
        if
        :: w[P(me)].ready < EPOCH && w[me].sw < EPOCH -> s[me].want_step = true; hbell[me] = true
        :: else
        fi
    fi
}

/* T27, T28, T29. */
inline close_socket(me)
{
    if
    :: len(q[P(me)]) > 0 || (IN_ON_PROVIDER(me) && w[me].in < w[P(me)].out) ->
        w[me].state = RESET; rst[P(me)] = true; shut_down[me] = true; s[me].done = true
    :: else ->
        if
#ifndef MUT_NO_COUNT_AT_CLOSE
        :: OUT_ON_PROVIDER(me) && alien[me] -> poison(me); tcp_close(me); s[me].done = true
#endif
#ifndef MUT_CLOSE_FORGETS_KEPT
        :: OUT_ON_PROVIDER(me) && !alien[me] && w[P(me)].in < w[me].out && !rst[me] ->
            w[me].y = w[me].out; w[me].fin = true; wake_app(P(me));
            s[me].closing = true; s[me].leave_epoch = EPOCH; s[me].want_step = true; hbell[me] = true
#endif
        :: else ->
            tcp_close(me); s[me].done = true;
            if
#ifndef MUT_CLOSE_UNSEEN
            :: w[me].state == OPEN ->
                w[me].z = w[me].in; w[me].state = CLOSED; count_epochs(); hbell[P(me)] = true; wake_app(P(me))
#endif
            :: else
            fi
        fi
    fi
}

/* T36: nobody is left who could answer a STEP, or nothing was switched and nothing will be. */
#define PEER_ENDED(me) ((s[me].gone && END_IS_DEATH(me)) || (TCP_ENDED(me) && w[0].sw < EPOCH && w[1].sw < EPOCH))

/* T21. The peer must not wait for answers from somebody who no longer reads this page. */
inline left(me)
{
    assert(rst[me] || shut_down[P(me)] || (len(q[P(me)]) == w[P(me)].out - w[me].in &&
                                           len(q[me]) == w[me].out - w[P(me)].in));    /* S4: the kernel has it all */
    s[me].leave = 2;
#ifndef MUT_LEAVE_UNSEEN
    w[me].state = LEFT;
#endif
    count_epochs(); hbell[P(me)] = true; wake_app(P(me))
}

proctype Application(byte me) provided (runs[me] && !mute[me])
{
    byte v;
    do
    /* T2 */
#ifndef MUT_READY_BY_HELPER
    :: atomic { MAY_SAY_READY(me) -> w[me].ready = EPOCH }
#endif
    /* T3, in a send call, under the out lock */
    :: atomic { MAY_SWITCH(me) -> w[me].x = w[me].out; w[me].sw = EPOCH }

    /* T6 */
    :: atomic { MAY_WRITE_TCP(me) -> tcp_send(me, w[me].out); told(me); w[me].out++ }
    /* T7, T8: the bytes first, then the tail */
    :: atomic { MAY_WRITE_WINDOW(me) -> s[me].out_lock = true; KEPT(me, w[me].out) = w[me].out; told(me) }
       atomic { w[me].out++; s[me].out_lock = false; wake_app_lazily(P(me)) }
    /* T35 */
    :: atomic { WRITE_BREAKS(me) -> s[me].broken = true }

    /* T9; T31 where bytes lie beyond X that the peer cannot have sent */
    :: atomic { MAY_READ_TCP(me) -> q[P(me)]?v;
           if
#ifndef MUT_DELIVER_FOREIGN
           :: PAST_X(me) && w[P(me)].step < EPOCH -> poison(me)
#endif
           :: else -> deliver(me, v, w[me].in); w[me].in++
           fi; v = 0 }
    /* T4, T10, T11: the room is given back only once the application has the byte (I1) */
#ifndef MUT_FREE_BEFORE_CONSUMED
    :: atomic { MAY_READ_WINDOW(me) -> s[me].in_lock = true; v = KEPT(P(me), w[me].in) }
       atomic { deliver(me, v, w[me].in); w[me].in++; v = 0; s[me].in_lock = false; wake_app_lazily(P(me)) }
#else
    :: atomic { MAY_READ_WINDOW(me) -> s[me].in_lock = true; w[me].in++ }
       atomic { deliver(me, KEPT(P(me), w[me].in - 1), w[me].in - 1); s[me].in_lock = false; wake_app_lazily(P(me)) }
#endif
    /* T26 */
    :: atomic { MAY_READ_FIN(me) -> end_of_file(me) }
    /* T34 */
    :: atomic { MAY_READ_END(me) -> judge_end(me) }

    /* T23, T24, T25 */
    :: atomic { MAY_SHUT(me) -> s[me].shut = true; shutdown_writing(me) }
    /* T27, T28, T29 */
    :: atomic { MAY_CLOSE(me) -> close_socket(me) } break
#ifdef HASTY       /* bit i: end i */
    :: atomic { (HASTY >> me) % 2 == 1 -> close_socket(me) } break
#endif

#ifdef LEAVES      /* bit i: end i */
    /* T20, T21: exec, or handing the descriptor to another program */
    :: atomic { (LEAVES >> me) % 2 == 1 && s[me].leave == 0 && !s[me].owes_fin ->
           s[me].leave = 1;
           if
           :: w[me].ready < EPOCH && w[me].sw < EPOCH -> left(me)
           :: else -> s[me].leave_epoch = EPOCH; s[me].want_step = true; hbell[me] = true
           fi }
       atomic {
           if
           :: s[me].leave == 2
#ifdef MUT_LEAVE_EARLY
           :: s[me].leave == 1 && w[me].stepped >= s[me].leave_epoch && !s[me].owes_fin -> left(me)
#else
           :: s[me].leave == 1 && OVER(s[me].leave_epoch) && !s[me].owes_fin -> left(me)
#endif
           /* T36: the peer has ended, so no answer comes. Does a window hold what the kernel does not, or the kernel what is foreign? */
           :: s[me].leave == 1 && PEER_ENDED(me) && !OVER(s[me].leave_epoch) ->
               if
               :: (IN_ON_PROVIDER(me) && w[me].in < w[P(me)].out) || (OUT_ON_PROVIDER(me) && w[P(me)].in < w[me].out) ||
                  (PAST_X(me) && w[P(me)].step < EPOCH && READABLE(me) > 0) || (OUT_ON_PROVIDER(me) && alien[me]) -> poison(me)
               :: else -> left(me)
               fi
           /* T22: no answer within the bound */
#ifndef MUT_LEAVE_UNBOUNDED
           :: s[me].leave == 1 && !runs[P(me)] && !OVER(s[me].leave_epoch) -> poison(me)
#endif
           fi }
#endif

    /* Nothing to do, and no wait covers more than the TCP socket. */
    :: atomic { IDLE(me) && (w[me].ready == 0 || NATIVE_IMAGE(me)) -> skip }
       atomic { TCP_WAKES(me) -> skip }
    /* T12, T13, T14 */
    :: atomic { IDLE(me) && w[me].ready > 0 && s[me].leave == 0 -> skip }
       w[me].parked = 1;
       if
#ifndef MUT_PARK_WITHOUT_RECHECK
       :: atomic { !IDLE(me) -> w[me].parked = 0; bell[me] = false }
       :: atomic { IDLE(me) -> skip }
#else
       :: true ->
#endif
#ifdef PARKING
          if
          :: atomic { BELL_WAKES(me) -> w[me].parked = 0; bell[me] = false } goto awake
#ifndef MUT_PARK_UNBOUNDED
          :: atomic { !IDLE(me) -> w[me].parked = 0; bell[me] = false } goto awake    /* the bound, and the second look */
#endif
          :: atomic { IDLE(me) -> w[me].parked = 2 }
          fi;
#endif
          atomic { BELL_WAKES(me) -> w[me].parked = 0; bell[me] = false }
       fi;
awake: skip
    od
}
