/* Sleeping without a fence on the data path, for spin.
 *
 * A sender stores its tail and then loads the peer's `parked` word, with no fence between: the load may overtake the store, and a
 * receiver that has just parked may be missed. The receiver answers with time: it sets `parked`, fences, looks again, sleeps for a bound
 * that is far longer than any store takes to become visible, looks again, and only then sleeps until it is woken. stream.pml takes the
 * result for granted: a bell may be missed during the bounded sleep, and at no other time.
 *
 * Two actors, symmetric: 0 sends and waits for room, 1 receives and waits for bytes. Each has a store buffer (x86-TSO; what a weaker
 * machine adds for a release store followed by a load is the same: the store becomes visible late). */

#ifndef MESSAGES
#define MESSAGES 4
#endif
#define P(me) (1 - (me))

#define COUNT 0                         /* tail of actor 0, consumed of actor 1 */
#define PARKED 1                        /* 0, or the ticket of this sleep */
typedef Shared { byte word[2] }
Shared mem[2];                          /* what everybody sees */
chan buffer[2] = [4] of { bit, byte };  /* stores on their way */
byte owed[2];                           /* stores of this actor that were on their way when the peer went to sleep */
bool event[2];                          /* eventfd: stays set until its owner takes it */
bool asleep[2];                         /* futex: a wake finds a sleeper or is lost */
byte sent[2];

/* May `me` go on, as far as it can see? The window has one place. */
#define SEES_WORK(me) (me == 0 -> sent[0] - mem[1].word[COUNT] < 1 : mem[0].word[COUNT] > sent[1])

/* Has the peer anything to do, by what it had counted when it went to sleep? Its count is loaded after its ticket. */
#ifdef MUT_WAKE_FOR_NOTHING
#define PEER_HAS_WORK(me) true
#else
#define PEER_HAS_WORK(me) (me == 0 -> mem[1].word[COUNT] < sent[0] : mem[0].word[COUNT] - sent[1] < 1)
#endif

inline store(which, value) { buffer[me]!which, value }

inline publish()
{
#ifdef MUT_LOOK_BEFORE_STORE
    ticket_seen = mem[P(me)].word[PARKED];
    atomic { sent[me]++; store(COUNT, sent[me]) }
#else
    atomic { sent[me]++; store(COUNT, sent[me]) }
    ticket_seen = mem[P(me)].word[PARKED];
#endif
    if
    /* One system call for one sleep, so it must not be spent on a sleeper that has nothing to wake up for: that one would lie down
     * again with the same ticket. */
    :: atomic { ticket_seen != 0 && ticket_seen != ticket_woken && PEER_HAS_WORK(me) -> ticket_woken = ticket_seen }
       atomic { empty(buffer[me]) -> event[P(me)] = true; asleep[P(me)] = false }   /* the kernel's side has its barriers */
    :: else
    fi;
    ticket_seen = 0
}

#ifdef FUTEX
/* futex_wait on the peer's count: the kernel compares it with what we saw, and queues us, in one step. */
#ifdef MUT_FUTEX_ON_OWN_WORD
#define GO_TO_SLEEP asleep[me] = true
#else
#define GO_TO_SLEEP asleep[me] = !SEES_WORK(me)
#endif
#define WOKEN !asleep[me]
#else
#define GO_TO_SLEEP skip
#define WOKEN event[me]
#endif

proctype Actor(byte me)
{
    byte ticket, ticket_seen, ticket_woken;
    do
    :: sent[me] == MESSAGES -> break
    :: atomic { sent[me] < MESSAGES && SEES_WORK(me) -> skip } publish()
    :: atomic { sent[me] < MESSAGES && !SEES_WORK(me) -> ticket++; store(PARKED, ticket) }
       atomic { empty(buffer[me]) -> owed[P(me)] = len(buffer[P(me)]) }         /* the fence */
       if
#ifndef MUT_PARK_WITHOUT_RECHECK
       :: atomic { SEES_WORK(me) -> skip }
       :: atomic { !SEES_WORK(me) -> skip }
#else
       :: true
#endif
          GO_TO_SLEEP;
          if
          :: atomic { WOKEN -> skip }
#ifndef MUT_PARK_UNBOUNDED
#ifdef MUT_BOUND_TOO_SHORT
          :: true ->
#else
          :: atomic { owed[P(me)] == 0 -> skip }                                /* the bound */
#endif
             if
#ifndef MUT_NO_SECOND_LOOK
             :: atomic { SEES_WORK(me) -> asleep[me] = false }
             :: atomic { !SEES_WORK(me) -> skip }
#else
             :: true
#endif
                GO_TO_SLEEP;
                atomic { WOKEN -> skip }
             fi
#endif
          fi
       fi;
       atomic { event[me] = false; asleep[me] = false; store(PARKED, 0) }
    od
}

/* Stores become visible in order, each at its own time. */
proctype Visible(byte me)
{
    bit which; byte value;
end: do
    :: atomic { buffer[me]?which, value ->
           mem[me].word[which] = value;
           owed[me] = (owed[me] > 0 -> owed[me] - 1 : 0);
           which = 0; value = 0 }
    od
}

proctype Judge()
{
end: timeout -> assert(sent[0] == MESSAGES && sent[1] == MESSAGES)      /* L1: nobody sleeps while it could go on */
}

init { atomic { run Actor(0); run Actor(1); run Visible(0); run Visible(1); run Judge() } }
