"""Runs an unmodified redis-server and redis-benchmark on plain TCP and under sansock, in turn, and compares them."""

import argparse
import contextlib
import csv
import math
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import report  # noqa: E402

CLIENTS = (50, 1)
WORKLOADS = tuple((clients, command) for clients in CLIENTS for command in ("SET", "GET"))
PATHS = ("tcp", "sansock")
START_TIMEOUT_S = 10
STOP_TIMEOUT_S = 10
# A measurement is sized to take some seconds on TCP; one that takes this long hangs.
BENCHMARK_TIMEOUT_S = 300


class Failure(Exception):
    """Something that ends the comparison, told in one sentence."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def process(command, **kwargs):
    """A child that is gone when the block is left, however it is left.

    It has a session of its own, so that Ctrl-C reaches this program only and children are ended in order.
    """
    child = subprocess.Popen(command, start_new_session=True, **kwargs)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def wait_until_ready(server, log):
    """Reads the server's log instead of connecting, so that no connection but the benchmark's is counted."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        text = log.read_text()
        if "Ready to accept connections" in text:
            return
        if server.poll() is not None:
            raise Failure(f"redis-server ended with {server.returncode}:\n{text}")
        time.sleep(0.01)
    raise Failure(f"redis-server was not ready after {START_TIMEOUT_S} s:\n{log.read_text()}")


@contextlib.contextmanager
def redis_server(prefix, directory):
    """Yields the port of a fresh, empty server that saves nothing."""
    port = free_port()
    log = directory / "redis-server.log"
    command = [*prefix, "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
               "--protected-mode", "no", "--dir", str(directory)]
    with log.open("w") as out, process(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL) as server:
        wait_until_ready(server, log)
        yield port
        server.terminate()
        if server.wait(STOP_TIMEOUT_S) != 0:
            raise Failure(f"redis-server ended with {server.returncode}:\n{log.read_text()}")


