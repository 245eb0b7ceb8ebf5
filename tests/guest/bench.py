"""What rdma-core's own sockets make of an RDMA device, and what sansock does, with one program: rstream, over rsockets, over TCP, and over
TCP with sansock; beside that, what the device can do at most (perftest). In turns, the medians as a table.

    tests/guest/run --build build --driver siw tests/guest/bench.py

These kernels run on emulated processors: only the ratios between the columns mean something. SANSOCK_TEST_ROUNDS says how many turns (5).
"""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hosts"))
import hosts  # noqa: E402
from hosts import harness  # noqa: E402

PORT = 7471
ROUNDS = int(os.environ.get("SANSOCK_TEST_ROUNDS", 5))

# Name, bytes of a message, messages one way before the other end answers, how often, and what is told of it.
ROWS = (("64 B, round trip / 2, us, spinning", 64, 1, 2000, "n", "us"), ("64 B, round trip / 2, us, blocking", 64, 1, 1000, "b", "us"),
        ("64 KiB, one stream, MB/s", 65536, 64, 8, "b", "MB/s"), ("1 MiB, one stream, MB/s", 1 << 20, 8, 4, "b", "MB/s"))
WAYS = (("TCP", ["-T", "s"], False), ("rsockets", [], False), ("sansock", ["-T", "s"], True))


def rstream(fleet, way, row):
    _, bytes_, count, turns, waits, unit = row
    _, options, sansock = way
    a, b = fleet.hosts
    words = ["rstream", "-p", PORT, "-S", bytes_, "-C", count, "-I", turns, "-T", waits, *options]
    server = a.start(*words, "-b", a.address, sansock=sansock, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = harness.wait_for("rstream", lambda: (run := b.run(*words, "-s", a.address, sansock=sansock)).returncode == 0 and run)
    server.wait(harness.PATIENCE_S)
    # name bytes xfers iters total time Gb/sec usec/xfer
    found = re.search(r"([\d.]+)s\s+([\d.]+)\s+([\d.]+)\s*$", done.stdout)
    assert found, done.stdout
    return float(found[3]) if unit == "us" else float(found[2]) * 1000 / 8


def perftest(fleet, program, pattern):
    a, b = fleet.hosts
    words = [program, "-R", "-F", "-n", 1000, "-p", PORT]
    server = a.start(*words, sansock=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = harness.wait_for(program, lambda: (run := b.run(*words, a.address)).returncode == 0 and run)
    server.wait(harness.PATIENCE_S)
    return float(re.search(pattern, done.stdout, re.M)[1])


def measure():
    with tempfile.TemporaryDirectory(prefix="sansock-bench-") as folder:
        fleet = hosts.Fleet(folder)
        try:
            fleet.start_daemons()
            figures = {}
            for turn in range(ROUNDS):
                for row in ROWS:
                    for way in WAYS:
                        print(f"\r  {turn + 1}/{ROUNDS} {row[0]}, {way[0]}\033[K", end="", file=sys.stderr, flush=True)
                        figures.setdefault((row[0], way[0]), []).append(rstream(fleet, way, row))
            limits = {ROWS[0][0]: perftest(fleet, "ib_send_lat", r"^\s*2\s+\d+\s+[\d.]+\s+[\d.]+\s+([\d.]+)"),
                      ROWS[2][0]: perftest(fleet, "ib_write_bw", r"^\s*65536\s+\d+\s+[\d.]+\s+([\d.]+)")}
            shares = [host.share_on_provider() for host in fleet.hosts]
        finally:
            fleet.close()
    print("\r\033[K", end="", file=sys.stderr)
    print(f"{hosts.PLUGIN}, medians of {ROUNDS} turns; by the provider went {min(shares):.1%} of what sansock moved\n")
    print(f"{'':36}" + "".join(f"{name:>10}" for name, _, _ in WAYS) + f"{'sansock/rsockets':>18}{'verbs':>10}")
    for row in ROWS:
        tcp, rsockets, sansock = (statistics.median(figures[row[0], name]) for name, _, _ in WAYS)
        ratio = rsockets / sansock if row[5] == "us" else sansock / rsockets
        limit = f"{limits[row[0]]:.1f}" if row[0] in limits else ""
        print(f"{row[0]:36}{tcp:10.1f}{rsockets:10.1f}{sansock:10.1f}{ratio:17.2f}x{limit:>10}")


if __name__ == "__main__":
    if hosts.GUESTS is None:
        sys.exit("needs guests: start it with tests/guest/run")
    harness.bin_folder = pathlib.Path(sys.argv[sys.argv.index("--bin") + 1])
    measure()
