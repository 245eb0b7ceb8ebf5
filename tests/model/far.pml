/* Two hosts, for spin: TCP, the provider and the words go three ways, none of which knows how far the others are.
 *
 * stream.pml has the protocol of one host, where an end reads the peer's words in the peer's memory: what was said before a byte was sent is
 * there when the byte is. Between hosts each end reads a mirror, into which the words come over a connection of their own, always in the
 * order in which they were said, however late. All words travel together, so a mirror is what the peer's were at some moment, and that moment
 * never goes back: a copy at any time, or at no time any more, is all that a connection can do.
 *
 * One epoch: another one begins when both ends have said over the same connection that they rest, behind all words of this one, and so it
 * begins as this one does. No windows that mind their size (stream.pml), and applications that say their N bytes, shut
 * down, read to the end and close. The rules' numbers are those of docs/stream-protocol.md. */

#ifndef N0
#define N0 2
#endif
#ifndef N1
#define N1 2
#endif
#define N(me) (me == 0 -> N0 : N1)
#define P(me) (1 - (me))
#ifndef DRAINS
#define DRAINS 0                  /* bit i: end i steps back at any moment */
#endif
#define WINDOW 2
#define END 255
#define LOST 254                  /* the kernel's reset */

typedef Words { bool ready, sw, frozen, step, stepped, fin, left; byte x, z, y }
Words w[2];                       /* as end i has said them */
Words seen[2];                    /* as they have come to the other end */
chan wire[2] = [9] of { byte };   /* TCP, from end i: on its way, */
chan q[2] = [9] of { byte };      /* and arrived, unread */
chan path[2] = [2] of { byte };   /* messages of the provider, from end i */

byte out[2], in[2];
byte posted[2];                   /* bytes of end i that have gone into messages */
byte landed[2];                   /* and those that lie at the other end */
byte told[2];                     /* what the other end has read of them, as messages have said */
bool reads_path[2], shut[2], ended[2], finished[2];
bool path_dead, cut, reset, alone[2], dead[2];
mtype = { NOTHING, END_OF_FILE, CONN_RESET }
mtype result[2] = NOTHING;

#define LIVES(me)      (!dead[me] && !finished[me])
#define ON_TCP(me)     (!w[me].sw || w[me].stepped)
#define STOPPED(me)    (w[me].step && !w[me].stepped)
#define KEPT_FROM(me)  (told[me] > w[me].x -> told[me] : w[me].x)
#define KEEPS(me)      (w[me].sw && !w[me].stepped && KEPT_FROM(me) < out[me])
#define TCP_AT_END(me) (q[P(me)]?[END])
/* The other end was on the provider, or we were, and it has not said that it is back. */
#define DIED(me)       ((w[me].sw || seen[P(me)].sw) && !seen[P(me)].stepped && !seen[P(me)].left)

inline hear(me)
{
    d_step {
        seen[P(me)].ready = w[P(me)].ready; seen[P(me)].sw = w[P(me)].sw; seen[P(me)].frozen = w[P(me)].frozen;
        seen[P(me)].step = w[P(me)].step; seen[P(me)].stepped = w[P(me)].stepped; seen[P(me)].fin = w[P(me)].fin;
        seen[P(me)].left = w[P(me)].left;
        seen[P(me)].x = w[P(me)].x; seen[P(me)].z = w[P(me)].z; seen[P(me)].y = w[P(me)].y
    }
}
#define UNHEARD(me) (seen[P(me)].ready != w[P(me)].ready || seen[P(me)].sw != w[P(me)].sw || seen[P(me)].frozen != w[P(me)].frozen || \
                     seen[P(me)].step != w[P(me)].step || seen[P(me)].stepped != w[P(me)].stepped || seen[P(me)].fin != w[P(me)].fin || \
                     seen[P(me)].left != w[P(me)].left)

inline end_of_file(me)
{
    assert(in[me] == out[P(me)] && (shut[P(me)] || dead[P(me)]));    /* S2: a clean end means a whole stream */
    result[me] = END_OF_FILE
}

/* The kernel's FIN, and nothing else is left to read: a process that dies with bytes kept is guarded, and the kernel resets for it. But
 * whether it was a death, after which nothing can be sent, the words say, which may come later: the other end is asked, whose answer comes
 * behind all that it has said. Nobody answers: it is dead. */
inline judge_end(me)
{
#ifndef MUT_END_BEFORE_WORDS
    if
    :: !cut -> hear(me)
    :: else
    fi;
#endif
    assert(!DIED(me) || (seen[P(me)].fin && in[me] == seen[P(me)].y) || dead[P(me)] || cut);   /* S6: who lives is not taken for dead */
    end_of_file(me)
}

