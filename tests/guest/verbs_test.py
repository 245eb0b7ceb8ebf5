"""The providers of RDMA devices, on the kernel's drivers for them: they keep the contract, unmodified programs use them, and what befalls a
device, its wire or its peer costs no byte.

SANSOCK_TEST_ROUNDS says how often each thing befalls them (2); each time, several conversations bear it, each at a place of its own.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hosts"))
import hosts  # noqa: E402
import hosts_test  # noqa: E402
from hosts import harness  # noqa: E402
from hosts_test import PORT  # noqa: E402

ROUNDS = int(os.environ.get("SANSOCK_TEST_ROUNDS", 2))
CONVERSATIONS = 5
MIB = 1 << 20


# Conversations, each in a thread with a connection of its own, whose every byte is compared; how many turns the slowest has had.
TALKERS = """
import os, random, socket, sys, threading, time
role, address, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def thread(work, *words):
    def must(*words):
        try:
            work(*words)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    threading.Thread(target=must, args=words, daemon=True).start()
def echo(end):
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while said := end.recv(65536):
        end.sendall(said)
def talk(number):
    end = socket.create_connection((address, port))
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    numbers = random.Random(number)
    while True:
        said = numbers.randbytes(numbers.choice([1, 64, 3000, 40000]))
        end.sendall(said)
        heard = b''
        while len(heard) < len(said):
            part = end.recv(len(said) - len(heard))
            assert part, 'the stream has ended'
            heard += part
        assert heard == said, f'conversation {number}, turn {turns[number]}: other bytes'
        turns[number] += 1
if role == 'serve':
    listener = socket.create_server((address, port), backlog=64)
    print('listening', flush=True)
    while True:
        thread(echo, listener.accept()[0])
turns = [0] * count
told = os.open(sys.argv[5], os.O_RDWR | os.O_CREAT)
for number in range(count):
    thread(talk, number)
while True:
    os.pwrite(told, b'%020d' % min(turns), 0)
    time.sleep(0.1)
"""

# Say the same again and again, and write down how much of it was taken; the others hear them out.
SAYERS = """
import os, socket, sys, threading
def say(number):
    end = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    told = os.open(sys.argv[4] + str(number), os.O_RDWR | os.O_CREAT)
    end.sendall(b'%d' % number)
    words = bytes(range(251)) * 40
    count = 0
    while True:
        end.sendall(words)
        count += len(words)
        os.pwrite(told, b'%020d' % count, 0)
for number in range(int(sys.argv[3])):
    threading.Thread(target=say, args=[number]).start()
"""

HEARERS = """
import socket, sys, threading
words = bytes(range(251)) * 400
def hear(end):
    number, count = int(end.recv(1)), 0
    try:
        while heard := end.recv(65536):
            assert heard == words[count % 251:][:len(heard)], count
            count += len(heard)
        print('end', number, count, flush=True)
    except BaseException as error:
        print(type(error).__name__, number, count, flush=True)
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=64)
print('listening', flush=True)
while True:
    threading.Thread(target=hear, args=[listener.accept()[0]], daemon=True).start()
