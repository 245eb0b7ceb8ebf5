"""What the integration tests share: an unmodified server and client, on plain TCP and under sansock, and the proof of
which path their bytes took.

Every test runs in a network namespace of its own, where nothing but the test uses the loopback device. A workload runs
on plain TCP first, then with both ends under sansock, then with either end alone. What it read must be the same each
time. With both ends under sansock, more than 99 % of the bytes must be reported on the provider, and the kernel must
agree: its counters of `lo` may rise by less than 1 % of the payload, and each connection must be reported by both ends
and have moved much, except those that the workload names. With one end, all must be on TCP, and that end must say why.
"""

import argparse
import collections
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "samples" / "common"))
import report  # noqa: E402

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 30
CLIENT_TIMEOUT_S = 300
PROVIDER_SHARE_MIN = 0.99
KERNEL_SHARE_MAX = 0.01
CONNECTION_BYTES_MIN = 1 << 20
CONNECTION_REQUESTS_MIN = 1000
#: Longer than `timeouts.rendezvous` of the shipped default: an end that waits so long knows that its peer is silent.
SILENCE_S = 2
#: Why one end alone is on TCP: nobody answers it, or its connection was over before that was certain.
ALONE = {"peer-silent", "not-yet"}
ROLES = {"server": "accept", "client": "connect"}
ENDS = {"plain": (), "both": ("server", "client"), "server": ("server",), "client": ("client",)}
NAMESPACE_MARK = "SANSOCK_TEST_NAMESPACE"


class Failure(Exception):
    """A fault of what is tested, told in one sentence."""


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def random_bytes(count, seed):
    return random.Random(seed).randbytes(count)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def loopback_bytes():
    """Bytes that the loopback device of this namespace has carried, headers included."""
    line = re.search(r"^\s*lo:\s*(\d+)", pathlib.Path("/proc/net/dev").read_text(), re.MULTILINE)
    return int(line.group(1))


