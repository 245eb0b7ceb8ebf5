"""Connections over providers that carry messages: bad networks, and providers that fail in every way there is.

Each conversation runs on plain TCP, and under sansock with one configuration after another. What both ends say must be the
same each time; the report says which way the bytes took, and why a connection left it.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

from harness import Failure, free_port, is_listening

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "samples" / "common"))
import report  # noqa: E402

ENDS = pathlib.Path(__file__).with_name("messages_ends.py")
TIMEOUT_S = 60
LATENCY_US = 300

CONFIG = """\
providers:
  c0ffee00-5eed-4000-8000-000000000001:
    plugin: {plugin}
{settings}
routes:
  - providers: [c0ffee00-5eed-4000-8000-000000000001]
    upgrade_after: {{calls: 1, bytes: 1}}
{more}
"""


def simulated(settings, more=""):
    return CONFIG.format(plugin="simulated", settings=textwrap.indent(f"simulation:\n  {settings}", "    "), more=more)


def portable(options="{}", more=""):
    return CONFIG.format(plugin="portable", settings=f"    options: {options}", more=more)


def fault(call, after, result="error", more="", wraps="simulated", fails=0):
    rule = f"options:\n  wraps: {wraps}\n  faults:\n    - {{call: {call}, after: {after}, times: 1, result: {result}}}"
    if fails:
        rule += f"\nsimulation: {{fail_after_messages: {fails}}}"
    return CONFIG.format(plugin="fault", settings=textwrap.indent(rule, "    "), more=more)


def carried(records):
    """All but the beginning went over the provider, and nothing came back from it."""
    for record in records:
        by = {path: record["bytes_sent"][path] + record["bytes_received"][path] for path in report.BYTE_PATHS}
        if record["upgrades"] != 1 or record["step_backs"] != 0 or by["provider"] < by["tcp"]:
            raise Failure(f"it was not carried: {record}")


def failed(records):
    """It came back once, and both ends know why. A failure at once may come before one of them has left TCP."""
    for record in records:
        if record["upgrades"] > 1 or record["step_backs"] != 1 or record["reason"] != "provider-failed":
            raise Failure(f"it did not come back as it should: {record}")
    if all(record["bytes_sent"]["provider"] == 0 for record in records):
        raise Failure(f"nothing was on the provider: {records}")


def returned(records):
    """It went to the provider again after a failure."""
    for record in records:
        if record["upgrades"] < 2 or record["step_backs"] < 1:
            raise Failure(f"it did not return: {record}")


def refused(records):
    """The end that has no provider knows it, the other one may not have been told by the time that it was done."""
    for record in records:
        if record["upgrades"] != 0 or record["reason"] not in ("no-provider", "peer-declined", "peer-silent", "not-yet"):
            raise Failure(f"it should have stayed on TCP: {record}")
    if all(record["reason"] != "no-provider" for record in records):
        raise Failure(f"no end says that it has no provider: {records}")


def unregistered(records):
    """Memory that the provider does not take: some reason is there, though not yet the right one."""
    for record in records:
        if record["upgrades"] != 0 or record["path"] != "tcp" or record["reason"] is None:
            raise Failure(f"it should have stayed on TCP: {record}")
    if all(record["reason"] not in ("no-provider", "max-memory", "protocol-error") for record in records):
        raise Failure(f"no end says that its provider failed: {records}")


def shared(records):
    """The parent's report is written when it closes, the child's not: the server saw the provider and then TCP."""
    if not any(record["upgrades"] == 1 and record["reason"] == "shared-fd" for record in records):
        raise Failure(f"no end stepped back for the fork: {records}")


def left(records):
    """A killed end writes no report; the other one has everything from the provider."""
    if len(records) != 1 or records[0]["bytes_received"]["provider"] < 150_000 or records[0]["step_backs"] != 0:
        raise Failure(f"it was not carried to the end: {records}")


@dataclasses.dataclass
class Case:
    name: str
    conversation: str
    config: str
    expect: callable


QUICK = "\ntimeouts: {path: 400ms}"
RETURN = "\ntimeouts: {return: 10ms}"
CASES = [
    Case("latency", "talk", simulated(f"latency: {LATENCY_US}us"), carried),
    Case("jitter", "talk", simulated("latency: 50us\n  jitter: 1ms"), carried),
    Case("bandwidth", "talk", simulated("bandwidth: 500Mbit"), carried),
    Case("exact_credits", "talk", simulated("unreceived: fail"), carried),
    Case("short_messages", "talk", CONFIG.format(plugin="simulated", settings="    options: {message_max: 4 KiB}\n    simulation: {latency: 20us}", more=""), carried),
    Case("most_buffers", "talk", CONFIG.format(plugin="simulated", settings="    send_buffers: 255\n    receive_buffers: 255\n    simulation: {latency: 20us}", more=""), carried),
    Case("many", "many", simulated("latency: 100us\n  jitter: 100us"), carried),
    Case("many_required", "many", simulated("latency: 0", more="    policy: require"), carried),
    Case("many_exact_credits", "many", simulated("unreceived: fail"), carried),
    Case("idle", "idle", simulated("latency: 50us"), carried),
    Case("ways", "ways", simulated("latency: 20us"), carried),
    Case("death", "death", simulated("latency: 20ms"), left),
    Case("fork", "fork", simulated("latency: 50us"), shared),
    Case("errors", "talk", simulated("latency: 20us\n  completion_error_rate: 0.03"), failed),
    *[Case(f"fails_after_{count}", "talk", simulated(f"fail_after_messages: {count}"), failed) for count in (1, 2, 3, 7, 40, 61, 75)],
    *[Case(f"returns_after_{count}", "talk", simulated(f"fail_after_messages: {count}", RETURN), returned) for count in (7, 25, 75)],
    Case("returns", "talk", fault("completion", 60, "fail", RETURN), returned),
    Case("portable_returns", "talk", fault("completion", 60, "fail", RETURN, wraps="portable"), returned),
    Case("lost_device", "talk", fault("completion", 60, "fail, status: ENODEV", RETURN), returned),
    Case("lost_at_return", "talk", fault("create_endpoint", 1, "error, status: ENODEV", RETURN, fails=20), returned),
    Case("fault_post_send", "talk", fault("post_send", 20), failed),
    Case("fault_post_receive", "talk", fault("post_receive", 20), failed),
    Case("fault_completion_error", "talk", fault("completion", 40), failed),
    Case("fault_completion_fail", "talk", fault("completion", 130, "fail"), failed),
    Case("fault_poll", "talk", fault("poll", 60), failed),
    Case("fault_arm", "talk", fault("arm", 20), failed),
    Case("fault_silence", "talk", fault("completion", 40, "silence", QUICK), failed),
    Case("fault_open", "talk", fault("open", 0), refused),
    Case("fault_register_landing", "talk", fault("register_region", 0), unregistered),
    Case("fault_register_window", "talk", fault("register_region", 1), unregistered),
    Case("fault_create_queue", "talk", fault("create_completion_queue", 0), refused),
    Case("fault_make_offer", "talk", fault("make_offer", 0), refused),
    Case("fault_create_endpoint", "talk", fault("create_endpoint", 0), refused),
    Case("fault_accept_offer", "talk", fault("accept_offer", 0), refused),
    Case("fault_take_answer", "talk", fault("take_answer", 0), refused),
    Case("portable", "talk", portable("{address: 127.0.0.1, message_max: 4 KiB}"), carried),
    Case("portable_many", "many", portable(), carried),
    Case("portable_required", "talk", portable(more="    policy: require"), carried),
    Case("portable_idle", "idle", portable(), carried),
    Case("portable_ways", "ways", portable(), carried),
    Case("portable_death", "death", portable(), left),
    Case("portable_fork", "fork", portable(), shared),
    Case("portable_fault_completion_fail", "talk", fault("completion", 130, "fail", wraps="portable"), failed),
    Case("portable_fault_silence", "talk", fault("completion", 40, "silence", QUICK, wraps="portable"), failed),
]


def run(sansock, conversation, config, folder):
    """What the two ends said, the client's remarks, and the report's records."""
    port = free_port()
    report_file = folder / "report"
    prefix = []
    if config:
        (folder / "config.yaml").write_text(config)
        prefix = [sansock, "run", "--report", str(report_file), "--config", str(folder / "config.yaml"), "--"]

    def start(role):
        return subprocess.Popen([*prefix, sys.executable, str(ENDS), role, conversation, str(port)], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    ends = [start("server")]
    said, remarks = [], []
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not is_listening(port):
            if time.monotonic() > deadline or ends[0].poll() is not None:
                raise Failure("the server does not listen: " + ends[0].communicate()[1][-1000:])
            time.sleep(0.01)
        ends.append(start("client"))
        for end in reversed(ends):
            try:
                out, err = end.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                raise Failure(f"an end hangs after {TIMEOUT_S} s") from None
            said.append((end.returncode, out, "" if end.returncode == 0 else err))
            remarks.append(err)
    finally:
        for end in ends:
            try:
                os.killpg(end.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            end.communicate()
    return said, "".join(remarks), report.read(report_file)


def run_case(sansock, case, plain):
    with tempfile.TemporaryDirectory(prefix="sansock-messages-") as folder:
        said, remarks, records = run(sansock, case.conversation, case.config, pathlib.Path(folder))
    if said != plain:
        raise Failure(f"the ends say {said}, on plain TCP they said {plain}; reports: {records}; {remarks[-2000:]}")
    if not records:
        raise Failure("there is no report")
    case.expect(records)
    trip = re.search(r"round trip (\d+) us", remarks)
    if case.name == "latency" and int(trip.group(1)) < 2 * LATENCY_US:
        raise Failure(f"a round trip took {trip.group(1)} us, with {LATENCY_US} us of latency each way")
    return trip.group(1) if trip else "-"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sansock", required=True)
    parser.add_argument("--filter", default="", help="regular expression on the cases' names")
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    sansock = os.path.abspath(arguments.sansock)
    plain, wrong = {}, 0
    for case in [case for case in CASES if re.search(arguments.filter, case.name)] * arguments.repeat:
        begun = time.monotonic()
        try:
            if case.conversation not in plain:
                with tempfile.TemporaryDirectory() as folder:
                    plain[case.conversation] = run(sansock, case.conversation, None, pathlib.Path(folder))[0]
            trip = run_case(sansock, case, plain[case.conversation])
            print(f"passed {case.name:24} round trip {trip:>6} us {time.monotonic() - begun:6.1f} s", flush=True)
        except Failure as failure:
            print(f"FAILED {case.name}: {failure}", flush=True)
            wrong += 1
    sys.exit(1 if wrong else 0)


main()
