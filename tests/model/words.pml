/* What the two ends of one connection know and say. docs/stream-protocol.md says which of its transitions T1, T2, ... are.
 *
 * End 0 and end 1; P(me) is the other. The direction that end `me` sends has the number of `me` as well. A byte of the
 * stream is modelled by its own offset, so a reader that gets anything but the next number has caught a lost, repeated,
 * overwritten or misplaced byte. */

/* The size of the world. A configuration may override any of these. */
#ifndef N0
#define N0 2            /* bytes that end 0 has to say */
#endif
#ifndef N1
#define N1 1            /* bytes that end 1 has to say */
#endif
#ifndef SENDQ
#define SENDQ 2         /* what an empty kernel send queue takes without blocking (`room`) */
#endif
#ifndef RECVQ
#define RECVQ 1         /* what a kernel receive queue holds */
#endif
#ifndef EPOCHS
#define EPOCHS 1        /* stays on the provider that are tried */
#endif
#if defined(MUT_WINDOW_OVER_ROOM) || defined(MUT_REPLAY_BLOCKS) || defined(MUT_REPLAY_SHORT)
#define WINDOW (SENDQ + 1)
#else
#define WINDOW SENDQ    /* I2: never keep more than the kernel takes in one go */
#endif

#define P(me)   (1 - (me))
#define N(me)   ((me) == 0 -> N0 : N1)
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define FOREIGN 99      /* a byte that no library call wrote */

/* Words that an end publishes. Nobody else writes them. An epoch of 0 means: never. */
#define OPEN     0
#define RESET    1
#define POISONED 2
#define CLOSED   3      /* closed with nothing kept and nothing unread */
#define LEFT     4      /* the socket belongs to somebody who does not read this page */
#define HAS_GONE_BACK(who) (w[who].state >= CLOSED)     /* answers no STEP, and owes none */
typedef Words {
    byte out;           /* tail: bytes that the application was told are sent */
    byte in;            /* consumed: bytes that the application has read */
    byte parked;        /* 0 awake, 1 asleep for a bounded time, 2 asleep until woken */
    byte ready;         /* epoch in which every wait of this end covers the provider as well */
    byte sw, x;         /* epoch of the last switch, and the offset of its first byte, X */
    byte frozen, z;     /* epoch of the last freeze, and the offset from which the peer repeats, Z */
    byte step;          /* epoch in which this end has stopped sending on the provider */
    byte stepped;       /* epoch whose bytes the kernel has all */
    bool fin; byte y;   /* the stream ends at Y */
    byte state
}
Words w[2];

/* What the processes of one end share and the peer never sees. */
#define NOTHING 0
#define END_OF_FILE 1
#define CONN_RESET 2
typedef Slab {
    bool out_lock, in_lock;
    byte result;        /* what the reader was told about the end of its stream */
    bool shut;          /* shutdown(SHUT_WR) was called */
    bool broken;        /* the writer was told EPIPE */
    bool want_step;
    byte leave;         /* 1: exec waits for the STEP; 2: a foreign image reads and writes the bare socket */
    byte leave_epoch;
    bool closing;       /* close() came with bytes still kept: the helper has the socket */
    bool owes_fin;      /* the kernel's FIN waits for the end of a STEP */
    bool done;          /* the application has closed */
    bool gone;          /* the helper has seen the peer's end on TCP */
    byte holders
}
Slab s[2];
byte ring[4 * 2 + 4];               /* the kept bytes; the peer may read them for as long as it maps them */
#define KEPT(me, i) ring[(me) * 4 + (i) % WINDOW]
bool bell[2];                       /* the wake object of the application's threads */
bool hbell[2];                      /* the helper's doorbell */
bool runs[2];                        /* the process is scheduled */
bool stopped[2];                    /* ... and never will be again, though it lives (SIGSTOP, a debugger) */
bool mute[2];                       /* the application never calls again; its helper lives */

/* The epoch that is on or comes next: each end reads it off both `stepped` words. An end that has left or closed has
 * stepped for good. */
byte epoch = 1;
#define EPOCH epoch
#define STEPPED(who, e) (w[who].stepped >= (e) || HAS_GONE_BACK(who))
#define FROZE(who, e)   (w[who].frozen >= (e) || HAS_GONE_BACK(who))
#ifdef MUT_EPOCH_EARLY
#define OVER(e) (STEPPED(0, e) || STEPPED(1, e))
#else
#define OVER(e) (STEPPED(0, e) && STEPPED(1, e))
#endif
inline count_epochs()
{
    if
    :: epoch <= EPOCHS && OVER(epoch) -> epoch++
    :: else
    fi
}

/* No further stay on the provider: the epochs are used up, or one direction has ended. */
#define PINNED(me) (EPOCH > EPOCHS || HAS_GONE_BACK(P(me)) || s[me].leave != 0 || \
                    (EPOCH > 1 && (w[0].fin || w[1].fin)))

/* Where a direction is. */
#define NATIVE_IMAGE(me)    (s[me].leave == 2)
#define OUT_ON_PROVIDER(me) (w[me].sw == EPOCH && w[me].stepped < EPOCH && !NATIVE_IMAGE(me))
#define IN_ON_PROVIDER(me)  (w[P(me)].sw == EPOCH && w[P(me)].stepped < EPOCH && !NATIVE_IMAGE(me))
#define PAST_X(me)          (IN_ON_PROVIDER(me) && w[me].in >= w[P(me)].x)
#define FROZEN(me)          (w[me].frozen >= EPOCH)
#define READS_WINDOW(me)    (PAST_X(me) && !FROZEN(me))
/* While this holds, the end of TCP means that the peer has closed or is dead, and no half-close (I4). */
#define END_IS_DEATH(me)    ((w[0].sw == EPOCH || w[1].sw == EPOCH) && w[P(me)].stepped < EPOCH && w[P(me)].state != LEFT && \
                             !NATIVE_IMAGE(me))
#define KEPT_FROM(me)       MAX(w[P(me)].in, w[me].x)
