#!/usr/bin/env python3
"""CPython's own tests of sockets and of everything that waits for them, on plain TCP and under sansock.

Needs Debian's python3.11 and libpython3.11-testsuite. A test that ends otherwise than on plain TCP counts when it does
so in every repetition, since some of these tests depend on time.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "samples" / "common"))
import report  # noqa: E402

PYTHON = "/usr/bin/python3.11"
MODULES = ["test_socket", "test_selectors", "test_epoll", "test_poll", "test_select", "test_asyncio", "test_ssl",
           "test_socketserver"]
MODULE_TIMEOUT_S = 1800
#: Its stream test hangs where the host has no VSOCK transport.
LEFT_OUT = "*VSOCK*"


def outcomes(path):
    """The outcome of each test: passed, skipped, failure or error."""
    results = {}
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        outcome = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
        results[f"{case.get('classname')}.{case.get('name')}"] = outcome
    return results


def run(module, prefix, folder):
    """The outcomes of one run of a module; what has no outcome at all, because the run died, is missing from them."""
    junit = folder / "junit.xml"
    junit.unlink(missing_ok=True)
    command = [*prefix, PYTHON, "-m", "test", "-v", "-u", "network", "-i", LEFT_OUT, "--timeout", "240",
               "--junit-xml", junit, module]
    log = folder / "log"
    with log.open("w") as out:
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder,
                           timeout=MODULE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            print(f"{module}: not done after {MODULE_TIMEOUT_S} s", flush=True)
    if not junit.exists():
        print(f"{module}: the run died\n{log.read_text(errors='replace')[-2000:]}", flush=True)
        return {}
    return outcomes(junit)


def differences(plain, other):
    """What ended otherwise, as (test, outcome on plain TCP, outcome under sansock)."""
    names = plain.keys() | other.keys()
    return {(name, plain.get(name, "missing"), other.get(name, "missing"))
            for name in names if plain.get(name) != other.get(name)}


def compare(module, arguments, folder):
    """Answers whether the module ends the same, and how many connections moved; prints its line, and what differs."""
    plain = run(module, [], folder)
    lasting, moved, reasons = None, 0, {}
    for repetition in range(arguments.repeat):
        records = folder / f"report-{module}-{repetition}"
        prefix = [arguments.sansock, "run", "--report", str(records), "--config", arguments.config, "--"]
        found = differences(plain, run(module, prefix, folder))
        lasting = found if lasting is None else {item for item in lasting if item in found}
        for record in report.read(records):
            moved += record["upgrades"] > 0
            if record["upgrades"] == 0:
                reasons[record["reason"]] = reasons.get(record["reason"], 0) + 1
        if not lasting:
            break
    counts = {outcome: list(plain.values()).count(outcome) for outcome in ("passed", "skipped", "failure", "error")}
    print(f"{module:20}{counts['passed']:8}{counts['failure'] + counts['error']:8}{counts['skipped']:8}"
          f"{len(lasting):12}{moved:10}  on TCP: {reasons}", flush=True)
    for name, before, after in sorted(lasting):
        print(f"    {name}: {before} on plain TCP, {after} under sansock", flush=True)
    return bool(plain) and not lasting, moved


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sansock", required=True, help="the sansock command")
    parser.add_argument("--config", default=pathlib.Path(__file__).resolve().parents[1] / "parity" / "earliest.yaml",
                        help="the configuration; by default connections are upgraded at the first chance")
    parser.add_argument("--repeat", type=int, default=3, help="runs in which a difference must show to count")
    parser.add_argument("modules", nargs="*", default=MODULES)
    arguments = parser.parse_args()
    arguments.sansock, arguments.config = os.path.abspath(arguments.sansock), os.path.abspath(arguments.config)
    if subprocess.run([PYTHON, "-c", "import test.test_socket"], capture_output=True).returncode != 0:
        sys.exit(f"{PYTHON} with its tests is needed: packages python3.11 and libpython3.11-testsuite")
    print(f"{'module':20}{'passed':>8}{'failed':>8}{'skipped':>8}{'differences':>12}{'upgraded':>10}")
    with tempfile.TemporaryDirectory(prefix="sansock-cpython-") as folder:
        results = [compare(module, arguments, pathlib.Path(folder)) for module in arguments.modules]
    # Some modules have no TCP connections; without any upgraded one in all of them, nothing was compared.
    sys.exit(0 if all(same for same, _ in results) and any(moved for _, moved in results) else 1)


if __name__ == "__main__":
    main()
