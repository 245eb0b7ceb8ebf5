"""Connections between two hosts leave TCP, and come back to it, and nobody notices. See hosts.py for what the hosts are."""
import contextlib
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import hosts  # noqa: E402
from hosts import harness  # noqa: E402

PORT = 7001
PAUSE_S = 0.002 * harness.SLOWNESS  # long enough for connections to leave TCP meanwhile

# A conversation that checks each byte. The one that connects says how far it has got.
TALKER = """
import hashlib, random, signal, socket, sys, time
silent = []
signal.signal(signal.SIGUSR1, lambda *_: silent.append(True))
role, address, port, pause = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
if role == 'serve':
    listener = socket.create_server((address, port))
    print('listening', flush=True)
    while True:
        end = listener.accept()[0]
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while said := end.recv(65536):
                end.sendall(said)
            print('end', flush=True)
        except ConnectionError as error:
            print(type(error).__name__, flush=True)
        end.close()
end = socket.create_connection((address, port))
end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
numbers = random.Random(7)
turn = 0
while True:
    said = numbers.randbytes(numbers.choice([1, 64, 3000, 100000]))
    end.sendall(said)
    heard = b''
    while len(heard) < len(said):
        part = end.recv(len(said) - len(heard))
        assert part, 'the stream has ended'
        heard += part
    assert heard == said, turn
    turn += 1
    if turn % 20 == 0:
        print(turn, flush=True)
    time.sleep(pause)
    while silent:
        time.sleep(1)
"""

# Says a lot, once it is told to, and ends without waiting for anybody.
SPEAKER = """
import os, random, signal, socket, struct, sys, time
told = []
signal.signal(signal.SIGUSR1, lambda *_: told.append(True))
end = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while not told:
    end.sendall(b'x' * 100)
    end.recv(100, socket.MSG_WAITALL)
end.sendall(b'y' + random.Random(11).randbytes(300000))
how = sys.argv[3]
if how == 'close':
    end.close()
if how == 'abort':
    assert end.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == bytes(8)  # though it is guarded
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    assert end.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack('ii', 1, 0)
    end.close()
if how == 'shutdown':
    end.shutdown(socket.SHUT_WR)
    assert end.recv(1) == b''
if how == 'exec':
    os.execv('/bin/true', ['true'])
os._exit(0)
"""

LISTENER = """
import hashlib, random, socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print('listening', flush=True)
end = listener.accept()[0]
while (heard := end.recv(100, socket.MSG_WAITALL))[:1] == b'x':
    end.sendall(heard)
heard = heard[1:]
try:
    while part := end.recv(65536):
        heard += part
    print('whole' if heard == random.Random(11).randbytes(300000) else 'wrong: %d' % len(heard), flush=True)
except ConnectionError as error:
    print(type(error).__name__, len(heard), flush=True)
"""


# Only hears, and is told of each arrival once.
EDGES = """
import select, socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print('listening', flush=True)
end = listener.accept()[0]
end.setblocking(False)
edges = select.epoll()
edges.register(end, select.EPOLLIN | select.EPOLLET)
heard = 0
while True:
    assert edges.poll(15), 'no edge after %d bytes' % heard
    try:
        while part := end.recv(65536):
            heard += len(part)
        break
    except BlockingIOError:
        pass
print(heard, flush=True)
"""

# Says a little now and then, and ends as it is told.
STREAMER = """
import os, socket, sys, time
end = socket.create_connection((sys.argv[1], int(sys.argv[2])))
pause = float(sys.argv[4])
end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for _ in range(500):
    end.sendall(b'x' * 1000)
    time.sleep(pause)
if sys.argv[3] == 'fork' and os.fork():
    os._exit(0)
for _ in range(100):
    end.sendall(b'x' * 1000)
    time.sleep(pause)
"""

