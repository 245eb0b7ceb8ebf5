"""The providers of RDMA devices, on the kernel's drivers for them: they keep the contract, unmodified programs use them, and what befalls a
device, its wire or its peer costs no byte.

SANSOCK_TEST_ROUNDS says how often each thing befalls them (2).
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
MIB = 1 << 20


# Says the same again and again, and writes down how much of it was taken.
SAYER = """
import os, socket, sys
end = socket.create_connection((sys.argv[1], int(sys.argv[2])))
told = os.open(sys.argv[3], os.O_RDWR | os.O_CREAT)
words = bytes(range(251)) * 40
count = 0
while True:
    end.sendall(words)
    count += len(words)
    os.pwrite(told, b'%020d' % count, 0)
"""

HEARER = """
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print('listening', flush=True)
end = listener.accept()[0]
words = bytes(range(251)) * 400
count = 0
try:
    while heard := end.recv(65536):
        assert heard == words[count % 251:][:len(heard)], count
        count += len(heard)
    print('end', count, flush=True)
except ConnectionError as error:
    print(type(error).__name__, count, flush=True)
"""


class Contract(hosts_test.Case):
    def test_a_provider_keeps_it(self):
        plugin = harness.tool("../lib/sansock/plugins") / f"{hosts.PLUGIN}.so"
        done = self.a.run(harness.tool("sansock-validate"), plugin)
        print(done.stdout.splitlines()[-1:], end=" ", flush=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


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
        done = harness.wait_for("iperf3", lambda: (run := self.b.run(
            "iperf3", "-c", self.a.address, "-p", PORT, "-n", 256 * MIB, "--json", sansock=True)).returncode == 0 and run)
        server.wait(harness.PATIENCE_S)
        moved = json.loads(done.stdout)["end"]
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
    """Each befalls a conversation whose every byte is checked, in both directions, while it goes by the provider, to which it returns."""

    def setUp(self):
        super().setUp()
        for host in self.fleet.hosts:
            host.environment["LD_PRELOAD"] = harness.tool("../lib/tests/qp_error.so")

    def befalls(self, fault, returns=True, afterwards=lambda: None):
        self.fleet.start_daemons()
        for number in range(ROUNDS):
            with self.subTest(round=number):
                port = PORT + number
                server, client = self.talk(pause=0, port=port)
                self.on_provider(port)
                fault(client)
                self.goes_on(client)
                if returns:
                    self.on_provider(port)
                    self.goes_on(client)
                for end in (client, server):
                    end.send_signal(signal.SIGKILL)
                    end.wait()
                afterwards()
        print(f"{ROUNDS} rounds", end=" ", flush=True)

    def test_a_cut_wire(self):
        def cut(_):
            self.a.link("down")
            time.sleep(1)
            self.a.link("up")

        def replace_device():
            self.a.place.remove_device()
            self.a.place.add_device()

        if self.a.place.driver != "rxe":
            return self.befalls(cut)
        # Once this kernel's rxe has had to say anything while its interface was down, no program connects by it any more, rdma-core's
        # neither. The conversation goes on all the same; for the next one, there has to be another device.
        self.befalls(cut, returns=False, afterwards=replace_device)

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
        self.befalls(drain)

    def test_queue_pairs_in_error(self):
        self.befalls(lambda client: client.send_signal(signal.SIGUSR2))  # qp_error.cpp

    def test_a_peer_that_is_killed(self):
        """What came is what it sent, and where it ended in good order, that is all of which it was told that it is sent."""
        self.fleet.start_daemons()
        for number in range(ROUNDS):
            with self.subTest(round=number):
                told = self.b.directory / f"told-{number}"
                hearer = self.serve(HEARER, self.a.address, PORT + number)
                sayer = self.b.start(harness.PYTHON, "-c", SAYER, self.a.address, PORT + number, told)
                self.on_provider(PORT + number)
                sayer.kill()
                end, count = hearer.stdout.readline().split()
                self.assertIn(end, ("end", "ConnectionResetError"))
                if end == "end":
                    self.assertGreaterEqual(int(count), int(told.read_text()))
        print(f"{ROUNDS} rounds", end=" ", flush=True)


if __name__ == "__main__":
    if hosts.GUESTS is None:
        sys.exit("needs guests: start it with tests/guest/run")
    harness.main()
