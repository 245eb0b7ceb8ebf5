"""What the tests of the rendezvous share: two hosts with certificates, and a third one."""
import contextlib
import os
import pathlib
import tempfile
import unittest

from harness import wait_for
from hosts import connection, EXPECT, Fleet, HERE, Host, is_closed, join, open_channel

A, A_OTHER, A6 = "10.77.0.1", "10.77.0.11", "fd77::1"
B, B_OTHER, B6 = "10.77.0.2", "10.77.0.12", "fd77::2"
A_TO_C, C = "10.78.0.1", "10.78.0.3"


@unittest.skipUnless(os.geteuid() == 0, "needs root, to make network namespaces")
class RendezvousCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.class_ends = contextlib.ExitStack()
        cls.addClassCleanup(cls.class_ends.close)
        cls.folder = pathlib.Path(cls.class_ends.enter_context(tempfile.TemporaryDirectory(prefix="sansock-rendezvous-")))
        cls.folder.chmod(0o755)
        fleet, foreign = Fleet(cls.folder, "fleet"), Fleet(cls.folder, "foreign")
        cls.fleet = fleet
        past = ("--from", "2025-01-01T00:00:00Z", "--until", "2025-02-01T00:00:00Z")
        future = ("--from", "2036-01-01T00:00:00Z", "--until", "2036-02-01T00:00:00Z")
        cls.certificates = {
            "a": fleet.issue("a", "a.example", A, A_TO_C, A6), "b": fleet.issue("b", "b.example", B, B6), "c": fleet.issue("c", "c.example", C),
            "b again": fleet.issue("b-again", "b.example", B, B6), "a doomed": fleet.issue("a-doomed", "a.example", A, A_TO_C, A6),
            "b doomed": fleet.issue("b-doomed", "b.example", B, B6),
            "a late": fleet.issue("a-late", "a.example", A, more=past), "b late": fleet.issue("b-late", "b.example", B, more=past),
            "b early": fleet.issue("b-early", "b.example", B, more=future),
            "a foreign": foreign.issue("a", "a.example", A), "b foreign": foreign.issue("b", "b.example", B),
            "b wrong": fleet.issue("b-wrong", "b.example", "10.77.0.99"), "a wrong": fleet.issue("a-wrong", "a.example", "10.77.0.98"),
        }
        cls.numbers = iter(range(1000))

    def setUp(self):
        self.ends = contextlib.ExitStack()
        self.addCleanup(self.ends.close)
        folder = self.folder / f"test{next(self.numbers)}"
        folder.mkdir()
        self.a, self.b = Host("a", folder, self.ends), Host("b", folder, self.ends)
        join(self.a.network, self.b.network, [f"{A}/24", f"{A_OTHER}/24", f"{A6}/64"], [f"{B}/24", f"{B_OTHER}/24", f"{B6}/64"])
        self.a.take(self.certificates["a"])
        self.b.take(self.certificates["b"])

    def third_host(self):
        c = Host("c", self.a.directory.parent, self.ends)
        join(self.a.network, c.network, [f"{A_TO_C}/24"], [f"{C}/24"])
        c.take(self.certificates["c"])
        return c

    def both(self):
        """Both daemons, a process at each host, and a connection between these two."""
        self.a.daemon()
        self.b.daemon()
        near, far = connection(self.a, self.b, B)
        return self.a.process(), self.b.process(), near, far

    def registered(self, host, count):
        """Registering is not answered."""
        wait_for(f"{count} connections at {host.name}", lambda: host.counts("connections") == count)

    def find(self, asker, id_, holder):
        """A look-up that finds: what each of the two is told."""
        answer = asker.look_up(id_)
        self.assertEqual(answer["status"], HERE, answer)
        expected = holder.hear(EXPECT)
        self.assertEqual(expected["token"], answer["token"])
        return answer, expected

    def refuses_channel(self, token, **more):
        with open_channel(self.a, B, token, **more) as channel:
            self.assertTrue(is_closed(channel))