inline repeat(me)
{
    byte at;
#ifdef MUT_REPEAT_BELOW_X
    at = seen[P(me)].z;
#else
    at = (seen[P(me)].z > w[me].x -> seen[P(me)].z : w[me].x);
#endif
    do
    :: at < out[me] -> wire[me]!at; at++
    :: else -> break
    od;
    at = 0
}

proctype Application(byte me)
{
    byte v;
    do
    /* U2 */
    :: atomic { LIVES(me) && !w[me].ready && !w[me].frozen && !shut[me] && result[me] == NOTHING -> w[me].ready = true }
    /* U3: the kernel's queue is empty once everything has arrived over there */
    :: atomic { LIVES(me) && out[me] < N(me) && seen[P(me)].ready && !w[me].sw && !w[me].step && !seen[P(me)].step && len(wire[me]) == 0 ->
           w[me].x = out[me]; posted[me] = out[me]; w[me].sw = true }
    :: atomic { LIVES(me) && out[me] < N(me) && ON_TCP(me) && !STOPPED(me) && result[me] != CONN_RESET && len(wire[me]) < 9 ->
           wire[me]!out[me]; out[me]++ }
    /* D1, M1 */
    :: atomic { LIVES(me) && out[me] < N(me) && w[me].sw && !w[me].step && out[me] - KEPT_FROM(me) < WINDOW -> out[me]++ }
    :: atomic { LIVES(me) && w[me].sw && posted[me] < out[me] && !w[me].frozen && !seen[P(me)].frozen && !path_dead && len(path[me]) < 2 ->
           path[me]!posted[me]; posted[me]++ }
    :: atomic { LIVES(me) && !w[me].frozen && len(path[P(me)]) > 0 -> path[P(me)]?v; landed[P(me)] = v + 1; v = 0 }
    /* M2 */
    :: atomic { LIVES(me) && !path_dead && !w[me].frozen && w[me].sw && told[me] < in[P(me)] -> told[me] = in[P(me)] }
    /* The words that have come */
    :: atomic { LIVES(me) && !cut && UNHEARD(me) -> hear(me) }

    /* D2 */
    :: atomic { LIVES(me) && !reads_path[me] && len(q[P(me)]) > 0 && !TCP_AT_END(me) && !q[P(me)]?[LOST] && result[me] == NOTHING ->
           q[P(me)]?v;
           if
#ifdef MUT_REPEATED_IS_FOREIGN
           :: seen[P(me)].sw && !seen[P(me)].step && in[me] >= seen[P(me)].x -> assert(false)   /* S5: nothing is taken for foreign */
#endif
           :: else -> assert(v == in[me]); in[me]++             /* S1: every byte once, in order, and no other */
           fi; v = 0 }
    :: atomic { LIVES(me) && reads_path[me] && in[me] < landed[P(me)] && result[me] == NOTHING -> in[me]++ }
    /* U5 */
    :: atomic { LIVES(me) && !reads_path[me] && seen[P(me)].sw && !w[me].frozen && in[me] == seen[P(me)].x ->
           assert(len(q[P(me)]) == 0 || TCP_AT_END(me) || q[P(me)]?[LOST]);           /* S5: nothing is taken for foreign */
           reads_path[me] = true }

    /* S1, S2: an operator, a provider that has failed, an end that was named to a peer that does not cover the provider, or the other end */
    :: atomic { LIVES(me) && !w[me].step && (w[me].ready || w[me].sw) &&
           (path_dead || (DRAINS >> me) % 2 == 1
#ifndef MUT_NO_ANSWER
            || seen[P(me)].step
#endif
            || (w[me].fin && !seen[P(me)].ready)) ->
           if
           :: reads_path[me] -> assert(len(q[P(me)]) == 0 || TCP_AT_END(me) || q[P(me)]?[LOST])   /* S5: nothing is taken for foreign */
           :: else
           fi;
           w[me].z = (seen[P(me)].sw && seen[P(me)].x > in[me] -> seen[P(me)].x : in[me]);
#ifdef MUT_READS_ON
           w[me].frozen = true; w[me].step = true }
#else
           w[me].frozen = true; w[me].step = true; reads_path[me] = false }
