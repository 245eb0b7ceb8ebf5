#!/usr/bin/env python3
"""iperf3: one stream each way, several at once, and with sendfile."""

import json

from harness import Failure, Workload, free_port, main

MEBIBYTES = 12_288  # so many that those which go by TCP, before the streams have moved, do not count


def transfer(*arguments):
    def run_it(run):
        port = free_port()
        with run.server(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", port], port, stops_itself=True):
            out = json.loads(run.client(["iperf3", "-c", "127.0.0.1", "-p", port, "-n", f"{MEBIBYTES}M", "--json",
                                         *arguments]))
        sent, received = (out["end"][side]["bytes"] for side in ("sum_sent", "sum_received"))
        # The sender counts to the end and says so at once; the receiver then leaves what is still on its way.
        if not sent / 2 < received <= sent or sent < MEBIBYTES << 20:
            raise Failure(f"{sent} bytes sent, {received} received")
        return {}
    return run_it


if __name__ == "__main__":
    least = MEBIBYTES // 2 << 20
    main(Workload("iperf3", transfer(), least), Workload("iperf3-reverse", transfer("-R"), least),
         Workload("iperf3-4-streams", transfer("-P", "4"), least), Workload("iperf3-sendfile", transfer("-Z"), least))
