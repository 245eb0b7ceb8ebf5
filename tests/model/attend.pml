/* Who listens to the queue of a connection over messages, for spin (framework/socket/attendance.hpp, framework/path/carrier.hpp).
 *
 * Threads that block in a call listen to the queue themselves, and the helper does not meanwhile. A thread that waits in another way
 * (`may_attend` is false) is woken by whoever finds that something has come: so the helper has to listen while there is one. Whoever
 * moves things holds the carrier; who finds it held leaves word. The queue notifies once for each time that it was armed, of what comes
 * afterwards, by a descriptor that is readable until somebody arms the queue again. The helper's epoll tells it of an edge.
 *
 * Memory is sequentially consistent here: all that counts is stored and loaded so, or has a fence behind it. Without LOOKS the helper's
 * look every 20 ms is left out: nobody who waits may need it. With LOOKS everybody may go elsewhere, and what came is moved nonetheless. */

#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef READERS
#define READERS 1
#endif
#define THREADS 2                       /* readers, then pollers */
#define HELPER  THREADS

byte wire = MESSAGES, queue, tail;      /* on their way; completed; shown to the application */
bool armed, readable;                   /* the queue */
bool helper_listens = true, bell;
bool attended, waited, attending, looks;
bool lock;                              /* of the attendance */
bool held, look_again, arm_again;       /* the carrier */
bool believes_armed, notified;
bool listens[THREADS], parked[THREADS], event[THREADS], asleep[THREADS];
bool away[THREADS];
byte seen[THREADS];

#define OTHERS_WAIT (parked[0] || parked[1])

/* What came is shown to the application. */
inline poll_queue() { arrived = arrived || queue > 0; tail = tail + queue; queue = 0 }
inline arm_queue()  { believes_armed = true; readable = false; armed = true }

inline wake_thread(t)
{
    if
    :: parked[t] -> asleep[t] = false; event[t] = true
    :: else
    fi;
#ifndef MUT_LISTENERS_NOT_WOKEN
    event[t] = event[t] || (listens[t] && t != me)
#endif
}

/* Who finds the carrier held leaves word. */
inline try_round()
{
    if
    :: look_again && !held ->
       held = true; look_again = false;
       believes_armed = believes_armed && !notified;
       notified = false;
       poll_queue();
       arms = arm_again && !believes_armed;
       arm_again = false;
       rounds = true
    :: else -> rounds = false
    fi
}

inline move(arm, by_notification)
{
    atomic {
        notified = notified || by_notification;
        look_again = true;
        arm_again = arm_again || arm;
        try_round()
    }
    do
    :: rounds ->
       if
       :: arms ->
#ifdef MUT_ARMED_LAST
          atomic { poll_queue() }
          atomic { arm_queue() }
#else
          atomic { arm_queue() }
          atomic { poll_queue() }
#endif
       :: else
       fi;
       atomic { held = false; arms = false }
       atomic { try_round() }
    :: else -> break
    od;
    atomic {
        if
        :: arrived -> wake_thread(0); wake_thread(1)
        :: else
        fi;
        arrived = false
    }
}

inline take(what)   { atomic { !what -> what = true } }
inline rewind()     { atomic { helper_listens = true; bell = bell || readable } attended = false }

/* Nobody has asked for a notification since, perhaps. */
inline leave_to_helper()
{
    if
    :: attended ->
       take(lock);
       left = attended;
       if
       :: left -> rewind()
       :: else
       fi;
       lock = false;
       if
       :: left -> arm_now = !attended; move(arm_now, false); arm_now = false
       :: else
       fi;
       left = false
    :: else
    fi
}

inline attend()
{
    attends = false;
    if
    :: OTHERS_WAIT
    :: else ->
       waited = true;
       if
       :: !attended ->
          take(lock);
          if
          :: !attended -> helper_listens = false; attended = true
          :: else
          fi;
          lock = false
       :: else
       fi;
       if
       :: atomic { !attending -> attending = true; looks = true }       /* rings the helper */
       :: else
       fi;
       attends = true;
#ifndef MUT_NO_SECOND_LOOK
       if
       :: OTHERS_WAIT -> leave_to_helper(); attends = false
       :: else
       fi
#endif
    fi
}

inline sleep_listening()
{
    listens[me] = true;
    do
    :: move(true, false);
       if
       :: tail > seen[me] -> break
       :: else
       fi;
       atomic { readable || event[me] -> by_queue = readable; event[me] = false }
       if
       :: by_queue -> by_queue = false; move(false, true)
       :: else
       fi;
       if
       :: tail > seen[me] -> break
       :: else
       fi
    od;
    listens[me] = false
}

inline sleep_parked()
{
    parked[me] = true;
#ifndef MUT_HELPER_STAYS_DEAF
    leave_to_helper();
#endif
    arm_now = !attended;
    move(arm_now, false);
    arm_now = false;
    atomic { asleep[me] = tail == seen[me] }        /* a futex on the tail, or an eventfd after one more look */
    atomic { !asleep[me] -> event[me] = false; parked[me] = false }
}

proctype Thread(byte me; bool may_attend)
{
    bool arrived, arms, rounds, arm_now, left, attends, by_queue;
    do
    :: seen[me] == MESSAGES -> break
    :: true -> break                    /* goes elsewhere */
    :: seen[me] < MESSAGES ->
       if
       :: tail > seen[me]
       :: else ->
          if
          :: may_attend -> attend()
          :: else
          fi;
          if
          :: attends && attended -> sleep_listening()
          :: else -> sleep_parked()
          fi
       fi;
       atomic { seen[me] = tail; attends = false }
    od;
    away[me] = true
}

proctype Helper()
{
    bool arrived, arms, rounds, arm_now, left;
    byte me = HELPER;
    move(true, false);                  /* the connection begins */
end: do
    :: atomic { bell -> bell = false } move(true, true)
#ifdef LOOKS
    :: atomic { looks -> looks = false; attending = false }
       if
       :: attended && waited -> waited = false
       :: attended && !waited -> leave_to_helper()
       :: else
       fi;
#ifndef MUT_LOOKS_ONCE
       if
       :: atomic { attended -> attending = true; looks = true }
       :: else
       fi
#endif
#endif
    od
}

proctype Network()
{
    do
    :: wire == 0 -> break
    :: atomic { wire > 0 ->
           wire--; queue++;
           if
           :: armed -> armed = false; readable = true; bell = bell || helper_listens
           :: else
           fi }
    od
}

#define CONTENT(t) (away[t] || seen[t] == MESSAGES)

proctype Judge()
{
end: timeout ->
    assert(CONTENT(0) && CONTENT(1));         /* L1: nobody sleeps while it could go on */
#ifdef LOOKS
    assert(queue == 0)                                      /* L2: what came is moved, whoever is there */
#endif
}

init
{
    atomic {
        run Thread(0, true); run Thread(1, READERS > 1);
        run Helper(); run Network(); run Judge()
    }
}
