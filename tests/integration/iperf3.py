#!/usr/bin/env python3
"""iperf3: one stream each way, several at once, with sendfile, and a file each way. It compares no contents except those of
files, so its own counts of the streams' bytes must be what both ends report."""

import json

from harness import Failure, Workload, free_port, main, random_bytes

MEBIBYTES = 12_288  # so many that those which go by TCP, before the streams have moved, do not count
FILE_BYTES = 2 << 30
CHUNK = 16 << 20
#: iperf3 3.12 spoils a file where a write takes a part of its block (so it does on plain TCP with `-w 64K`): small ones fit.
BLOCK = "8K"
COOKIE_BYTES = 37  # by which a stream names its test, ahead of what is counted


def iperf3(run, count, server=(), client=()):
    """The sent and the received bytes by iperf3's own count."""
    port = free_port()
    with run.server(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", port, *server], port, stops_itself=True):
        out = json.loads(run.client(["iperf3", "-c", "127.0.0.1", "-p", port, "-n", count, "--json", *client]))
    if "error" in out:
        raise Failure(f"iperf3 says {out['error']}")
    sent, received = (out["end"][side]["bytes"] for side in ("sum_sent", "sum_received"))
    # The sender counts to the end and says so at once; the receiver then leaves what is still on its way.
    if not sent / 2 < received <= sent or sent < count:
        raise Failure(f"{sent} bytes sent, {received} received")
    ports = {stream["local_port"] for stream in out["start"]["connected"]}
    check_report(run, ports, "-R" in client, sent, received)
    return received


def check_report(run, ports, reverse, sent, received):
    """What the ends report of the streams is what iperf3 says of them."""
    cookies = 0 if reverse else COOKIE_BYTES * len(ports)
    for side, end, direction, count in (("client", "local", "bytes_received" if reverse else "bytes_sent", received if reverse else sent),
                                        ("server", "peer", "bytes_sent" if reverse else "bytes_received", sent if reverse else received)):
        records = [record for record in run.records(side) if int(record[end].rpartition(":")[2]) in ports]
        if side in run.ends and len(records) != len(ports):
            raise Failure(f"the {side} reports {len(records)} streams of {len(ports)}")
        reported = sum(sum(record[direction].values()) for record in records)
        if side in run.ends and reported != count + cookies:
            raise Failure(f"the {side} reports {reported} {direction}, iperf3 says {count} and {cookies} of cookies")


def transfer(*arguments):
    def run_it(run):
        iperf3(run, MEBIBYTES << 20, client=arguments)
        return {}
    return run_it


def file(*arguments):
    def run_it(run):
        source, target = run.folder / "source", run.folder / "target"
        source.write_bytes(random_bytes(FILE_BYTES // 16, 1) * 16)
        ends = (["-F", target], ["-F", source]) if not arguments else (["-F", source], ["-F", target])
        received = iperf3(run, FILE_BYTES, ends[0], [*ends[1], "-l", BLOCK, *arguments])
        if target.stat().st_size != received:
            raise Failure(f"{received} bytes were received, {target.stat().st_size} are in the file")
        with source.open("rb") as wanted, target.open("rb") as got:
            while chunk := got.read(CHUNK):
                if chunk != wanted.read(len(chunk)):
                    raise Failure("the file arrived changed")
        return {}
    return run_it


if __name__ == "__main__":
    least = MEBIBYTES // 2 << 20
    # Over the first connection the ends of each test only agree on it, and exchange their results.
    main(Workload("iperf3", transfer(), least, small=1), Workload("iperf3-reverse", transfer("-R"), least, small=1),
         Workload("iperf3-4-streams", transfer("-P", "4"), least, small=1), Workload("iperf3-sendfile", transfer("-Z"), least, small=1),
         Workload("iperf3-file", file(), FILE_BYTES // 2, small=1), Workload("iperf3-file-reverse", file("-R"), FILE_BYTES // 2, small=1))