"""


class Contract(hosts_test.Case):
    def test_a_provider_keeps_it(self):
        self.validate()

    def test_children_have_what_is_registered(self):
        """Also where libibverbs takes it out of them, as it must with kernels before 5.12."""
        self.validate("--case", "*ChildrenHave*", environment={"RDMAV_FORK_SAFE": "1"})

    def validate(self, *words, environment=None):
        plugin = harness.tool("../lib/sansock/plugins") / f"{hosts.PLUGIN}.so"
        changes = [f"{name}={value}" for name, value in (environment or {}).items()]
        done = self.a.run("env", *changes, harness.tool("sansock-validate"), *words, plugin)
        print(done.stdout.splitlines()[-1:], end=" ", flush=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Devices(hosts_test.Case):
    def test_a_listed_name_opens_its_device(self):
        rows = self.a.sansock("providers").split("\n\n")[1].splitlines()
        self.assertTrue(rows[0].startswith("DEVICE"), rows)
        at = [rows[0].index(title) for title in ("DEVICE", "PORT", "INTERFACE", "NODE GUID", "GIDS")]
        device, interface, guid = rows[1][at[0]:at[1]].strip(), rows[1][at[2]:at[3]].strip(), rows[1][at[3]:at[4]].strip()
        gids = rows[1][at[4]:].split()
        self.assertTrue(gids, rows)
        config = self.a.directory / "named.yaml"
        for name in filter(None, (device, interface, guid, *gids)):  # the kernel does not say which interface is siw's
            config.write_text(f"providers:\n  {hosts.PROVIDER}: {{plugin: {hosts.PLUGIN}, options: {{device: '{name}'}}}}\n"
                              f"routes: [{{providers: [{hosts.PROVIDER}]}}]\n")
            said = self.a.run(harness.tool("sansock"), "doctor", "--config", config)
            self.assertIn(f"provider {hosts.PROVIDER} ({hosts.PLUGIN}) can be opened", said.stdout, name)


class Programs(hosts_test.Case):
    """What moved is compared, and more than 99 % of it has gone by the provider: these kernels are slow to find each other, and meanwhile a
    connection that may would stay on TCP."""

    policy = "require"

    def carried(self):
        for host in self.fleet.hosts:
            self.assertGreater(host.share_on_provider(), 0.99)

    def file(self, host, path, size=64 * MIB):
        host.must("sh", "-c", f"head -c {size} /dev/urandom > {path}")
        return host.must("sha256sum", path).split()[0]

    def test_iperf3(self):
        self.fleet.start_daemons()
        server = self.a.start("iperf3", "-s", "-1", "-B", self.a.address, "-p", PORT, stdout=subprocess.DEVNULL)
        # With --json it exits with 0 even where it could not connect.
        said = harness.wait_for("iperf3", lambda: (said := json.loads(self.b.run(
            "iperf3", "-c", self.a.address, "-p", PORT, "-n", 256 * MIB, "--json", sansock=True).stdout)).get("error") is None and said)
        server.wait(harness.PATIENCE_S)
        moved = said["end"]
        self.assertGreaterEqual(moved["sum_received"]["bytes"], 256 * MIB * 0.99)
        print(f"{moved['sum_received']['bits_per_second'] / 8e6:.0f} MB/s", end=" ", flush=True)
        self.carried()

    def test_nbd(self):
        self.fleet.start_daemons()
        wanted = self.file(self.a, "/tmp/disk")
        self.a.start("nbdkit", "-f", "-i", self.a.address, "-p", PORT, "file", "/tmp/disk")
        copied = harness.wait_for("nbdcopy", lambda: self.b.run(
            "nbdcopy", "--connections=2", f"nbd://{self.a.address}:{PORT}", "/tmp/copy", sansock=True).returncode == 0)
        self.assertTrue(copied)
        self.assertEqual(self.b.must("sha256sum", "/tmp/copy").split()[0], wanted)
        self.assertGreater(self.b.share_on_provider(), 0.99)

    def test_redis(self):
        self.fleet.start_daemons()
        self.a.start("redis-server", "--port", PORT, "--bind", self.a.address, "--save", "", "--protected-mode", "no", "--dir", "/tmp",
                     stdout=subprocess.DEVNULL)
        harness.wait_for("redis", lambda: self.b.run("redis-cli", "-h", self.a.address, "-p", PORT, "ping", sansock=True).stdout == "PONG\n")
        done = self.b.run("redis-benchmark", "-h", self.a.address, "-p", PORT, "-n", 20_000, "-c", 4, "-d", 1000, "-t", "set,get", "-q",
                          sansock=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"GET: [\d.]+ requests per second")
        self.assertGreater(self.b.share_on_provider(), 0.99)


class Faults(hosts_test.Case):
    """Each befalls conversations whose every byte is compared, in both directions, while they go by the provider, to which they return."""

    def setUp(self):
        super().setUp()
        for host in self.fleet.hosts:
            host.environment["LD_PRELOAD"] = harness.tool("../lib/tests/qp_error.so")

    def talkers(self, port):
        self.told = self.b.directory / f"turns-{port}"
        server = self.serve(TALKERS, "serve", self.a.address, port, 0)
        client = self.b.start(harness.PYTHON, "-c", TALKERS, "talk", self.a.address, port, CONVERSATIONS, self.told)
        harness.wait_for("the conversations", self.told.exists)
        return server, client

    def go_on(self, client, turns=10):
        """From now on: each of them."""
        def had():
            self.assertIsNone(client.poll(), "a conversation has failed")
            return int(self.told.read_text() or 0)

        time.sleep(0.3)  # what is told may be older than this call
        before = had()
        harness.wait_for("the conversations", lambda: had() > before + turns)

    def all_on_provider(self, port):
        def are():
            found = [host.status(f":{port}") for host in self.fleet.hosts]
            return all(len(some) == CONVERSATIONS and {each["path"] for each in some} == {hosts.PLUGIN} for some in found)

        harness.wait_for("upgrades", are)

    def steps(self, port):
        """How often each of the conversations has gone back to TCP, at least."""
        return min(each["step_backs"] for each in self.b.status(f":{port}"))

    def befalls(self, fault, returns=True, felt=False, afterwards=lambda: None):
        """`returns`: to the same conversations, which have to bear all of it; otherwise each time has its own. `felt`: all have to step back."""
        self.fleet.start_daemons()
        ends = []
        began = time.monotonic()
        for number in range(ROUNDS):
            port = PORT if returns else PORT + number
            ends = ends or self.talkers(port)
            client = ends[1]
            self.all_on_provider(port)
            steps = self.steps(port)
            fault(client)
            self.go_on(client)
            if felt:
                harness.wait_for("steps back", lambda: self.steps(port) > steps)
            if not returns:
                for end in ends:
                    end.send_signal(signal.SIGKILL)
                    end.wait()
                ends = []
            afterwards()
            print(".", end="", flush=True)
        if returns:
            self.all_on_provider(PORT)
            self.go_on(ends[1])
        print(f" {ROUNDS} times {CONVERSATIONS} conversations, {time.monotonic() - began:.0f} s", end=" ", flush=True)

    def test_a_cut_wire(self):
        def cut(_):
            self.a.link("down")
            time.sleep(1)
            self.a.link("up")

        if self.a.place.driver != "rxe":
            return self.befalls(cut)
        # The conversation goes on all the same; for the next one, there has to be another device (guests.py, `restore`).
        self.befalls(cut, returns=False, afterwards=self.a.place.replace_device)

    def test_a_device_that_is_removed(self):
        """Which takes until no program has it open. It has another number when it is back."""
        self.a.place.add_spare_device()
        self.befalls(lambda _: self.a.place.replace_device(), felt=True)

    def test_a_wire_that_takes_and_gives_nothing(self):
        def swallow(_):
            for host in self.fleet.hosts:
                host.netem("loss", "100%")
            time.sleep(3)
            for host in self.fleet.hosts:
                host.netem()
        self.befalls(swallow)

    def test_loss_and_delay(self):
        def spoil(_):
            self.b.netem("delay", "20ms", "5ms", "loss", "2%")
            time.sleep(3)
            self.b.netem()
        self.befalls(spoil)

    def test_daemons_that_go(self):
        def restart(_):
            for host in self.fleet.hosts:
                host.kill_daemon()
                host.start_daemon()
        self.befalls(restart)

    def test_a_provider_that_is_drained(self):
        def drain(_):
            self.b.sansock("drain", hosts.PROVIDER)
            self.b.sansock("undrain", hosts.PROVIDER)
        self.befalls(drain, felt=True)

    def test_queue_pairs_in_error(self):
        self.befalls(lambda client: client.send_signal(signal.SIGUSR2), felt=True)  # qp_error.cpp

    def test_a_peer_that_is_killed(self):
        """What came is what it sent, and where it ended in good order, that is all of which it was told that it is sent."""
        self.fleet.start_daemons()
        for number in range(ROUNDS):
            told = self.b.directory / f"told-{number}-"
            hearer = self.serve(HEARERS, self.a.address, PORT + number)
            sayer = self.b.start(harness.PYTHON, "-c", SAYERS, self.a.address, PORT + number, CONVERSATIONS, told)
            self.all_on_provider(PORT + number)
            taken = [pathlib.Path(f"{told}{who}") for who in range(CONVERSATIONS)]
            before = [int(each.read_text() or 0) for each in taken]
            harness.wait_for("bytes by the provider", lambda: all(
                int(each.read_text() or 0) > count + MIB for each, count in zip(taken, before)))
            sayer.kill()
            for _ in range(CONVERSATIONS):
                end, who, count = hearer.stdout.readline().split()
                self.assertIn(end, ("end", "ConnectionResetError"))
                if end == "end":
                    self.assertGreaterEqual(int(count), int(pathlib.Path(f"{told}{who}").read_text()))
            hearer.send_signal(signal.SIGKILL)
            print(".", end="", flush=True)
        print(f" {ROUNDS} times {CONVERSATIONS} conversations", end=" ", flush=True)


if __name__ == "__main__":
    if hosts.GUESTS is None:
        sys.exit("needs guests: start it with tests/guest/run")
    harness.main()
