/* The helper thread at each end: it answers the peer and finishes what the application began, with no call of the application. Every
 * change of a cold word rings it; it also hears of the TCP socket's events while something is on the provider. */

#ifdef MUT_STEP_ONE_DIRECTION
#define ASKED_TO_STEP(me) s[me].want_step
#define WANTS_STOP(me)    (EPOCH <= EPOCHS && w[me].step < EPOCH && (w[me].frozen >= EPOCH || w[P(me)].step >= EPOCH))
#else
#define ASKED_TO_STEP(me) (s[me].want_step || w[P(me)].step >= EPOCH || w[P(me)].frozen >= EPOCH)
#define WANTS_STOP(me)    (EPOCH <= EPOCHS && w[me].step < EPOCH && w[me].frozen >= EPOCH)
#endif
#define WANTS_FREEZE(me) (EPOCH <= EPOCHS && w[me].frozen < EPOCH && ASKED_TO_STEP(me))
#define WANTS_REPLAY(me) (EPOCH <= EPOCHS && w[me].step >= EPOCH && FROZE(P(me), EPOCH) && w[me].stepped < EPOCH)
/* T30; the last two: the peer does not answer, or is gone. The window stays mapped at the peer, which reads it to the end. */
#define WANTS_CLOSE(me)  (s[me].closing && !s[me].done && !s[me].owes_fin && (OVER(s[me].leave_epoch) || \
                          stopped[P(me)] || rst[me] || PEER_ENDED(me)))
#define HELPER_IDLE(me) (!WANTS_FREEZE(me) && !WANTS_STOP(me) && !WANTS_REPLAY(me) && !WANTS_CLOSE(me) && !s[me].owes_fin)

#ifdef MUT_FREEZE_WITHOUT_LOCK
#define IN_LOCK_FREE(me) true
#else
#define IN_LOCK_FREE(me) (!s[me].in_lock)
#endif
#ifdef MUT_STOP_WITHOUT_LOCK
#define OUT_LOCK_FREE(me) true
#else
#define OUT_LOCK_FREE(me) (!s[me].out_lock)
#endif
#ifdef MUT_NO_STEP_BELL
#define RING_HELPER(me) skip
#else
#define RING_HELPER(me) hbell[me] = true
#endif

/* The first byte to repeat. Bytes below X are in the kernel's hands already. */
#ifdef MUT_REPEAT_BELOW_X
#define REPEAT_FROM(me) (w[P(me)].z)
#else
#define REPEAT_FROM(me) MAX(w[P(me)].z, w[me].x)
#endif

/* T16: from here on this end reads TCP only. */
inline freeze(me)
{
    s[me].want_step = false;
    if
#ifndef MUT_DELIVER_FOREIGN
    :: READS_WINDOW(me) && READABLE(me) > 0 -> poison(me)
#endif
    :: else -> w[me].z = w[me].in; w[me].frozen = EPOCH; RING_HELPER(P(me)); wake_app(me)
    fi
}

inline fits(me) { assert(TCP_ROOM(me) > 0) }          /* S5: the kernel takes all that was kept, at once */

/* T18: one non-blocking send of all that the peer has not consumed. */
inline replay(me)
{
    if
    :: w[me].sw == EPOCH ->
        r = REPEAT_FROM(me);
        do
        :: r >= w[me].out -> r = 0; break
        :: r < w[me].out ->
#if defined(MUT_REPLAY_BLOCKS)
            TCP_ROOM(me) > 0 || shut_down[P(me)] -> tcp_send(me, KEPT(me, r))
#elif defined(MUT_REPLAY_SHORT)
            if
            :: TCP_ROOM(me) > 0 -> tcp_send(me, KEPT(me, r))
            :: else
            fi
#else
            fits(me); tcp_send(me, KEPT(me, r))
#endif
            ; r++
        od
    :: else
    fi
}

inline say_stepped(me)
{
    w[me].stepped = EPOCH; count_epochs(); hbell[P(me)] = true;
    wake_app(P(me)); wake_app(me)
}

