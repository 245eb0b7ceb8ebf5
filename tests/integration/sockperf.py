#!/usr/bin/env python3
"""sockperf over TCP: ping-pong with checked contents, several sizes. It gives up where there are more round trips a second than it expects,
which are 600,000 if it is not told."""

import re
import signal

from harness import Failure, Workload, free_port, main


def ping_pong(size, *server_arguments):
    def run_it(run):
        port = free_port()
        with run.server(["sockperf", "server", "--tcp", "-i", "127.0.0.1", "-p", port, *server_arguments], port,
                        stop=signal.SIGINT):
            out = run.client(["sockperf", "ping-pong", "--tcp", "-i", "127.0.0.1", "-p", port, "-t", "3", "-m", size,
                              "--data-integrity", "--mps", "4000000"]).decode()
        wrong = re.findall(r"# (?:dropped|duplicated|out-of-order) messages = (\d+)", out)
        count = re.search(r"ReceivedMessages=(\d+)", out)
        if wrong != ["0", "0", "0"] or "failed" in out.lower() or int(count.group(1)) < 1000:
            raise Failure(f"sockperf says {out}")
        return {}
    return run_it


if __name__ == "__main__":
    main(Workload("sockperf-64", ping_pong(64), 64 * 2000),
         Workload("sockperf-16384", ping_pong(16384), 16384 * 2000))