#endif
    :: atomic { LIVES(me) && !w[me].step && !w[me].ready && !w[me].sw && seen[P(me)].step ->
           w[me].z = in[me]; w[me].frozen = true; w[me].step = true }
    /* S3 */
    :: atomic { LIVES(me) && w[me].step && !w[me].stepped && (seen[P(me)].frozen || seen[P(me)].left) ->
#ifdef MUT_END_BEFORE_REPEAT
           if
           :: w[me].fin && !ended[me] -> wire[me]!END; ended[me] = true
           :: else
           fi;
#endif
           if
           :: w[me].sw && seen[P(me)].frozen -> repeat(me)    /* who has left has read it all */
           :: else
           fi;
           w[me].stepped = true;
           if
           :: w[me].fin && !ended[me] -> wire[me]!END; ended[me] = true
           :: else
           fi }

    /* E1 */
    :: atomic { LIVES(me) && out[me] == N(me) && !shut[me] && !STOPPED(me) ->
           shut[me] = true;
           if
           :: w[me].stepped -> wire[me]!END; ended[me] = true
           :: else ->
               w[me].y = out[me]; w[me].fin = true;
               if
               :: !w[me].ready && !w[me].sw && !seen[P(me)].ready -> wire[me]!END; ended[me] = true
               :: else
               fi
           fi }
    :: atomic { LIVES(me) && result[me] == NOTHING && seen[P(me)].fin && in[me] == seen[P(me)].y -> end_of_file(me) }
    /* E5 */
    :: atomic { LIVES(me) && result[me] == NOTHING && q[P(me)]?[LOST] && (!reads_path[me] || in[me] == landed[P(me)]) ->
           result[me] = CONN_RESET }
    :: atomic { LIVES(me) && result[me] == NOTHING && TCP_AT_END(me) && (!reads_path[me] || in[me] == landed[P(me)]) -> judge_end(me) }
    /* E4: nothing is kept, or a STEP has given it to the kernel */
    :: atomic { LIVES(me) && result[me] == END_OF_FILE && shut[me] && !STOPPED(me) && (!KEEPS(me) || dead[P(me)]) ->
           finished[me] = true; w[me].left = true;
           if
           :: !ended[me] -> wire[me]!END; ended[me] = true
           :: else
           fi }
    :: atomic { LIVES(me) && (result[me] == CONN_RESET || reset) -> reset = true; finished[me] = true; w[me].left = true }

#ifdef CUT
    /* No word comes any more from a peer that lives. Whoever was ready does not know what was lost. */
    :: atomic { LIVES(me) && cut && !dead[P(me)] && !reset && !alone[me] && !(w[me].stepped && seen[P(me)].stepped) ->
           if
#ifndef MUT_CUT_GOES_ON
           :: w[me].ready || w[me].sw || w[me].step -> reset = true
#endif
           :: else -> alone[me] = true; w[me].step = true; w[me].frozen = true; w[me].stepped = true    /* TCP alone, for good */
           fi }
#endif
    :: atomic { finished[me] || dead[me] -> break }
    od
}

/* The wires, and what happens to them. */
active proctype World()
{
    byte v;
    do
    :: atomic { len(wire[0]) > 0 -> wire[0]?v; q[0]!v; v = 0 }
    :: atomic { len(wire[1]) > 0 -> wire[1]?v; q[1]!v; v = 0 }
#ifdef BREAKS
    :: atomic { !path_dead -> path_dead = true;
           do
           :: len(path[0]) > 0 -> path[0]?v
           :: len(path[1]) > 0 -> path[1]?v
           :: len(path[0]) == 0 && len(path[1]) == 0 -> break
           od; v = 0 }
#endif
#ifdef CUT
    :: atomic { !cut -> cut = true }
#endif
#ifdef CRASH
    /* SIGKILL: the kernel ends TCP, the provider drops what it carries, and of the words the last ones come, or do not. */
    :: atomic { !dead[0] && !dead[1] && !finished[0] -> dead[0] = true; path_dead = true;
#ifdef MUT_NO_GUARD
           if :: !ended[0] -> wire[0]!END; ended[0] = true :: else fi;
#else
           if :: !ended[0] && KEEPS(0) -> wire[0]!LOST; ended[0] = true
              :: !ended[0] && !KEEPS(0) -> wire[0]!END; ended[0] = true
              :: else fi;
#endif
           if :: cut = true :: skip fi;
           do :: len(path[0]) > 0 -> path[0]?v :: len(path[1]) > 0 -> path[1]?v :: len(path[0]) == 0 && len(path[1]) == 0 -> break od; v = 0 }
#endif
    /* Nothing moves any more: has everybody got what was his? */
    :: atomic { timeout ->
           assert(dead[0] || finished[0] || dead[1]);   /* L1: nobody waits for ever */
           assert(dead[1] || finished[1] || dead[0]);   /* L1: nobody waits for ever */
           assert(dead[0] || dead[1] || cut || (in[0] == N1 && in[1] == N0));   /* L2: everything arrives */
           break }
    od
}

init { atomic { run Application(0); run Application(1) } }