#ifdef MUT_ANSWER_BY_APPLICATION
#define HELPS(me) (runs[me] && !NATIVE_IMAGE(me) && !s[me].done && !mute[me])
#else
#define HELPS(me) (runs[me] && !NATIVE_IMAGE(me) && !s[me].done)
#endif
proctype Helper(byte me) provided (HELPS(me))
{
    byte r;
#ifdef MUT_STEPPED_BEFORE_REPLAY
    bool switched;
#endif
end: do
#ifdef MUT_READY_BY_HELPER
    :: atomic { MAY_SAY_READY(me) -> w[me].ready = EPOCH }
#endif
    :: atomic { hbell[me] && WANTS_FREEZE(me) && IN_LOCK_FREE(me) -> freeze(me) }
#ifdef DRAIN
    /* T15: a drain, a reload or a failing provider */
    :: atomic { EPOCH <= EPOCHS && w[me].frozen < EPOCH && w[me].ready > 0 && IN_LOCK_FREE(me) && !shut_down[me] ->
           hbell[me] = true; freeze(me) }
#endif
    /* T17 */
    :: atomic { hbell[me] && WANTS_STOP(me) && OUT_LOCK_FREE(me) ->
           if
#ifndef MUT_NO_COUNT_BEFORE_REPLAY
           :: alien[me] && OUT_ON_PROVIDER(me) -> poison(me)
#endif
           :: else -> w[me].step = EPOCH; RING_HELPER(P(me)); wake_app(P(me))
           fi }
    /* T18, T19 */
#if defined(MUT_STEPPED_BEFORE_REPLAY)
    :: atomic { hbell[me] && WANTS_REPLAY(me) && OUT_LOCK_FREE(me) ->
           s[me].out_lock = true; s[me].owes_fin = w[me].fin && !kfin[me]; switched = (w[me].sw == EPOCH); say_stepped(me) }
       atomic {
           if
           :: switched -> r = REPEAT_FROM(me);
               do
               :: r < w[me].out -> tcp_send(me, KEPT(me, r)); r++
               :: r >= w[me].out -> break
               od
           :: else
           fi; s[me].out_lock = false }
#elif defined(MUT_FIN_BEFORE_STEPPED)
    :: atomic { hbell[me] && WANTS_REPLAY(me) && OUT_LOCK_FREE(me) ->
           s[me].out_lock = true; replay(me); kfin[me] = kfin[me] || w[me].fin }
       atomic { say_stepped(me); s[me].out_lock = false }
#elif defined(PRESSURE)
    /* The kernel takes a byte at a time; nobody else writes meanwhile, for this end has stopped. */
    :: atomic { hbell[me] && WANTS_REPLAY(me) && OUT_LOCK_FREE(me) && w[me].sw == EPOCH && replayed[me] < w[me].out &&
                (TCP_ROOM(me) > 0 || shut_down[P(me)]) ->
           r = MAX(replayed[me], REPEAT_FROM(me));
           if
           :: r < w[me].out -> tcp_send(me, KEPT(me, r)); replayed[me] = r + 1
           :: else -> replayed[me] = w[me].out
           fi; r = 0 }
    :: atomic { hbell[me] && WANTS_REPLAY(me) && OUT_LOCK_FREE(me) && (w[me].sw < EPOCH || replayed[me] == w[me].out) ->
           s[me].owes_fin = w[me].fin && !kfin[me]; say_stepped(me) }
#else
    :: atomic { hbell[me] && WANTS_REPLAY(me) && OUT_LOCK_FREE(me) ->
           s[me].out_lock = true; replay(me);
#ifndef MUT_FIN_FORGOTTEN
           s[me].owes_fin = w[me].fin && !kfin[me];
#endif
           s[me].out_lock = false; say_stepped(me) }
#endif
    :: atomic { s[me].owes_fin -> s[me].owes_fin = false; kfin[me] = true }
    /* T30 */
    :: atomic { WANTS_CLOSE(me) -> tcp_close(me); s[me].done = true }
    /* T31 */
#ifndef MUT_DELIVER_FOREIGN
    :: atomic { READS_WINDOW(me) && READABLE(me) > 0 && !rst[me] -> poison(me) }
#endif
    /* T32 */
#ifndef MUT_END_NOT_FORWARDED
    :: atomic { TCP_ENDED(me) && END_IS_DEATH(me) && !s[me].gone -> s[me].gone = true; wake_app(me) }
#endif
    /* The bell is cleared before the words are read; one step here, for whatever changes afterwards rings again. */
    :: atomic { hbell[me] && HELPER_IDLE(me) -> hbell[me] = false }
    od
}
