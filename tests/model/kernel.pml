/* Kernel TCP, one bounded queue per direction in two stages: bytes that the sender's kernel still holds (unacknowledged: SIOCOUTQ
 * counts them), behind bytes that the receiver's kernel holds. A reset loses the first and leaves the second readable. */

chan q[2] = [SENDQ + RECVQ + 1] of { byte };    /* by direction */
byte unsent[2];                                 /* by direction: how many at the end of q are still with the sender */
bool kfin[2];                                   /* by direction: FIN stands behind the last byte */
bool rst[2];                                    /* by end: it has got a reset */
bool shut_down[2];                              /* by end: its last descriptor is closed */
bool alien[2];                                  /* by direction: the kernel has sent more than the library wrote */

#define READABLE(me) (len(q[P(me)]) - unsent[P(me)])
#define TCP_ENDED(me) (rst[me] || (kfin[P(me)] && unsent[P(me)] == 0))
#define TCP_ROOM(me) (SENDQ - unsent[me])

inline tcp_send(me, byte_sent)
{
    if
    :: shut_down[P(me)] -> rst[me] = true
    :: else -> q[me]!byte_sent; unsent[me]++
    fi
}

/* What the kernel does when the last descriptor goes: a reset if input lies unread or is still to come, else FIN. */
inline tcp_close(me)
{
    if
    :: shut_down[me]
    :: else ->
        shut_down[me] = true;
        if
        :: len(q[P(me)]) > 0 -> rst[P(me)] = true
        :: else -> kfin[me] = true
        fi
    fi
}

/* connect(AF_UNSPEC): whoever holds the socket reads ECONNRESET, and the peer gets a reset. */
inline poison(me)
{
    w[me].state = POISONED; rst[me] = true; rst[P(me)] = true;
    s[me].broken = true;
    if
    :: s[me].result == NOTHING -> s[me].result = CONN_RESET
    :: else
    fi;
    wake_app(me);
    s[me].leave = (s[me].leave == 1 -> 2 : s[me].leave)     /* exec goes on, with a socket that is dead */
}

proctype Kernel()
{
end: do
    :: atomic { unsent[0] > 0 && len(q[0]) - unsent[0] < RECVQ && !rst[1] -> unsent[0]-- }
    :: atomic { unsent[1] > 0 && len(q[1]) - unsent[1] < RECVQ && !rst[0] -> unsent[1]-- }
    od
}
