"""Two hosts: network namespaces with an interface each and a wire between them, a daemon in each, and certificates of one fleet."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "control"))
import harness  # noqa: E402

ADDRESSES = ("10.77.16.1", "10.77.16.2")
RENDEZVOUS_PORT = 7470
PROVIDER = "f19c3b4a-c465-4a86-a7b2-9646acb6b3fa"
RENDEZVOUS_S = 10  # a connection that is lost on its way into being is tried again after one

CONFIG = f"""
providers:
  {PROVIDER}:
    plugin: portable
routes:
  - providers: [{PROVIDER}]
upgrade_after: {{calls: 4, bytes: 64KiB}}
timeouts: {{rendezvous: {RENDEZVOUS_S}s}}
"""


class Built:
    """The programs of a build, run where they are."""

    tool = staticmethod(harness.tool)

    @staticmethod
    def inside(path):
        return path

    @staticmethod
    def command(environment, *words):
        return ["env", *(f"{name}={value}" for name, value in environment.items()), *map(str, words)]


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True)


class Host:
    """One of the two; ends with `close`."""

    def __init__(self, number, folder, tag, installation):
        self.installation = installation
        self.address = ADDRESSES[number]
        self.namespace = f"sansock-{tag}-{number}"
        self.directory = folder / f"host-{number}"
        self.directory.mkdir(mode=0o755)
        self.report = self.directory / "report"
        self.config = self.directory / "sansock.yaml"
        self.config.write_text(CONFIG)
        self.environment = {"SANSOCK_CONTROL": installation.inside(self.directory)}
        ip("netns", "add", self.namespace)
        self.programs = []
        self.daemon = None

    def command(self, *words, sansock=False):
        run = [self.installation.tool("sansock"), "run", "--report", self.installation.inside(self.report), "--config",
               self.installation.inside(self.config), "--"] if sansock else []
        return ["ip", "netns", "exec", self.namespace, *self.installation.command(self.environment, *run, *words)]

    def start(self, *words, sansock=True, **more):
        """A program, unmodified, under sansock or not."""
        program = subprocess.Popen(self.command(*words, sansock=sansock), **more)
        self.programs.append(program)
        return program

    def run(self, *words, **more):
        """A program to its end."""
        return subprocess.run(self.command(*words, **more), capture_output=True, text=True, timeout=120, check=False)

    def sansock(self, *words):
        done = self.run(self.installation.tool("sansock"), *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start_daemon(self, program=None):
        log = open(self.directory / "daemon.log", "ab")
        self.daemon = subprocess.Popen(
            self.command(program or self.installation.tool("sansockd"), "--directory", self.installation.inside(self.directory),
                         "--log-level", "debug", "--pki", self.installation.inside(self.directory / "pki"),
                         "--rendezvous", f"{self.address}:{RENDEZVOUS_PORT}"), stderr=log)
        log.close()
        harness.wait_for("a daemon", lambda: self.answers())

    def answers(self):
        assert self.daemon.poll() is None, self.log()
        return self.run(self.installation.tool("sansock"), "status", "--json").returncode == 0

    def log(self):
        return (self.directory / "daemon.log").read_text(errors="replace")

    def kill_daemon(self):
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()

    def upgrade_daemon(self):
        """Another file takes over, as after the installation of a later version."""
        self.daemon.terminate()
        assert self.daemon.wait(harness.PATIENCE_S) == 0, self.log()
        later = self.directory / "sansockd"
        shutil.copy(self.installation.tool("sansockd"), later)
        self.start_daemon(later)

    @contextlib.contextmanager
    def hung_daemon(self):
        self.daemon.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.daemon.send_signal(signal.SIGCONT)

    def daemon_without_descriptors(self):
        return harness.without_descriptors(self.daemon)

    def status(self, *words):
        return json.loads(self.sansock("status", "--json", *words))["connections"]

    def records(self):
        """What this host's ends have reported."""
        if not self.report.exists():
            return []
        return [json.loads(line) for line in self.report.read_text().splitlines()]

    def share_on_provider(self):
        carried = {path: sum(record[way][path] for record in self.records() for way in ("bytes_sent", "bytes_received"))
                   for path in ("provider", "tcp")}
        return carried["provider"] / sum(carried.values())

    def close(self):
        for program in self.programs:
            if program.poll() is None:
                program.kill()
            program.wait()
            if program.stdout:
                program.stdout.close()
        if self.daemon and self.daemon.poll() is None:
            self.kill_daemon()
        ip("netns", "del", self.namespace)


@contextlib.contextmanager
def good_wire(one, other):
    ip("link", "add", one, "type", "veth", "peer", "name", other)
    yield  # it ends with its namespaces


@contextlib.contextmanager
def bad_wire(one, other):
    command = [pathlib.Path(__file__).parent / "wire.py", one, other, "--delay", "0.005", "--jitter", "0.002", "--loss", "0.01"]
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as wire:
        try:
            assert wire.stdout.readline() == "there\n"
            yield
        finally:
            wire.kill()


class Fleet:
    """Both hosts, on one wire, with a certificate authority of their own."""

    def __init__(self, folder, installation=Built, wire=good_wire):
        self.folder = pathlib.Path(folder)
        self.installation = installation
        tag = f"{os.getpid():x}"
        self.hosts = [Host(number, self.folder, tag, installation) for number in range(2)]
        ends = [f"sk{tag}{number}" for number in range(2)]
        self.wire = contextlib.ExitStack()
        self.wire.enter_context(wire(*ends))
        for host, end in zip(self.hosts, ends):
            ip("link", "set", end, "netns", host.namespace)
            ip("-n", host.namespace, "link", "set", "lo", "up")
            ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", end)
            ip("-n", host.namespace, "link", "set", end, "up")
        authority = installation.inside(self.folder / "ca")
        first = self.hosts[0]
        first.sansock("pki", "init", authority, "--name", "test")
        for number, host in enumerate(self.hosts):
            first.sansock("pki", "issue", authority, f"host-{number}", "--address", host.address, "--out",
                          installation.inside(host.directory / "pki"))

    def start_daemons(self):
        for host in self.hosts:
            host.start_daemon()

    def close(self):
        self.wire.close()
        for host in self.hosts:
            host.close()


def has_namespaces():
    return os.geteuid() == 0 and shutil.which("ip") is not None