def is_listening(port):
    """Looks into the kernel's table instead of connecting, so that no connection but the workload's is counted."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if local.endswith(wanted) and state == "0A":
                return True
    return False


def as_user(user):
    """The beginning of a command line that runs the rest as another user."""
    return ["setpriv", "--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--init-groups"]


@contextlib.contextmanager
def reachable(sansock):
    """The command `sansock` of a build, copied with what it loads to where every user can read it: a clone in root's home is out of reach."""
    built = pathlib.Path(sansock).resolve().parent.parent
    with tempfile.TemporaryDirectory(prefix="sansock-staged-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        (folder / "bin").mkdir()
        shutil.copy(sansock, folder / "bin")
        shutil.copytree(built / "lib", folder / "lib", symlinks=True)
        yield folder / "bin" / pathlib.Path(sansock).name


class Run:
    """One run of a workload. Workloads start their programs through it, so that they are the same in every run."""

    def __init__(self, sansock, config, ends, folder, reports=True):
        self.sansock, self.ends, self.folder, self.reports = sansock, ends, folder, reports
        self.config = shutil.copy(config, folder) if config else None
        self.report = folder / "report"
        self.report.touch()
        self.report.chmod(0o666)  # servers write to it as their own users
        self.logs = []

    def records(self, side):
        """What the ends of that side have reported so far; none where it is not under sansock."""
        return [record for record in report.read(self.report) if record["role"] == ROLES[side]]

    def _command(self, side, command, user):
        prefix = as_user(user) if user else []
        if side in self.ends:
            prefix += [str(self.sansock), "run"]
            prefix += ["--report", str(self.report)] if self.reports else []
            prefix += ["--config", str(self.config), "--"] if self.config else ["--"]
        return [*prefix, *map(str, command)]

    @contextlib.contextmanager
    def server(self, command, port, *, ready="", stop=signal.SIGTERM, user=None, stops_itself=False):
        """A server that listens, and has logged `ready`, when the block begins, and is gone when it is left."""
        log = self.folder / f"server-{len(self.logs)}.log"
        self.logs.append(log)
        with log.open("w") as out:
            child = subprocess.Popen(self._command("server", command, user), stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=out, cwd=self.folder, start_new_session=True)
        try:
            self._await_ready(child, lambda: is_listening(port) and ready in log.read_text(errors="replace"))
            yield child
            if not stops_itself:
                child.send_signal(stop)
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Failure(f"{command[0]} did not stop in {STOP_TIMEOUT_S} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    @staticmethod
    def _await_ready(child, is_ready):
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_ready():
            if child.poll() is not None:
                raise Failure(f"the server ended with {child.returncode} before it was ready")
            if time.monotonic() > deadline:
                raise Failure(f"the server was not ready within {START_TIMEOUT_S} s")
            time.sleep(0.01)

    def client(self, command, *, input=b"", user=None):
        """What the client wrote to its standard output. `input` may be a list of bytes and of pauses in seconds."""
        child = subprocess.Popen(self._command("client", command, user), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, cwd=self.folder, start_new_session=True)
        try:
            *first, last = input if isinstance(input, list) else [input]
            for part in first:
                if isinstance(part, bytes):
                    child.stdin.write(part)
                    child.stdin.flush()
                else:
                    time.sleep(part)
            out, err = child.communicate(last, CLIENT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            raise Failure(f"{command[0]} was not done after {CLIENT_TIMEOUT_S} s") from None
        if child.returncode != 0:
            raise Failure(f"{' '.join(map(str, command))} ended with {child.returncode}: "
                          f"{(err or out).decode(errors='replace')[-2000:]}")
        return out


@dataclasses.dataclass
class Workload:
    """`run(Run)` answers what was read, as a dictionary of comparable things. It moves at least `payload_min` bytes."""

    name: str
    run: callable
    payload_min: int
    config: pathlib.Path = None
    #: Whether the connection goes to a program that was not started for it, where it may be on TCP from then on.
    leaves_provider: bool = False
    #: How many connections the programs open for purposes of their own, and which therefore move little.
    small: int = 0
    #: How many requests a Connection has carried, for workloads whose requests are short; None where nobody can say.
    requests: callable = lambda connection: None


@dataclasses.dataclass
class Connection:
    """What both ends report of one connection. An end may be in several processes that share it after a fork: each reports what
    the connection had carried when that process was done with it, so that the one that reports most knows all."""

    ends: set = dataclasses.field(default_factory=set)
    moved: set = dataclasses.field(default_factory=set)
    sent: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    received: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def payload(self):
        """Bytes of both directions, as that end has counted them that counts fewer."""
        return min(self.sent[role] + self.received[role] for role in self.ends)


def connections(records):
    found = collections.defaultdict(Connection)
    for record in records:
        role = record["role"]
        connection = found[frozenset((record["local"], record["peer"]))]
        connection.ends.add(role)
        connection.sent[role] = max(connection.sent[role], sum(record["bytes_sent"].values()))
        connection.received[role] = max(connection.received[role], sum(record["bytes_received"].values()))
        if record["upgrades"] > 0:
            connection.moved.add(role)
    return list(found.values())


@dataclasses.dataclass
class Measured:
    contents: dict
    loopback: int
    records: list = dataclasses.field(default_factory=list)
    carried: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    reasons: collections.Counter = dataclasses.field(default_factory=collections.Counter)


def measure(arguments, workload, ends):
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"sansock-{workload.name}-"))
    folder.chmod(0o777)  # servers that run as their own users keep their data here
    run = Run(arguments.sansock, workload.config or arguments.config, ENDS[ends], folder)
    before = loopback_bytes()
    try:
        contents = workload.run(run)
        records = report.read(run.report)
    except Failure:
        for log in run.logs:
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
        raise
    finally:
        shutil.rmtree(folder)
    measured = Measured(contents, loopback_bytes() - before, records)
    for record in records:
        for path in report.BYTE_PATHS:
            measured.carried[path] += record["bytes_sent"][path] + record["bytes_received"][path]
        if record["path"] == "tcp":
            measured.reasons[record["reason"] or ""] += 1
    return measured


def check_contents(got, plain):
    for name in plain.contents.keys() | got.contents.keys():
        if got.contents.get(name) != plain.contents.get(name):
            raise Failure(f"{name} is {str(got.contents.get(name))[:300]}, on plain TCP it was "
                          f"{str(plain.contents.get(name))[:300]}")


def check_connections(workload, got):
    """Each connection was reported by both ends, and moved, and was worth it, except as many as the workload names."""
    small = []
    for connection in connections(got.records):
        if connection.ends != set(ROLES.values()):
            raise Failure(f"only one end reports a connection: {connection}")
        for one, other in (("connect", "accept"), ("accept", "connect")):
            if connection.received[one] > connection.sent[other]:
                raise Failure(f"an end received more than the other sent: {connection}")
        requests = workload.requests(connection)
        if connection.payload() < CONNECTION_BYTES_MIN and (requests is None or requests < CONNECTION_REQUESTS_MIN):
            small.append((connection, requests))
        elif connection.moved != connection.ends:
            raise Failure(f"a connection that carried much has not moved: {connection}")
    if len(small) != workload.small:
        raise Failure(f"{len(small)} connections carried little, {workload.small} should: {small[:8]}")


def check_moved(workload, got):
    if workload.leaves_provider:
        if sum(got.carried.values()) / 2 < workload.payload_min:
            raise Failure(f"{dict(got.carried)} bytes are in the report, the workload moves at least {workload.payload_min}")
        return
    payload = sum(connection.payload() for connection in connections(got.records))
    if payload < workload.payload_min:
        raise Failure(f"{payload} bytes are in the report, the workload moves at least {workload.payload_min}")
    share = got.carried["provider"] / sum(got.carried.values())
    if share <= PROVIDER_SHARE_MIN:
        raise Failure(f"only {share:.2%} of the bytes were on the provider; reasons on TCP: {dict(got.reasons)}")
    if got.loopback >= KERNEL_SHARE_MAX * payload:
        raise Failure(f"the kernel carried {got.loopback} bytes on lo, {got.loopback / payload:.2%} of the payload")


def check_stayed(workload, ends, got, both):
    """The end that was under sansock reports what it reports with both: all its connections, now on TCP, and why."""
    for record in got.records:
        if record["path"] != "tcp" or record["upgrades"] > 0 or record["bytes_sent"]["provider"] + record["bytes_received"]["provider"] > 0:
            raise Failure(f"a connection moved with one end alone: {record}")
        if record["role"] != ROLES[ends]:
            raise Failure(f"the end that was not under sansock reports: {record}")
        if record["reason"] not in (ALONE | {"exec"} if workload.leaves_provider else ALONE):
            raise Failure(f"that is not why it is on TCP: {record}")
    if len(connections(got.records)) != len(connections(both.records)):
        raise Failure(f"{len(connections(got.records))} connections are in the report, {len(connections(both.records))} with both ends")
    if got.reasons["peer-silent"] == 0 and not (workload.leaves_provider and got.reasons["exec"] > 0):
        raise Failure(f"no connection says that its peer is silent: {dict(got.reasons)}")


def row(workload, ends, got):
    total = sum(got.carried.values())
    payload = total // (len(ENDS[ends]) or 1)  # each end has counted all of it
    share = f"{got.carried['provider'] / total:.2%}" if total else "-"
    reasons = ", ".join(f"{count} x {reason}" for reason, count in got.reasons.most_common(3)) or "-"
    return f"{workload.name:24}{ends:8}{len(got.records):8}{payload:14}{share:>10}{got.loopback:14}  {reasons}"


def run_workload(arguments, workload):
    """Whether all was as it should be."""
    plain = measure(arguments, workload, "plain")
    print(row(workload, "plain", plain), flush=True)
    if plain.loopback < workload.payload_min:
        raise Failure(f"the kernel carried {plain.loopback} bytes, the workload claims to move {workload.payload_min}")
    if arguments.plain:
        return
    both = measure(arguments, workload, "both")
    print(row(workload, "both", both), flush=True)
    check_contents(both, plain)
    check_moved(workload, both)
    if not workload.leaves_provider:  # whoever is given a connection has not all of it in its report
        check_connections(workload, both)
    for ends in ("server", "client"):
        got = measure(arguments, workload, ends)
        print(row(workload, ends, got), flush=True)
        check_contents(got, plain)
        check_stayed(workload, ends, got, both)


def enter_namespace():
    """Starts this program again where `lo` carries nothing but what the test sends."""
    if NAMESPACE_MARK in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    os.environ[NAMESPACE_MARK] = "1"
    os.execvp("unshare", ["unshare", "--net", *user, sys.executable, *sys.argv])


def main(*workloads):
    parser = argparse.ArgumentParser()
    parser.add_argument("--sansock", help="the sansock command")
    parser.add_argument("--config", help="a configuration other than the shipped default")
    parser.add_argument("--plain", action="store_true", help="plain TCP only")
    parser.add_argument("--filter", default="", help="regular expression on the workloads' names")
    arguments = parser.parse_args()
    if not arguments.plain and not arguments.sansock:
        parser.error("--sansock is needed, except with --plain")
    enter_namespace()
    os.umask(0o022)
    print(f"{'workload':24}{'ends':8}{'reports':>8}{'payload':>14}{'provider':>10}{'on lo':>14}  reasons on TCP")
    failed = 0
    with contextlib.nullcontext() if arguments.plain else reachable(arguments.sansock) as arguments.sansock:
        for workload in workloads:
            if not re.search(arguments.filter, workload.name):
                continue
            try:
                run_workload(arguments, workload)
            except Failure as failure:
                print(f"FAILED {workload.name}: {failure}", flush=True)
                failed += 1
    sys.exit(1 if failed else 0)