# Only says; the other one only hears, and is the first to end.
FOUNTAIN = """
import socket, sys, time
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
pause = float(sys.argv[3])
print('listening', flush=True)
end = listener.accept()[0]
for _ in range(500):
    end.sendall(b'x' * 1000)
    time.sleep(pause)
end.settimeout(15)
try:
    print('end' if end.recv(10) == b'' else 'more', flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
"""

DRINKER = """
import os, socket, sys
end = socket.create_connection((sys.argv[1], int(sys.argv[2])))
heard = 0
while heard < 500000:
    heard += len(end.recv(65536))
os._exit(0)
"""


of_this_kernel = unittest.skipIf(hosts.GUESTS, "is done from outside to hosts that are namespaces")


class Case(unittest.TestCase):
    has_bad_wire = False
    policy = "prefer"
    provider = None

    def setUp(self):
        ends = contextlib.ExitStack()
        self.addCleanup(ends.close)
        folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="sansock-hosts-"))
        self.fleet = hosts.Fleet(folder, provider=self.provider, policy=self.policy, has_bad_wire=self.has_bad_wire)
        ends.callback(self.fleet.close)
        self.a, self.b = self.fleet.hosts

    def serve(self, program, *words, sansock=True):
        server = self.a.start(harness.PYTHON, "-c", program, *words, sansock=sansock, stdout=subprocess.PIPE, text=True)
        self.assertEqual(server.stdout.readline(), "listening\n")
        return server

    def talk(self, pause=0.001, sansock=True, port=PORT):
        server = self.serve(TALKER, "serve", self.a.address, port, pause, sansock=sansock)
        # What it says when it is killed at the end is nobody's business.
        client = self.b.start(harness.PYTHON, "-c", TALKER, "talk", self.a.address, port, pause, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
        self.assertEqual(client.stdout.readline(), "20\n")
        return server, client

    def goes_on(self, client):
        # What it has printed before does not count.
        before = int(client.stdout.readline())
        harness.wait_for("the conversation", lambda: int(client.stdout.readline()) > before + 100)

    def on_provider(self, port=PORT):
        return harness.wait_for("an upgrade", lambda: all(
            (found := host.status(f":{port}")) and found[0]["path"] == self.fleet.provider["plugin"] for host in self.fleet.hosts))


class Conversations(Case):
    def test_a_conversation_leaves_tcp(self):
        self.fleet.start_daemons()
        _, client = self.talk()
        self.on_provider()
        self.goes_on(client)
        client.send_signal(signal.SIGKILL)
        client.wait()

    def test_without_a_daemon_it_stays(self):
        self.a.start_daemon()
        _, client = self.talk()
        self.goes_on(client)
        harness.wait_for("a reason", lambda: [found["reason"] for found in self.a.status(f":{PORT}")] == ["peer-silent"])

    def test_daemons_come_and_go(self):
        self.fleet.start_daemons()
        _, client = self.talk()
        self.on_provider()
        for host in self.fleet.hosts:
            host.kill_daemon()
            self.goes_on(client)
            host.start_daemon()
            self.goes_on(client)
        self.on_provider()

    def without(self, *faults):
        """What talks goes on while these faults last, what begins meanwhile talks on TCP at once, and what begins afterwards leaves it."""
        self.fleet.start_daemons()
        _, client = self.talk()
        self.on_provider()
        with contextlib.ExitStack() as last:
            for fault in faults:
                last.enter_context(fault())
            self.goes_on(client)
            begun = time.monotonic()
            _, meanwhile = self.talk(port=PORT + 1)
            self.goes_on(meanwhile)
            self.assertLess(time.monotonic() - begun, hosts.RENDEZVOUS_S, "it waits for no daemon")
            self.goes_on(client)
        self.goes_on(meanwhile)
        _, afterwards = self.talk(port=PORT + 2)
        self.on_provider(PORT + 2)
        for talks in (client, meanwhile, afterwards):
            self.goes_on(talks)
        self.on_provider()
        for host in self.fleet.hosts:
            self.assertIsNone(host.daemon.poll())

    def test_the_daemon_of_who_accepts_hangs(self):
        self.without(self.a.hung_daemon)

    def test_the_daemon_of_who_connects_hangs(self):
        self.without(self.b.hung_daemon)

    def test_both_daemons_hang(self):
        self.without(self.a.hung_daemon, self.b.hung_daemon)

    @of_this_kernel
    def test_the_daemon_of_who_accepts_has_no_descriptors(self):
        self.without(self.a.daemon_without_descriptors)

    @of_this_kernel
    def test_the_daemon_of_who_connects_has_no_descriptors(self):
        self.without(self.b.daemon_without_descriptors)

    @of_this_kernel
    def test_both_daemons_have_no_descriptors(self):
        self.without(self.a.daemon_without_descriptors, self.b.daemon_without_descriptors)

    def is_found_late(self, remedy):
        self.fleet.start_daemons()
        with self.a.hung_daemon():
            _, client = self.talk()
            harness.wait_for("a reason", lambda: [found["reason"] for found in self.b.status(f":{PORT}")] == ["remote-host"])
            time.sleep(hosts.RENDEZVOUS_S)  # the other end has given up, too
            remedy()
        self.on_provider()
        self.goes_on(client)

    def test_who_has_a_daemon_that_hung_is_found_late(self):
        self.is_found_late(lambda: None)

    def test_who_has_another_daemon_is_found_late(self):
        def replace_daemon():
            self.a.kill_daemon()
            self.a.start_daemon()

        self.is_found_late(replace_daemon)

    def test_daemons_are_upgraded(self):
        self.fleet.start_daemons()
        _, client = self.talk()
        self.on_provider()
        for number, host in enumerate(self.fleet.hosts, 1):
            host.upgrade_daemon()
            self.goes_on(client)
            self.talk(port=PORT + number)
            self.on_provider(PORT + number)
        self.on_provider()

    def test_a_drain_moves_it_back_and_its_end_there_again(self):
        self.fleet.start_daemons()
        _, client = self.talk()
        for host in self.fleet.hosts:
            self.on_provider()
            host.sansock("drain", hosts.PROVIDER)
            self.goes_on(client)
            self.assertEqual([found["path"] for found in self.a.status(f":{PORT}")], ["tcp"])
            host.sansock("undrain", hosts.PROVIDER)
        self.on_provider()
        self.goes_on(client)

    def heard_of(self, how):
        self.fleet.start_daemons()
        server = self.serve(LISTENER, self.a.address, PORT)
        speaker = self.b.start(harness.PYTHON, "-c", SPEAKER, self.a.address, PORT, how)
        self.on_provider()
        speaker.send_signal(signal.SIGUSR1)
        self.assertEqual(speaker.wait(harness.PATIENCE_S), 0)
        heard = server.stdout.readline()
        server.wait(harness.PATIENCE_S)
        [record] = self.a.records()
        self.assertEqual(record["upgrades"], 1, record)
        return heard

    def ends_whole(self, how):
        self.assertEqual(self.heard_of(how), "whole\n")

    def test_an_aborting_close_is_a_reset(self):
        self.assertRegex(self.heard_of("abort"), "ConnectionResetError")

    def test_what_is_said_before_close_arrives(self):
        self.ends_whole("close")

    def test_what_is_said_before_the_end_arrives(self):
        self.ends_whole("exit")

    def test_what_is_said_before_a_half_close_arrives(self):
        self.ends_whole("shutdown")

    def test_what_is_said_before_another_program_arrives(self):
        self.ends_whole("exec")

    def stream(self, how):
        self.fleet.start_daemons()
        server = self.serve(EDGES, self.a.address, PORT)
        self.b.start(harness.PYTHON, "-c", STREAMER, self.a.address, PORT, how, PAUSE_S)
        self.assertEqual(server.stdout.readline(), "600000\n")
        server.wait(harness.PATIENCE_S)
        self.assertEqual([record["upgrades"] for record in self.a.records()], [1])

    def test_each_arrival_is_an_edge(self):
        self.stream("end")

    def test_a_child_goes_on_when_its_parent_ends(self):
        self.stream("fork")

    def test_who_only_hears_ends_cleanly(self):
        self.fleet.start_daemons()
        server = self.serve(FOUNTAIN, self.a.address, PORT, PAUSE_S)
        client = self.b.start(harness.PYTHON, "-c", DRINKER, self.a.address, PORT)
        self.assertEqual(client.wait(harness.PATIENCE_S), 0)
        self.assertEqual(server.stdout.readline(), "end\n")
        server.wait(harness.PATIENCE_S)
        self.assertEqual([record["upgrades"] for record in self.a.records()], [1])

    def test_a_death_is_no_clean_end(self):
        self.fleet.start_daemons()
        server, client = self.talk(pause=0)
        self.on_provider()
        client.kill()
        self.assertEqual(server.stdout.readline(), "ConnectionResetError\n")

    def test_a_death_in_silence_is_an_end(self):
        self.fleet.start_daemons()
        server, client = self.talk(pause=1e-3)
        self.on_provider()
        self.goes_on(client)
        client.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        client.kill()
        self.assertEqual(server.stdout.readline(), "end\n")

    def test_a_stopped_peer_is_no_dead_one(self):
        self.fleet.start_daemons()
        _, client = self.talk()
        self.on_provider()
        client.send_signal(signal.SIGSTOP)
        time.sleep(1)
        client.send_signal(signal.SIGCONT)
        self.goes_on(client)
        self.on_provider()

    def test_a_cut_wire_is_survived(self):
        self.fleet.start_daemons()
        _, client = self.talk()
        self.on_provider()
        self.a.link("down")
        time.sleep(1.5)
        self.a.link("up")
        self.goes_on(client)


class FailingProvider(Case):
    """In each process once, in the middle of what is said."""

    provider = {"plugin": "fault", "options": {"wraps": hosts.PLUGIN, "faults": [
        {"call": "completion", "after": 200, "times": 1, "result": "fail"}]}}

    def test_a_conversation_returns_to_it(self):
        self.fleet.start_daemons()
        _, client = self.talk()
        harness.wait_for("a failure", lambda: all(host.status(f":{PORT}")[0]["step_backs"] for host in self.fleet.hosts))
        self.on_provider()
        self.goes_on(client)
        self.on_provider()


class WithRedis(Case):
    requests = 20_000
    share = 0.5

    def start_redis(self):
        self.server = self.a.start("redis-server", "--port", PORT, "--bind", self.a.address, "--save", "", "--protected-mode", "no",
                                   "--dir", self.a.directory, stdout=subprocess.DEVNULL)
        harness.wait_for("redis", lambda: self.b.run("redis-cli", "-h", self.a.address, "-p", PORT, "ping").stdout == "PONG\n")

    def benchmark(self, *words):
        return self.b.start("redis-benchmark", "-h", self.a.address, "-p", PORT, "-c", 8, "-q", *words, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)

    def succeeds(self):
        done = self.benchmark("-t", "set,get", "-n", self.requests)
        said = done.communicate(timeout=600)[0]
        self.assertEqual(done.returncode, 0, said)
        self.assertRegex(said, r"GET: [\d.]+ requests per second")

    def leaves_tcp(self):
        """What a benchmark of its own moves, but for its first requests, of which a busy machine and a bad wire make many."""
        self.b.report.unlink(missing_ok=True)
        self.succeeds()
        self.assertGreater(self.b.share_on_provider(), self.share)

    @contextlib.contextmanager
    def load(self):
        """Requests without end, of which none fails, whatever happens meanwhile."""
        load = self.benchmark("-t", "set", "-n", 100_000_000)
        self.some_on_provider()
        yield
        moved = self.moved()
        harness.wait_for("more requests", lambda: self.moved() > moved)
        self.assertIsNone(load.poll())
        load.terminate()
        said = load.communicate(timeout=harness.PATIENCE_S)[0]
        said = [line for line in said.splitlines() if not line.startswith("sansock[")]  # whose log says what it closed of its own
        self.assertEqual(re.findall(r"(?i)error|reset|refused|closed", "\n".join(said)), [])

    def some_on_provider(self):
        """At least one: on a bad wire another may have lost what its upgrade had needed in time."""
        harness.wait_for("an upgrade", lambda: all(
            any(found["path"] == hosts.PLUGIN for found in host.status(f":{PORT}")) for host in self.fleet.hosts), 3 * harness.PATIENCE_S)

    def moved(self):
        return sum(sum(found["bytes_received"].values()) for found in self.b.status(f":{PORT}"))


class Redis(WithRedis):
    def test_an_unmodified_redis(self):
        self.fleet.start_daemons()
        self.start_redis()
        self.leaves_tcp()

    def test_daemons_are_killed_under_load(self):
        self.fleet.start_daemons()
        self.start_redis()
        with self.load():
            for host in self.fleet.hosts:
                host.kill_daemon()
                time.sleep(0.3)
                host.start_daemon()
        self.leaves_tcp()

    def test_daemons_are_upgraded_under_load(self):
        self.fleet.start_daemons()
        self.start_redis()
        with self.load():
            for host in self.fleet.hosts:
                host.upgrade_daemon()
        self.leaves_tcp()

    @of_this_kernel
    def test_daemons_have_no_descriptors_under_load(self):
        """Programs that they know go on to have new connections."""
        self.fleet.start_daemons()
        self.start_redis()
        with self.load():
            with self.a.daemon_without_descriptors(), self.b.daemon_without_descriptors():
                self.succeeds()
        self.leaves_tcp()
        self.assertNotIn("its channel is closed", self.a.log())


class Drains(WithRedis):
    def test_what_comes_after_a_drain_leaves_tcp(self):
        """Fewer than there were before it, with the memory of those."""
        self.fleet.start_daemons()
        self.start_redis()
        with self.load():
            self.a.sansock("drain", hosts.PROVIDER)
        self.a.sansock("undrain", hosts.PROVIDER)
        for _ in range(3):
            client = self.b.start("redis-benchmark", "-h", self.a.address, "-p", PORT, "-c", 1, "-q", "-t", "set", "-n", 100_000_000,
                                  stdout=subprocess.DEVNULL)
            harness.wait_for("an upgrade", lambda: [found["path"] for found in self.b.status(f":{PORT}")] == [hosts.PLUGIN])
            client.kill()
            client.wait()


@of_this_kernel
class BadWire(Redis):
    """Frames come late and out of order, and one of a hundred never: what has to cross it before a connection leaves TCP takes its time."""

    has_bad_wire = True
    requests = 1_500
    share = 0.1

    def test_conversations_go_there_and_back(self):
        self.fleet.start_daemons()
        clients = []
        for port in range(PORT, PORT + 3):
            clients.append(self.talk(port=port)[1])
            self.on_provider(port)
            self.goes_on(clients[-1])
            self.b.sansock("drain", hosts.PROVIDER)
            self.assertEqual([found["path"] for found in self.a.status(f":{port}")], ["tcp"])
            for client in clients:
                self.goes_on(client)
            self.b.sansock("undrain", hosts.PROVIDER)

    def test_a_drain_under_load(self):
        self.fleet.start_daemons()
        self.start_redis()
        for host in self.fleet.hosts:
            with self.load():
                host.sansock("drain", hosts.PROVIDER)
                self.assertEqual({found["path"] for found in self.a.status(f":{PORT}")}, {"tcp"})
            host.sansock("undrain", hosts.PROVIDER)


if __name__ == "__main__":
    if not hosts.has_namespaces():
        sys.exit("needs root and iproute2, for two network namespaces")
    harness.main()
