/* What may go wrong, once, at any moment. A configuration chooses. */

#ifdef CRASH
/* SIGKILL: the process is gone between any two steps, and the kernel closes its socket. */
proctype Killer()
{
end: if
    :: atomic { runs[0] -> runs[0] = false; tcp_close(0) }
    :: atomic { runs[1] -> runs[1] = false; tcp_close(1) }
    fi
}
#endif

#ifdef STOP
/* SIGSTOP, or a debugger, for ever: alive, and silent. */
proctype Stopper()
{
end: if
    :: atomic { runs[0] && !s[0].done -> runs[0] = false; stopped[0] = true }
    :: atomic { runs[1] && !s[1].done -> runs[1] = false; stopped[1] = true }
    fi
}
#endif

#ifdef MUTE
/* The application computes for ever and makes no call; its helper lives. */
#define BETWEEN_CALLS(me) (!s[me].out_lock && !s[me].in_lock && s[me].leave != 1)
proctype Muter()
{
end: if
    :: atomic { BETWEEN_CALLS(0) -> mute[0] = true }
    :: atomic { BETWEEN_CALLS(1) -> mute[1] = true }
    fi
}
#endif

#ifdef INTRUDER
/* Somebody at end 0 writes past the library while its direction is on the provider and has not stopped. */
proctype Intruder()
{
end: atomic { OUT_ON_PROVIDER(0) && w[0].step < EPOCH && TCP_ROOM(0) > 0 && !shut_down[1] && !rst[0] && !shut_down[0] ->
         tcp_send(0, FOREIGN); alien[0] = true }
}
#endif

#ifdef FORK
/* End 0 forks before anything was switched; the child has none of the mappings that come later, writes one byte, and exits. */
proctype Child()
{
end: if
    :: atomic { w[0].sw == 0 && !s[0].out_lock && w[0].out < N0 && !s[0].shut && s[0].leave == 0 && !s[0].done && !s[0].broken
                -> s[0].holders++ }
       if
       :: atomic { w[0].out < N0 && !s[0].shut && !s[0].out_lock && TCP_ROOM(0) > 0 ->
              tcp_send(0, w[0].out); told(0); w[0].out++ }
       :: atomic { s[0].shut || w[0].out == N0 || rst[0] -> skip }
       fi;
       atomic { s[0].holders--; wake_app(0) }
    fi
}
#endif
