"""The guests are two hosts with RDMA between them, and what can befall hosts befalls them: shown with what others have made for verbs."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hosts"))
import hosts  # noqa: E402
from hosts import harness  # noqa: E402

PORT = 7471
ROUNDS = 200


class Case(unittest.TestCase):
    def setUp(self):
        ends = contextlib.ExitStack()
        self.addCleanup(ends.close)
        self.fleet = hosts.Fleet(ends.enter_context(tempfile.TemporaryDirectory(prefix="sansock-guest-")))
        ends.callback(self.fleet.close)
        self.a, self.b = self.fleet.hosts

    def between(self, server, client):
        """What both have said. Not all clients bear that nobody listens yet."""
        serving = self.a.start(*server, sansock=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        harness.wait_for(f"{server[0]} that listens", lambda: re.search(rf"state LISTEN .*:{PORT}\b", self.a.must("rdma", "resource", "show", "cm_id")))
        done = self.b.run("timeout", harness.PATIENCE_S, *client)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return serving.communicate(timeout=harness.PATIENCE_S)[0], done.stdout

    def reaches(self):
        """Whether a packet goes there and back."""
        return self.b.run("busybox", "ping", "-c", 1, "-W", 2, self.a.address).returncode == 0

    def pings(self):
        _, said = self.between(["rping", "-s", "-a", self.a.address, "-p", PORT, "-C", ROUNDS, "-V"],
                               ["rping", "-c", "-a", self.a.address, "-p", PORT, "-C", ROUNDS, "-V", "-v"])
        self.assertEqual(said.count("ping data: rdma-ping-"), ROUNDS)


class Tools(Case):
    def test_the_device_is_there(self):
        for host in self.fleet.hosts:
            self.assertRegex(host.must("ibv_devinfo", "-d", host.place.device), r"PORT_ACTIVE")

    def test_rping(self):
        self.pings()

    def test_rsockets(self):
        # Each byte is looked at.
        words = ["-p", PORT, "-S", 65536, "-C", 1, "-I", 20, "-T", "b", "-T", "v"]
        _, said = self.between(["rstream", "-b", self.a.address, *words], ["rstream", "-s", self.a.address, *words])
        self.assertRegex(said, r"custom\s+64k\s+1\s+20")

    def test_send(self):
        _, said = self.between(["ib_send_lat", "-R", "-F", "-n", ROUNDS, "-p", PORT],
                               ["ib_send_lat", "-R", "-F", "-n", ROUNDS, "-p", PORT, self.a.address])
        typical = re.search(rf"^\s*2\s+{ROUNDS}\s+[\d.]+\s+[\d.]+\s+([\d.]+)", said, re.M)
        self.assertTrue(typical, said)
        print(f"ib_send_lat: {typical[1]} us", end=" ", flush=True)

    def test_write(self):
        _, said = self.between(["ib_write_bw", "-R", "-F", "-n", ROUNDS, "-p", PORT],
                               ["ib_write_bw", "-R", "-F", "-n", ROUNDS, "-p", PORT, self.a.address])
        average = re.search(rf"^\s*65536\s+{ROUNDS}\s+[\d.]+\s+([\d.]+)", said, re.M)
        self.assertTrue(average, said)
        print(f"ib_write_bw: {average[1]} MB/s", end=" ", flush=True)


class Faults(Case):
    def test_a_cut_wire(self):
        self.a.link("down")
        self.assertFalse(self.reaches())
        self.a.link("up")
        harness.wait_for("the other host", self.reaches)
        self.pings()

    def test_a_bad_wire(self):
        self.b.netem("loss", "100%")
        self.assertFalse(self.reaches())
        self.b.netem("delay", "300ms")
        said = self.b.must("busybox", "ping", "-c", 2, self.a.address)
        self.assertGreater(float(re.search(r"= ([\d.]+)/", said)[1]), 300)
        self.b.netem()
        self.pings()

    def test_a_device_goes_and_comes_back(self):
        device = self.a.place.device
        self.a.place.remove_device()
        self.assertNotIn(device, self.a.run("ibv_devices").stdout)
        self.a.place.add_device()
        self.assertIn(device, self.a.must("ibv_devices"))
        self.pings()

    def test_a_driver_goes_and_comes_back(self):
        place = self.a.place
        place.remove_device()
        place.unload_driver()
        self.assertNotIn(place.module, self.a.must("lsmod").split())
        place.load_driver()
        place.add_device()
        self.pings()

    def test_a_host_stands_still(self):
        self.a.place.freeze()
        self.assertFalse(self.reaches())
        self.a.place.thaw()
        harness.wait_for("the other host", self.reaches)
        self.pings()

    def test_a_host_is_switched_off_and_on(self):
        running = self.a.start("sleep", "1000", sansock=False, stderr=subprocess.PIPE, text=True)
        self.a.must("sleep", "0.1")
        self.a.place.power_cycle()
        self.assertEqual(running.communicate(timeout=harness.PATIENCE_S)[1], "host 0 has gone\n")
        self.pings()

    def test_a_peer_is_killed(self):
        server = self.a.start("rping", "-s", "-a", self.a.address, "-p", PORT, sansock=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = self.b.start("sh", "-c", f"until rping -c -a {self.a.address} -p {PORT} -v; do sleep 0.5; done", sansock=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        harness.wait_for("a conversation", lambda: "ping data" in client.stdout.readline())
        server.kill()
        self.assertEqual(server.wait(harness.PATIENCE_S), -signal.SIGKILL)
        harness.wait_for("the other end's notice", lambda: "DISCONNECT" in client.stdout.readline().upper())


class Findings(Case):
    def test_a_core_file_is_found(self):
        place = self.a.place
        self.assertEqual(self.a.run("sh", "-c", "kill -SEGV $$").returncode, -signal.SIGSEGV)
        [core] = place.cores()
        core.unlink()

    def test_a_kernel_that_complains_is_found(self):
        place = self.a.place
        before = place.log()
        self.a.must("sh", "-c", "echo '<4>all is well' >/dev/kmsg")
        harness.wait_for("the kernel's log", lambda: "all is well" in place.log()[len(before):])
        self.assertEqual(place.complaints(), [])
        for said in ("BUG: unable to handle page fault", "WARNING: CPU: 0 PID: 1 at drivers/infiniband/sw/siw/siw_cm.c:1"):
            self.assertRegex(said, place.complaint)


if __name__ == "__main__":
    if "SANSOCK_GUESTS" not in os.environ:
        sys.exit("needs guests: start it with tests/guest/run")
    harness.main()
