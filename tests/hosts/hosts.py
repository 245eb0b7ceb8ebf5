"""Two hosts with an interface each and a wire between them, a daemon in each, and certificates of one fleet.

They are network namespaces of this machine or, where tests/guest/run has started them, guests with kernels of their own.
"""
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

# Which plugin's provider is between the hosts.
PLUGIN = os.environ.get("SANSOCK_TEST_PLUGIN", "portable")
GUESTS = os.environ.get("SANSOCK_GUESTS")  # the folder of those that run

CONFIG = f"""
providers:
  {PROVIDER}: %s
routes:
  - providers: [{PROVIDER}]
    policy: %s
upgrade_after: {{calls: 4, bytes: 64KiB}}
timeouts: {{rendezvous: {RENDEZVOUS_S}s, require: {RENDEZVOUS_S}s, return: 500ms}}
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


class Namespace:
    """A host of this machine's."""

    start = staticmethod(subprocess.Popen)

    def __init__(self, number, tag):
        self.address = ADDRESSES[number]
        self.name = f"sansock-{tag}-{number}"
        self.interface = f"sk{tag}{number}"
        ip("netns", "add", self.name)

    def command(self, *words):
        return ["ip", "netns", "exec", self.name, *words]

    @staticmethod
    def control_folder(directory):
        return directory

    def close(self):
        ip("netns", "del", self.name)


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


def namespaces(wire, is_bad):
    tag = f"{os.getpid():x}"
    both = [Namespace(number, tag) for number in range(2)]
    wire.enter_context((bad_wire if is_bad else good_wire)(*(place.interface for place in both)))
    for place in both:
        ip("link", "set", place.interface, "netns", place.name)
        ip("-n", place.name, "link", "set", "lo", "up")
        ip("-n", place.name, "addr", "add", f"{place.address}/24", "dev", place.interface)
        ip("-n", place.name, "link", "set", place.interface, "up")
    return both


def places(wire, is_bad):
    if GUESTS is None:
        return namespaces(wire, is_bad)
    assert not is_bad, "the guests' kernels have netem for that"
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "guest"))
    import guests
    return guests.attach(GUESTS)


class Host:
    """One of the two; ends with `close`."""

    def __init__(self, number, folder, place, installation, provider, policy):
        self.installation = installation
        self.place = place
        self.address = place.address
        self.directory = folder / f"host-{number}"
        self.directory.mkdir(mode=0o755)
        self.control = installation.inside(place.control_folder(self.directory))
        self.report = self.directory / "report"
        self.config = self.directory / "sansock.yaml"
        self.config.write_text(CONFIG % (json.dumps(provider), policy))
        self.environment = {"SANSOCK_CONTROL": self.control}
        self.programs = []
        self.daemon = None

    def command(self, *words, sansock=False):
        run = [self.installation.tool("sansock"), "run", "--report", self.installation.inside(self.report), "--config",
               self.installation.inside(self.config), "--"] if sansock else []
        return self.place.command(*self.installation.command(self.environment, *run, *words))

    def start(self, *words, sansock=True, **more):
        """A program, unmodified, under sansock or not."""
        program = self.place.start(self.command(*words, sansock=sansock), **more)
        self.programs.append(program)
        return program

    def run(self, *words, **more):
        """A program to its end."""
        return subprocess.run(self.command(*words, **more), capture_output=True, text=True, timeout=120 * harness.SLOWNESS, check=False)

    def must(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr}"
        return done.stdout

    def sansock(self, *words):
        return self.must(self.installation.tool("sansock"), *words)

    def start_daemon(self, program=None):
        log = open(self.directory / "daemon.log", "ab")
        self.daemon = self.place.start(
            self.command(program or self.installation.tool("sansockd"), "--directory", self.control, "--log-level", "debug",
                         "--pki", self.installation.inside(self.directory / "pki"), "--rendezvous", f"{self.address}:{RENDEZVOUS_PORT}"),
            stderr=log)
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
        self.daemon.send_signal(signal.SIGTERM)
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

    def link(self, state):
        """The wire, at this end: "down" or "up"."""
        self.must("ip", "link", "set", self.place.interface, state)

    def netem(self, *what):
        """What befalls that which this host sends, in tc's words ("loss", "1%"); without words nothing any more."""
        self.must("tc", "qdisc", "replace", "dev", self.place.interface, "root", *(["netem", *what] if what else ["pfifo"]))

    def close(self):
        for program in self.programs:
            if program.stdout:
                program.stdout.close()  # on.py, which shows what a program on a guest says, cannot end while nobody reads that
            if program.poll() is None:
                program.kill()
            program.wait()
        if self.daemon and self.daemon.poll() is None:
            self.kill_daemon()
        self.place.close()


class Fleet:
    """Both hosts, on one wire, with a certificate authority of their own."""

    def __init__(self, folder, installation=Built, provider=None, policy="prefer", has_bad_wire=False):
        self.folder = pathlib.Path(folder)
        self.provider = provider or {"plugin": PLUGIN}
        self.wire = contextlib.ExitStack()
        self.hosts = [Host(number, self.folder, place, installation, self.provider, policy)
                      for number, place in enumerate(places(self.wire, has_bad_wire))]
        authority = installation.inside(self.folder / "ca")

        def pki(*words):
            subprocess.run(installation.command({}, installation.tool("sansock"), "pki", *words), check=True, capture_output=True)

        pki("init", authority, "--name", "test")
        for number, host in enumerate(self.hosts):
            pki("issue", authority, f"host-{number}", "--address", host.address, "--out", installation.inside(host.directory / "pki"))

    def start_daemons(self):
        for host in self.hosts:
            host.start_daemon()

    def close(self):
        with contextlib.ExitStack() as ends:
            for host in self.hosts:
                ends.callback(host.close)
            ends.callback(self.wire.close)


def has_namespaces():
    return os.geteuid() == 0 and shutil.which("ip") is not None