def benchmark(prefix, port, clients, command, requests):
    """Answers {"rps": .., "p50": .., "p99": ..}, times in milliseconds."""
    line = [*prefix, "redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-t", command.lower(), "-n", str(requests),
            "-c", str(clients), "--csv"]
    with process(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as child:
        out, err = child.communicate(timeout=BENCHMARK_TIMEOUT_S)
    rows = [row for row in csv.DictReader(out.splitlines()) if row.get("test") == command]
    if child.returncode != 0 or len(rows) != 1:
        raise Failure(f"{' '.join(line)} ended with {child.returncode}:\n{out}{err}")
    columns = {"rps": "rps", "p50": "p50_latency_ms", "p99": "p99_latency_ms"}
    return {name: float(rows[0][column]) for name, column in columns.items()}


class Progress:
    """One line that is written over on a terminal; elsewhere nothing, the pairs' results are enough there."""

    def __init__(self, steps):
        self.steps, self.done, self.start = steps, 0, time.monotonic()

    def step(self, what):
        if sys.stdout.isatty():
            share = self.done / self.steps
            left = (time.monotonic() - self.start) * (1 - share) / share if share > 0.1 else None
            estimate = f", about {left:.0f} s left" if left is not None else ""
            print(f"\r\033[K[{share:4.0%}] {what}{estimate}", end="", flush=True)
        self.done += 1

    def say(self, line):
        print(("\r\033[K" if sys.stdout.isatty() else "") + line, flush=True)


def calibrate(directory, seconds):
    """Requests per measurement for each number of clients, so that one takes `seconds` on plain TCP.

    Both paths get the same number, which makes the faster one's measurements shorter.
    """
    requests = {}
    with redis_server([], directory) as port:
        for clients in CLIENTS:
            rate = benchmark([], port, clients, "GET", 5000)["rps"]
            requests[clients] = max(1000, math.ceil(rate * seconds / 1000) * 1000)
    return requests


def measure(arguments, directory, report_file):
    """Answers {(path, clients, command): [result of each pair]}."""
    prefixes = {"tcp": [], "sansock": [arguments.sansock, "run", "--report", str(report_file), "--"]}
    results = {(path, *workload): [] for path in PATHS for workload in WORKLOADS}
    progress = Progress(arguments.pairs * len(results))
    requests = calibrate(directory, arguments.seconds)
    for pair in range(arguments.pairs):
        # Whoever goes first meets a different machine (caches, clock, neighbours), so the order changes each time.
        for path in PATHS if pair % 2 == 0 else reversed(PATHS):
            with redis_server(prefixes[path], directory) as port:
                for clients, command in WORKLOADS:
                    progress.step(f"pair {pair + 1} of {arguments.pairs}, {path}: {command} by {clients}")
                    result = benchmark(prefixes[path], port, clients, command, requests[clients])
                    results[path, clients, command].append(result)
        progress.say(f"pair {pair + 1}, requests/s: " + ", ".join(
            f"{command} by {clients} {results['tcp', clients, command][-1]['rps']:,.0f} -> "
            f"{results['sansock', clients, command][-1]['rps']:,.0f}" for clients, command in WORKLOADS))
    return results


def print_speed(results):
    head = f"{'':14}{'requests/s':^24}{'ratio':^20}{'p50, ms':^18}{'p99, ms':^18}"
    names = f"{'tcp':>12}{'sansock':>12}{'median (range)':>20}" + f"{'tcp':>9}{'sansock':>9}" * 2
    print(f"\n{head}\n{'clients':14}{names}")
    for clients, command in WORKLOADS:
        tcp, sansock = (results[path, clients, command] for path in PATHS)
        ratios = [b["rps"] / a["rps"] for a, b in zip(tcp, sansock)]
        cells = [f"{clients:>2} {command:11}"]
        cells += [f"{statistics.median(r['rps'] for r in side):12,.0f}" for side in (tcp, sansock)]
        cells += [f"{f'{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})':>20}"]
        for value in ("p50", "p99"):
            cells += [f"{statistics.median(r[value] for r in side):9.3f}" for side in (tcp, sansock)]
        print("".join(cells))
    print("Medians over the pairs; the ratio is sansock over TCP within each pair.")


def print_bytes(totals):
    print(f"\n{'bytes under sansock':24}{'tcp':>16}{'provider':>16}{'provider share':>16}")
    for name, counts in (("requests", totals.sent), ("replies", totals.received)):
        share = counts["provider"] / max(1, sum(counts.values()))
        print(f"{name:24}{counts['tcp']:16,}{counts['provider']:16,}{share:16.2%}")
    print(f"{totals.connections:,} connections, {totals.upgraded:,} of them moved to a provider.")
    for reason, count in totals.reasons.most_common():
        print(f"  {count:,} stayed on TCP: {reason}")


def arguments_of(argv):
    default = pathlib.Path(__file__).resolve().parents[2] / "build/bin/sansock"
    parser = argparse.ArgumentParser(prog="samples/redis/run", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="how often to measure both paths (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0,
                        help="length of one measurement on plain TCP (default: %(default)s)")
    parser.add_argument("--sansock", default=str(default), help="the command to run under (default: the build's)")
    arguments = parser.parse_args(argv)
    if arguments.pairs < 1 or not 0 < arguments.seconds <= 60:
        parser.error("--pairs must be at least 1 and --seconds between 0 and 60")
    for program in ("redis-server", "redis-benchmark", arguments.sansock):
        if shutil.which(program) is None:
            parser.error(f"{program} is not there to be run; samples/redis/run sets it up")
    return arguments


def main(argv):
    arguments = arguments_of(argv)
    # Ended from outside, leave by the same way as on Ctrl-C: through the blocks that end the children.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="sansock-redis-") as name:
        report_file = pathlib.Path(name) / "report.jsonl"
        results = measure(arguments, pathlib.Path(name), report_file)
        totals = report.totals(report.read(report_file), program="redis-benchmark")
    print_speed(results)
    print_bytes(totals)
    if totals.sent["provider"] == 0 or totals.received["provider"] == 0:
        raise Failure("sansock carried no bytes on a provider, so the figures above compare TCP with TCP")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Failure as failure:
        sys.exit(f"\nsamples/redis: {failure}")
    except subprocess.TimeoutExpired as late:
        sys.exit(f"\nsamples/redis: {' '.join(late.cmd)} did not end within {late.timeout:.0f} s")
    except KeyboardInterrupt:
        sys.exit("\nsamples/redis: stopped")
