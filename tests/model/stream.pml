/* The stream protocol of one host, for spin: docs/stream-protocol.md is the text, tests/model/run the way to run it.
 *
 * Two ends, each with an application and a helper; kernel TCP between them, bounded; the window in shared memory; and one
 * fault. Every step of a process is atomic only as far as one store to a shared word, or one system call, is. */

#include "words.pml"
#ifdef PRESSURE
byte replayed[2];
#endif
#include "kernel.pml"
#include "application.pml"
#include "helper.pml"
#include "faults.pml"

/* Nobody can move any more. Was everything done that had to be? */
#define ALIVE(me) (runs[me] && !mute[me])

inline judge(me)
{
    if
    :: ALIVE(me) && !s[me].done ->
        /* Who was never ready sleeps in the kernel, and is owed what TCP has. */
        assert(s[me].closing || s[me].leave == 1 ||
               (w[me].ready == 0 || NATIVE_IMAGE(me) -> !TCP_WAKES(me) : IDLE(me)));    /* L1: nobody sleeps while it could go on */
        assert(!s[me].closing && s[me].leave != 1);                                     /* L2: close and exec end */
        assert(s[me].result != NOTHING || !TCP_ENDED(me));                              /* L3: nobody waits for the dead */
        assert(!ALIVE(P(me)))                                                           /* L4: only the silent are waited for */
    :: else
    fi;
    if
    :: runs[me] && runs[P(me)] && !NATIVE_IMAGE(me) && !s[me].done && !s[P(me)].done && !rst[me] && w[me].frozen > 0 ->
        assert(OVER(w[me].frozen))                                                      /* L5: a STEP needs no application */
    :: else
    fi
}

proctype Judge()
{
end: timeout ->
    judge(0); judge(1);
#if !defined(CRASH) && !defined(STOP) && !defined(MUTE) && !defined(INTRUDER) && !defined(HASTY)
    assert(w[0].out == N0 && w[1].out == N1 && w[0].in == N1 && w[1].in == N0 &&
           s[0].result == END_OF_FILE && s[1].result == END_OF_FILE)                    /* L6: with no fault, all arrives */
#endif
}

init
{
    atomic {
        runs[0] = true; runs[1] = true; s[0].holders = 1; s[1].holders = 1;
        run Kernel(); run Application(0); run Application(1); run Helper(0); run Helper(1);
#ifdef CRASH
        run Killer();
#endif
#ifdef STOP
        run Stopper();
#endif
#ifdef MUTE
        run Muter();
#endif
#ifdef INTRUDER
        run Intruder();
#endif
#ifdef FORK
        run Child();
#endif
        run Judge()
    }
}
