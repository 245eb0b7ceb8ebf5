#!/usr/bin/env python3
"""Compares unmodified programs on plain TCP and under sansock, in the shipped default configuration.

Each repetition measures plain TCP, sansock and plain TCP once more, in an order that rotates; a ratio is that of neighbours in time, and
the second TCP measurement over the first, computed alike, says how quiet the machine was. The table has medians and the interval that
holds the true median with at least 95 % (from the order of the values alone; it needs 6 repetitions). A repetition during which other
programs took more than a tenth of the CPU time is made again, once.
"""

import argparse
import contextlib
import json
import math
import os
import pathlib
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import nginx  # noqa: E402
import postgresql  # noqa: E402
import redis  # noqa: E402
from harness import ENDS, Failure, Run, free_port, reachable, report  # noqa: E402

PATHS = {"tcp": "plain", "sansock": "both", "again": "plain"}
DISTURBED = 0.1
COVERAGE = 0.95


def seconds():
    return arguments.seconds


@contextlib.contextmanager
def sockperf_server(run):
    port = free_port()
    with run.server(["sockperf", "server", "--tcp", "-i", "127.0.0.1", "-p", port], port, stop=signal.SIGINT):
        yield ["--tcp", "-i", "127.0.0.1", "-p", port, "-m", "64", "-t", math.ceil(seconds())]


def median_us(out):
    return float(re.search(r"percentile 50\.000 =\s*([\d.]+)", out).group(1))


def ping_pong(run):
    """One way, so a speed of 1 / p50. sockperf sets out for 600,000 round trips a second at most and gives up where there are more."""
    with sockperf_server(run) as where:
        return 1 / median_us(run.client(["sockperf", "ping-pong", *where, "--mps", "4000000"]).decode())


def paced(run):
    with sockperf_server(run) as where:
        out = run.client(["sockperf", "under-load", *where, "--mps", "1000", "--reply-every", "1"]).decode()
    valid = re.search(r"\[Valid Duration\] RunTime=([\d.]+) sec; SentMessages=\d+; ReceivedMessages=(\d+)", out)
    return int(valid.group(2)) / float(valid.group(1))


def one_stream(run):
    port = free_port()
    with run.server(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", port], port, stops_itself=True):
        out = json.loads(run.client(["iperf3", "-c", "127.0.0.1", "-p", port, "-l", "128K", "-t", math.ceil(seconds()), "--json"]))
    return out["end"]["sum_received"]["bits_per_second"] / 8e9


def get_by(clients, rate_guess):
    def run_it(run):
        with redis.redis(run) as where:
            # As many requests as keep each path about as busy: with TCP's number the faster one would measure little but its start.
            rate = rate_guess * (10 if run.ends else 1)
            requests = str(max(1000, int(rate * seconds())))
            out = run.client(["redis-benchmark", *where, "-t", "get", "-c", str(clients), "-n", requests, "--csv"]).decode()
        return float(out.splitlines()[1].split(",")[1].strip('"'))
    return run_it


def short_connections(run):
    with nginx.nginx(run) as url:
        out = run.client(["wrk", "-t", "2", "-c", "8", "-d", f"{math.ceil(seconds())}s", "-H", "Connection: close", f"{url}/2"]).decode()
    if "Non-2xx" in out:
        raise Failure(f"wrk says {out}")
    return float(re.search(r"Requests/sec:\s*([\d.]+)", out).group(1))


def selects(run):
    """As one user, so that no allow-list is needed."""
    with postgresql.postgresql(run) as where:
        pgbench = [postgresql.PROGRAMS / "pgbench", *where]
        # The server runs as its own user, so the clients do as well.
        run.client([*pgbench, "--initialize", "--quiet", "postgres"], user=postgresql.USER)
        out = run.client([*pgbench, "-c", "8", "-j", "2", "-S", "-T", str(math.ceil(seconds())), "postgres"], user=postgresql.USER).decode()
    return float(re.search(r"tps = ([\d.]+)", out).group(1))


#: name: (what is measured, unit, how, programs that keep CPUs busy beside it, the ratio to reach)
ROWS = {
    "sockperf": ("sockperf ping-pong 64 B, one way", "1/us", ping_pong, 0, 15),
    "iperf3": ("iperf3, one stream, 128 KiB writes", "GB/s", one_stream, 0, 5),
    "redis-50": ("redis GET, 50 clients", "1/s", get_by(50, 50_000), 0, 10),
    "redis-1": ("redis GET, 1 client", "1/s", get_by(1, 20_000), 0, 10),
    "short": ("wrk, Connection: close", "1/s", short_connections, 0, 0.95),
    "pgbench": ("pgbench -S -c 8, 2 CPU hogs", "1/s", selects, 2, 0.95),
    "redis-hogs": ("redis GET, 50 clients, 4 CPU hogs", "1/s", get_by(50, 20_000), 4, 0.95),
    "paced": ("sockperf, 1,000 messages/s", "1/s", paced, 0, 0.95),
}


class Others:
    """The share of the machine's CPU time that neither was idle nor went into what this program started."""

    def __init__(self):
        self.start, self.busy, self.ours = time.monotonic(), self._busy(), self._ours()

    @staticmethod
    def _busy():
        user, nice, system = map(int, pathlib.Path("/proc/stat").read_text().split(maxsplit=4)[1:4])
        return (user + nice + system) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def _ours():
        return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))

    def share(self):
        everything = os.cpu_count() * (time.monotonic() - self.start)
        return max(0.0, (self._busy() - self.busy - (self._ours() - self.ours)) / everything)


