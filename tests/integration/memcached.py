#!/usr/bin/env python3
"""memcached with several worker threads, and clients that speak its text protocol."""

import pathlib
import sys

from harness import SILENCE_S, Workload, free_port, main

CLIENT = pathlib.Path(__file__).with_name("memcached_client.py")


def values(run):
    port = free_port()
    with run.server(["memcached", "-u", "root", "-t", "4", "-l", "127.0.0.1", "-p", port, "-m", "256"], port):
        out = run.client([sys.executable, CLIENT, port, SILENCE_S])
    return {"what the client read": out}


if __name__ == "__main__":
    main(Workload("memcached", values, 90 << 20))
