"""`sansock bench --quick` works, and its JSON has everything in it. No figure is judged: a test has no quiet machine.

usage: quick_test.py SANSOCK PLOT
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

SANSOCK, PLOT = sys.argv[1:3]
del sys.argv[1:3]
TRANSPORTS = ("tcp", "unix", "sansock")
# The groups, whether their figures are compared with TCP, and the figures.
GROUPS = {
    "latency": (True, {"p50", "p99", "p999"}),
    "throughput": (True, {"rate"}),
    "connections": (True, {"rate", "p50", "p99"}),
    "setup": (True, {"rate", "p50", "p99"}),
    "oversubscription": (True, {"rate"}),
    "idle": (False, {"cpu_ms_per_minute", "kib_per_connection"}),
    "calls": (False, {"calls", "allocations"}),
}


def bench(*arguments):
    return subprocess.run([SANSOCK, "bench", *map(str, arguments)], capture_output=True, text=True, timeout=200)


class Bench(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="sansock-bench-test-")
        cls.addClassCleanup(temporary.cleanup)
        cls.file = pathlib.Path(temporary.name) / "results.json"
        cls.process = bench("--quick", "--json", cls.file)
        cls.results = json.loads(cls.file.read_text()) if cls.file.exists() and cls.process.returncode == 0 else {}

    def group(self, name):
        return next(group for group in self.results["groups"] if group["name"] == name)

    def test_ends_well(self):
        self.assertEqual(self.process.returncode, 0, self.process.stderr)
        self.assertEqual([group["name"] for group in self.results["groups"]], list(GROUPS))
        self.assertEqual((self.results["quick"], self.results["pairs"]), (True, 1))

    def test_has_every_figure_of_every_transport(self):
        for name, (compared, figures) in GROUPS.items():
            transports = (*TRANSPORTS, "control") if compared else TRANSPORTS
            for case in self.group(name)["cases"]:
                self.assertEqual(set(case["figures"]), figures)
                for figure, values in case["figures"].items():
                    with self.subTest(group=name, case=case["case"], figure=figure):
                        self.assertEqual([len(values[transport]["samples"]) for transport in transports], [1] * len(transports))
                        ratios = values.get("times_better_than_tcp", {})
                        self.assertEqual(set(ratios), {"unix", "sansock", "control"} if compared else set())
                        for ratio in ratios.values():
                            self.assertTrue(0 < ratio["low"] <= ratio["median"] <= ratio["high"])

    def test_counts_every_system_call(self):
        # Over TCP each end sends and receives once a round trip, and allocates nothing. Wakes of other threads are added.
        for case in self.group("calls")["cases"]:
            calls = case["figures"]["calls"]["tcp"]["median"]
            self.assertTrue(4 <= calls < 4.5, f"{calls} in {case['case']}")
            self.assertEqual(case["figures"]["allocations"]["tcp"]["median"], 0, case["case"])

    def test_measures_sansock_where_it_says_so(self):
        for name in GROUPS:
            moved = self.group(name)["paths"]["bytes"]["provider"]
            self.assertEqual(moved > 0, name != "setup", name)

    def test_prints_a_table_of_it(self):
        for group in self.results["groups"]:
            self.assertIn(group["title"], self.process.stdout)
        self.assertIn("times better than TCP", self.process.stdout)

    def test_can_be_plotted(self):
        plotted = subprocess.run([sys.executable, PLOT, self.file, self.file.parent], capture_output=True, text=True, timeout=60)
        self.assertEqual(plotted.returncode, 0, plotted.stderr)
        for name in ("latency", "throughput"):
            root = xml.etree.ElementTree.parse(self.file.parent / f"{name}.svg").getroot()
            texts = "".join(root.itertext())
            for transport in ("TCP", "Unix", "sansock"):
                self.assertIn(transport, texts)


class Calls(unittest.TestCase):
    """A stream in steady state: 100,000 round trips of 64 B without an allocation, and with next to no system call in both processes.

    The ends spin for as long as may be. By default they sleep each time that the other one's processor is away for more than 0.1 ms, and some
    machines take it away so often.
    """

    ROUNDS = 100_000
    CONFIG = """
        providers:
          41f96c03-1cad-4222-9c2b-682b71c6a8f0: {plugin: simulated}
        waiting: {policy: spin, spin: 1ms}
        routes:
          - providers: [41f96c03-1cad-4222-9c2b-682b71c6a8f0]
        """
    CALLS_MAX = 10
    CALLS_MAX_WHERE_DISTURBED = 10_000  # who waits for an end that has lost its processor sleeps in the end
    DISTURBED = 0.05  # of the machine's CPU time
    TRIES = 3

    def measure(self):
        with tempfile.TemporaryDirectory(prefix="sansock-bench-test-") as folder:
            file = pathlib.Path(folder) / "results.json"
            config = file.with_name("spinning.yaml")
            config.write_text(self.CONFIG)
            process = bench("--only", "calls", "--pairs", 1, "--json", file, "--config", config)
            self.assertEqual(process.returncode, 0, process.stderr)
            results = json.loads(file.read_text())
        case = results["groups"][0]["cases"][0]
        self.assertEqual(case["case"], f"{self.ROUNDS} round trips")
        figures = {figure: round(values["sansock"]["median"] * self.ROUNDS) for figure, values in case["figures"].items()}
        return figures["calls"], figures["allocations"], max(results["others_cpu_share"]) > self.DISTURBED

    def test_needs_neither_memory_nor_the_kernel(self):
        seen = []
        for _ in range(self.TRIES):
            calls, allocations, disturbed = self.measure()
            self.assertEqual(allocations, 0)
            self.assertLessEqual(calls, self.CALLS_MAX_WHERE_DISTURBED)
            if calls <= self.CALLS_MAX:
                return
            seen.append((calls, disturbed))
        if all(disturbed for _, disturbed in seen):
            self.skipTest(f"other programs use this machine: {[calls for calls, _ in seen]} system calls")
        self.fail(f"in {self.ROUNDS} round trips there were {seen} system calls, at most {self.CALLS_MAX} are allowed")


class BadUse(unittest.TestCase):
    def test_says_what_is_allowed(self):
        for arguments, sentence in (
            (("--only", "speed"), "latency"),
            (("--pairs", "0"), "1 to 1000"),
            (("--json", "/no/such/directory/results.json"), "cannot write /no/such/directory/results.json"),
            (("--config", "/no/such/file.yaml"), "/no/such/file.yaml"),
        ):
            with self.subTest(arguments=arguments):
                result = bench(*arguments)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(sentence, result.stderr + result.stdout)


if __name__ == "__main__":
    unittest.main()
