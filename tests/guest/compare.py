"""The same program on TCP, on rsockets and on sansock between two guests, in turns; beside that, what the device can do at most (perftest).
Medians, as a table.

    tests/guest/run --build build --driver siw tests/guest/compare.py

These kernels run on emulated processors: the ratios between the columns mean something, the figures do not. SANSOCK_TEST_ROUNDS says how
many turns (5).
"""
import json
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
SECONDS = 3  # of a measurement, after a quarter of it to warm up
RSOCKETS = next(pathlib.Path("/usr/lib").glob("*/rsocket/librspreload.so"), None)

# What is measured, the sizes, the figure of it, its unit, and whether less is better.
ROWS = (("latency", (64, 4096), "p50", "us", True), ("throughput", (65536, 1 << 20), "rate", "MB/s", False))
DEFAULT, MOST = "sansock 5/6", "sansock 255/255"
WAYS = ("TCP", "rsockets", DEFAULT, MOST)


class Ways:
    def __init__(self, folder):
        self.fleet = hosts.Fleet(folder, policy="require")
        self.configs = {way: [] for way in (DEFAULT, MOST)}
        for host in self.fleet.hosts:
            self.configs[DEFAULT].append(host.config)
            most = host.config.with_name("most.yaml")
            buffers = '{"plugin": "%s", "send_buffers": 255, "receive_buffers": 255}' % hosts.PLUGIN
            most.write_text(host.config.read_text().replace(json.dumps(self.fleet.provider), buffers))
            self.configs[MOST].append(most)
        self.port = PORT

    def start(self, way, number, *words, **more):
        host = self.fleet.hosts[number]
        if way in self.configs:
            host.config = self.configs[way][number]
        under = ["env", f"LD_PRELOAD={RSOCKETS}"] if way == "rsockets" else []
        return host.start(*under, harness.tool("../libexec/sansock/sansock-bench-worker"), *words, sansock=way in self.configs,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)

    def measure(self, way, what, size):
        self.port += 1
        address = f"tcp:{self.fleet.hosts[0].address}:{self.port}"
        server = self.start(way, 0, "serve", address, "--threads")
        assert server.stdout.readline().startswith("ready"), server.stderr.read()
        try:
            for _ in range(3):  # with `require` a first connection may fail while the two kernels find each other
                client = self.start(way, 1, what, address, "--numbers", size, "--seconds", SECONDS)
                out, err = client.communicate(timeout=60 * harness.SLOWNESS)
                if client.returncode == 0:
                    return json.loads(out.splitlines()[-1])
            raise AssertionError(f"{what} of {size} by {way}: {err}")
        finally:
            server.kill()
            server.communicate()


def perftest(ways, program, pattern):
    a, b = ways.fleet.hosts
    words = [program, "-R", "-F", "-n", 1000, "-p", PORT]
    server = a.start(*words, sansock=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    harness.wait_for(f"{program} that listens", lambda: re.search(rf"state LISTEN .*:{PORT}\b", a.must("rdma", "resource", "show", "cm_id")))
    done = b.run(*words, a.address)
    assert done.returncode == 0, done.stdout + done.stderr
    server.wait(harness.PATIENCE_S)
    return float(re.search(pattern, done.stdout, re.M)[1])


def compare():
    figures = {}
    with tempfile.TemporaryDirectory(prefix="sansock-compare-") as folder:
        ways = Ways(folder)
        try:
            limits = {("latency", 64): perftest(ways, "ib_send_lat", r"^\s*2\s+\d+\s+[\d.]+\s+[\d.]+\s+([\d.]+)") * 2,
                      ("throughput", 65536): perftest(ways, "ib_write_bw", r"^\s*65536\s+\d+\s+[\d.]+\s+([\d.]+)")}
            ways.fleet.start_daemons()
            for turn in range(ROUNDS):
                for what, sizes, figure, _, _ in ROWS:
                    for size in sizes:
                        for way in WAYS:
                            print(f"  {turn + 1}/{ROUNDS} {what} of {size} bytes, {way}", file=sys.stderr, flush=True)
                            figures.setdefault((what, size, way), []).append(ways.measure(way, what, size)[figure])
            share = min(host.share_on_provider() for host in ways.fleet.hosts)
        finally:
            ways.fleet.close()
    print(f"\n{hosts.PLUGIN}, medians of {ROUNDS} turns; {share:.1%} of what sansock moved went by the provider\n")
    print(f"{'':34}" + "".join(f"{way:>16}" for way in WAYS) + f"{'to TCP':>9}{'to rsockets':>13}{'verbs':>10}")
    for what, sizes, _, unit, less in ROWS:
        for size in sizes:
            row = [statistics.median(figures[what, size, way]) for way in WAYS]
            tcp, rsockets, sansock, _ = row
            ratios = [other / sansock if less else sansock / other for other in (tcp, rsockets)]
            limit = f"{limits[what, size]:.1f}" if (what, size) in limits else ""
            name = f"{what} of {size} bytes, {unit}"
            print(f"{name:34}" + "".join(f"{value:16.1f}" for value in row) + f"{ratios[0]:8.2f}x{ratios[1]:12.2f}x{limit:>10}")


if __name__ == "__main__":
    if hosts.GUESTS is None:
        sys.exit("needs guests: start it with tests/guest/run")
    harness.bin_folder = pathlib.Path(sys.argv[sys.argv.index("--bin") + 1])
    compare()