@contextlib.contextmanager
def hogs(count):
    running = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(count)]
    try:
        yield
    finally:
        for hog in running:
            hog.kill()
            hog.wait()


def measure_once(row, path, carried=None):
    """With `carried`, adds what the report says of the bytes; writing it costs time, so such a run is not measured."""
    _, _, how, hog_count, _ = ROWS[row]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sansock-bench-"))
    folder.chmod(0o777)
    run = Run(arguments.sansock, arguments.config, ENDS[PATHS[path]], folder, carried is not None)
    try:
        with hogs(hog_count):
            value = how(run)
        if carried is not None:
            for record in report.read(run.report):
                for name in carried:
                    carried[name] += record["bytes_sent"][name] + record["bytes_received"][name]
        return value
    finally:
        shutil.rmtree(folder)


def repeat(row, repetition):
    """The values of one repetition by path, and the others' share of the CPU time."""
    order = list(PATHS)
    order = order[repetition % len(order):] + order[:repetition % len(order)]
    best = None
    for _ in range(2):
        others = Others()
        values = {path: measure_once(row, path) for path in order}
        share = others.share()
        if best is None or share < best[1]:
            best = values, share
        if best[1] <= DISTURBED:
            break
    return best


def interval(values):
    """(median, low, high): the true median lies between the k-th smallest and the k-th largest unless too many coins fall alike."""
    ordered = sorted(values)
    count, k = len(ordered), 0
    while 2 * (k + 1) <= count and 2 * sum(math.comb(count, i) for i in range(k + 1)) / 2 ** count <= 1 - COVERAGE:
        k += 1
    edge = max(k - 1, 0)
    return statistics.median(ordered), ordered[edge], ordered[count - 1 - edge]


def cell(estimate):
    return "{:.2f} ({:.2f}-{:.2f})".format(*estimate)


def table(results):
    print(f"\n{'':36}{'unit':>6}{'tcp':>12}{'sansock':>12}  {'ratio (95 %)':24}{'tcp against itself':22}{'wanted':>7}{'others':>8}{'provider':>10}")
    for row, result in results.items():
        what, unit, _, _, wanted = ROWS[row]
        tcp, sansock, again = (result["values"][path] for path in PATHS)
        ratio = interval([b / a for a, b in zip(tcp, sansock)])
        control = interval([b / a for a, b in zip(tcp, again)])
        total = sum(result["carried"].values())
        share = f"{result['carried']['provider'] / total:.2%}" if total else "-"
        print(f"{what:36}{unit:>6}{statistics.median(tcp):12,.4g}{statistics.median(sansock):12,.4g}  {cell(ratio):24}{cell(control):22}"
              f"{wanted:7}{max(result['others']):8.1%}{share:>10}")
    print("Medians. Others: the largest share of the CPU time in a repetition that was not this program's. Provider: share of the bytes.")


def main():
    results = {row: {"values": {path: [] for path in PATHS}, "others": [], "carried": {"tcp": 0, "provider": 0}} for row in arguments.only}
    for row, result in results.items():
        print(f"which path the bytes take: {ROWS[row][0]}", flush=True)
        measure_once(row, "sansock", result["carried"])
    for repetition in range(arguments.pairs):
        for row, result in results.items():
            values, others = repeat(row, repetition)
            for path, value in values.items():
                result["values"][path].append(value)
            result["others"].append(others)
            print(f"repetition {repetition + 1} of {arguments.pairs}, {ROWS[row][0]}: tcp {values['tcp']:,.4g}, sansock {values['sansock']:,.4g}, "
                  f"tcp again {values['again']:,.4g}; others took {others:.1%}", flush=True)
    table(results)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sansock", default=str(pathlib.Path(__file__).resolve().parents[2] / "build/bin/sansock"), help="the sansock command")
    parser.add_argument("--config", help="a configuration other than the embedded default")
    parser.add_argument("--pairs", type=int, default=11, help="repetitions (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="length of a measurement on plain TCP (default: %(default)s)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(ROWS), help=f"some of {','.join(ROWS)}")
    parser.add_argument("--json", help="file for every single value")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(ROWS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    try:
        with reachable(arguments.sansock) as arguments.sansock:
            main()
    except Failure as failure:
        sys.exit(f"programs.py: {failure}")
