#!/usr/bin/env python3
"""Daemons of several hosts, by which processes find who holds the other end of a connection; and whoever means them no good.

    rendezvous_test.py --bin DIRECTORY [-k PATTERN]

The hosts are network namespaces, so this takes root.
"""
import contextlib
import os
import pathlib
import select
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import unittest

import hosts
from harness import main, NOBODY, PATIENCE_S, tool, wait_for
from hosts import (BUSY, Caller, CHANNEL, CHANNELS, connection, EXPECT, Fleet, FOUND, HERE, Host, is_closed, join, NO_DAEMON, NOT_THERE, open_channel,
                   REFUSED, REGISTER, SERVICE, until_status)

MEMORY_KIB = 24 * 1024  # more than a flood may take

A, A_OTHER, A6 = "10.77.0.1", "10.77.0.11", "fd77::1"
B, B_OTHER, B6 = "10.77.0.2", "10.77.0.12", "fd77::2"
A_TO_C, C = "10.78.0.1", "10.78.0.3"


@unittest.skipUnless(os.geteuid() == 0, "needs root, to make network namespaces")
class Rendezvous(unittest.TestCase):
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

    # What it is for.

    def test_two_processes_find_each_other(self):
        self.a.daemon()
        self.b.daemon()
        asker, holder = self.a.process(b"client"), self.b.process(b"server")
        keys = set()
        for id_, address in ((7, B), (2**63 + 1, B6)):
            with self.subTest(address=address):
                near, far = connection(self.a, self.b, address)
                asker.register(near, id_)
                holder.register(far, id_ + 1)
                self.registered(self.b, id_ == 7 and 1 or 2)
                answer, expected = self.find(asker, id_, holder)
                self.assertEqual((answer["id"], answer["channel"], answer["why"]), (id_, (address, CHANNELS), ""))
                self.assertEqual((expected["id"], expected["host"]), (id_ + 1, "a.example"))
                self.assertEqual((expected["local"], expected["remote"]), (far.getsockname()[:2], far.getpeername()[:2]))
                keys.add((answer["holder"], expected["asker"]))
                with open_channel(self.a, address, answer["token"]) as mine:
                    mine.sendall(b"hello")  # which the daemon must leave to the process
                    channel = holder.hear(CHANNEL)
                    self.assertEqual(channel["token"], answer["token"])
                    theirs = channel["socket"]
                    theirs.settimeout(PATIENCE_S)
                    self.assertEqual(theirs.recv(5, socket.MSG_WAITALL), b"hello")
                    theirs.sendall(b"and back")
                    self.assertEqual(mine.recv(8, socket.MSG_WAITALL), b"and back")
                    theirs.close()
                    self.assertTrue(is_closed(mine), "nobody else holds it")
        self.assertEqual(len(keys), 1, "the same processes have the same keys")
        self.assertNotIn(0, next(iter(keys)))
        # In the other direction as well: who looks up and who is found has nothing to do with who connected.
        answer, expected = self.find(holder, 8, asker)
        self.assertEqual((answer["holder"], expected["asker"]), next(iter(keys))[::-1])
        self.assertEqual(self.a.counts("lookups_total", outcome="here"), 2)
        self.assertEqual(self.b.counts("answers_total", outcome="here"), 2)
        self.assertEqual(self.b.counts("channels_total", outcome="handed-over"), 2)
        self.assertEqual(self.b.counts("tokens"), 0)
        self.assertGreater(self.a.counts("certificate_expiry_timestamp_seconds"), time.time() + 300 * 86400)

    def test_shows_operators_how_it_stands(self):
        asker, holder, near, far = self.both()
        asker.register(near)
        self.registered(self.a, 1)
        said = subprocess.run([tool("sansock"), "status", "--directory", str(self.a.directory)], capture_output=True, text=True, check=True).stdout
        self.assertRegex(said, r"other hosts meet a\.example at \[::\]:7470, channels at \[::\]:7471: 1 connection registered, 0 hosts asked, 0 "
                               r"unreachable; certificate valid until 20\d\d-")

    def test_says_where_nobody_holds_it(self):
        asker, holder, near, far = self.both()
        id_ = asker.register(near)
        answer = asker.look_up(id_)
        self.assertEqual((answer["status"], answer["why"], answer["holder"]), (NOT_THERE, "no process there has registered it", 0))
        # For a moment that is known without asking.
        answers = self.b.counts("answers_total", outcome="not-there")
        again = asker.look_up(id_)
        if again["why"] == "it was not there a moment ago":
            self.assertEqual(self.b.counts("answers_total", outcome="not-there"), answers)
        held = holder.register(far)
        until_status(asker, id_, HERE)
        holder.hear(EXPECT)
        holder.forget(held)
        self.registered(self.b, 0)
        until_status(asker, id_, NOT_THERE)
        asker.forget(id_)
        self.assertEqual(asker.look_up(id_)["status"], REFUSED)

    def test_forgets_what_a_process_held_that_ends(self):
        asker, holder, near, far = self.both()
        id_ = asker.register(near)
        holder.register(far)
        self.registered(self.b, 1)
        self.find(asker, id_, holder)
        holder.close()
        self.registered(self.b, 0)
        self.assertEqual(self.b.counts("tokens"), 0)
        until_status(asker, id_, NOT_THERE)

    def test_finds_a_daemon_that_comes_late(self):
        self.a.daemon()
        near, far = connection(self.a, self.b, B)
        asker = self.a.process()
        id_ = asker.register(near)
        first = asker.look_up(id_)
        self.assertEqual(first["status"], NO_DAEMON)
        self.assertIn(f"no daemon answers at {B} port {SERVICE}: Connection refused", first["why"])
        begun = time.monotonic()
        for _ in range(100):  # nobody is asked meanwhile
            self.assertEqual(asker.look_up(id_)["status"], NO_DAEMON)
            if time.monotonic() > begun + 0.5:
                break
        self.assertLessEqual(self.a.said().count("no daemon answers"), 2)
        self.assertEqual(self.a.counts("peers", state="unreachable"), 1)
        self.b.daemon()
        self.b.process().register(far)
        self.registered(self.b, 1)
        until_status(asker, id_, HERE)
        self.assertEqual(self.a.counts("peers", state="unreachable"), 0)

    def test_outlives_a_daemon_that_is_killed(self):
        asker, holder, near, far = self.both()
        id_ = asker.register(near)
        holder.register(far)
        self.registered(self.b, 1)
        self.find(asker, id_, holder)
        self.b.running.end(signal.SIGKILL)
        self.b.daemon()  # at once: the other one's connection to the one before is of no use
        holder = self.b.process()
        holder.register(far)
        self.registered(self.b, 1)
        self.find(asker, id_, holder)
        self.b.running.end(signal.SIGKILL)
        self.assertEqual(asker.look_up(id_)["status"], NO_DAEMON)
        self.b.daemon()
        self.b.process().register(far)
        until_status(asker, id_, HERE)

    def test_waits_for_no_daemon_that_hangs(self):
        c = self.third_host()
        asker, holder, near, far = self.both()
        c.daemon()
        to_c, of_c = connection(self.a, c, C)
        id_, id_c = asker.register(near), asker.register(to_c)
        holder_c = c.process()
        holder_c.register(of_c)
        self.registered(c, 1)
        self.find(asker, id_c, holder_c)
        self.b.running.process.send_signal(signal.SIGSTOP)
        self.ends.callback(lambda: self.b.running.process.poll() is None and self.b.running.process.send_signal(signal.SIGCONT))
        asker.say(hosts.LOOK_UP, id_)
        for _ in range(20):
            self.find(asker, id_c, holder_c)  # answered first, each of them
        answer = asker.hear(FOUND)
        self.assertEqual((answer["id"], answer["status"]), (id_, NO_DAEMON))
        self.assertIn("takes too long", answer["why"])
        self.b.running.process.send_signal(signal.SIGCONT)
        until_status(asker, id_, NOT_THERE)

    def test_asks_for_many_at_once(self):
        asker, holder, near, far = self.both()
        pairs = [connection(self.a, self.b, B) for _ in range(200)]
        ids = [asker.register(near) for near, _ in pairs]
        for _, far in pairs:
            holder.register(far)
        self.registered(self.b, 200)
        for id_ in ids:
            asker.say(hosts.LOOK_UP, id_)
        answers = [asker.hear(FOUND) for _ in ids]
        here = [answer for answer in answers if answer["status"] == HERE]
        self.assertEqual({answer["status"] for answer in answers} - {HERE, BUSY}, set())
        self.assertGreaterEqual(len(here), 128)
        self.assertEqual(len({answer["token"] for answer in here}), len(here))
        expected = {holder.hear(EXPECT)["token"] for _ in here}
        self.assertEqual(expected, {answer["token"] for answer in here})
        # What was found, with whatever token it was last.
        again, _ = self.find(asker, here[0]["id"], holder)
        self.refuses_channel(here[0]["token"])  # which another one has replaced
        with open_channel(self.a, B, again["token"]):
            holder.hear(CHANNEL)["socket"].close()

    # Certificates.

    def refused(self, of_a, of_b, why_a, *, whose, reason, logged_by_b=None):
        """Neither of the two hosts gets anything from the other one, and both say why."""
        self.a.take(self.certificates[of_a])
        self.b.take(self.certificates[of_b])
        asker, holder, near, far = self.both()
        holder.register(far)
        answer = asker.look_up(asker.register(near))
        self.assertEqual(answer["status"], REFUSED, answer)
        self.assertRegex(answer["why"], why_a)
        self.assertIn(answer["why"][:200], self.a.said())
        self.assertEqual(self.a.counts("certificates_refused_total", whose=whose, reason=reason), 1)
        if logged_by_b:
            wait_for("a line in the other log", lambda: logged_by_b in self.b.said())
            other = "own" if whose == "peer" else "peer"
            self.assertEqual(sum(self.b.counts("certificates_refused_total", whose=other, reason=why) for why in
                                 ("expired", "early", "foreign", "revoked", "none", "address", "other")), 1)
        self.assertEqual(self.b.counts("answers_total", outcome="here"), 0)
        self.assertTrue(holder.waits_in_vain())

    def test_refuses_a_holder_whose_certificate_has_expired(self):
        self.refused("a", "b late", r"refused for its certificate: certificate has expired \(b\.example, serial \w+, valid from 2025-01-01", whose="peer",
                     reason="expired", logged_by_b=f"{A} does not like the certificate of this host")

    def test_refuses_an_asker_whose_certificate_has_expired(self):
        self.refused("a late", "b", r"does not like the certificate of this host: .*certificate expired", whose="own", reason="expired",
                     logged_by_b=f"{A} is refused for its certificate: certificate has expired (a.example")

    def test_refuses_a_certificate_of_the_future(self):
        self.refused("a", "b early", "certificate is not yet valid", whose="peer", reason="early",
                     logged_by_b=f"{A} does not like the certificate of this host")

    def test_refuses_a_holder_of_another_fleet(self):
        self.refused("a", "b foreign", "unable to get local issuer certificate", whose="peer", reason="foreign",
                     logged_by_b=f"{A} does not like the certificate of this host")

    def test_refuses_an_asker_of_another_fleet(self):
        """Who trusts both, as while an authority is replaced, is told that the other one does not."""
        both = self.folder / "both-authorities"
        if not both.exists():
            both.mkdir()
            for name in ("host.pem", "host.key"):
                (both / name).write_bytes((self.certificates["a foreign"] / name).read_bytes())
            (both / "host.key").chmod(0o600)
            (both / "ca.pem").write_bytes((self.certificates["a"] / "ca.pem").read_bytes() + (self.certificates["a foreign"] / "ca.pem").read_bytes())
        self.certificates["a of both"] = both
        self.refused("a of both", "b", "does not like the certificate of this host: .*unknown ca", whose="own", reason="foreign",
                     logged_by_b=f"{A} is refused for its certificate: unable to get local issuer certificate")

    def test_refuses_a_host_at_another_address_than_its_certificate_names(self):
        self.refused("a", "b wrong", "IP address mismatch", whose="peer", reason="address",
                     logged_by_b=f"{A} does not like the certificate of this host")

    def test_lets_nobody_ask_for_another_host(self):
        self.a.take(self.certificates["a wrong"])
        asker, holder, near, far = self.both()
        holder.register(far)
        self.registered(self.b, 1)
        answer = asker.look_up(asker.register(near))
        self.assertEqual((answer["status"], answer["why"]),
                         (REFUSED, f"the certificate of a.example does not name {A}; issue it with all addresses of that host"))
        self.assertEqual(self.b.counts("certificates_refused_total", whose="peer", reason="address"), 1)
        self.assertIn(f"a.example asks about a connection of {A}, which its certificate does not name: refused", self.b.said())
        self.assertTrue(holder.waits_in_vain())

    def test_refuses_what_has_been_revoked(self):
        for doomed, side in (("a doomed", self.a), ("b doomed", self.b)):
            with self.subTest(revoked=doomed):
                self.a.take(self.certificates["a"])
                self.b.take(self.certificates["b"])
                side.take(self.certificates[doomed])
                asker, holder, near, far = self.both()
                id_ = asker.register(near)
                holder.register(far)
                self.registered(self.b, 1)
                self.find(asker, id_, holder)
                self.fleet.run("revoke", self.fleet.authority, self.certificates[doomed] / "host.pem")
                other = self.b if side is self.a else self.a
                (other.pki / "crl.pem").write_bytes((self.fleet.authority / "crl.pem").read_bytes())
                other.running.process.send_signal(signal.SIGHUP)  # without a restart, and on a connection that there is
                answer = until_status(asker, id_, REFUSED)
                self.assertIn("revoked", answer["why"])
                wait_for("a log", lambda: "is refused for its certificate: certificate revoked" in other.said())
                self.assertGreaterEqual(other.counts("certificates_refused_total", whose="peer", reason="revoked"), 1)
                asker.close()
                holder.close()
                for host in (self.a, self.b):
                    host.running.end()

    def test_renews_without_a_restart(self):
        asker, holder, near, far = self.both()
        id_ = asker.register(near)
        holder.register(far)
        self.registered(self.b, 1)
        self.find(asker, id_, holder)
        for name in ("host.key", "host.pem"):  # one after the other; for a moment they do not belong together
            (self.b.pki / f"{name}.new").write_bytes((self.certificates["b again"] / name).read_bytes())
            (self.b.pki / f"{name}.new").chmod(0o600)
            (self.b.pki / f"{name}.new").rename(self.b.pki / name)
        wait_for("the new certificate", lambda: "the certificate of b.example, serial" in self.b.said())
        self.find(asker, id_, holder)
        (self.b.pki / "host.pem").write_text("no certificate")
        wait_for("a complaint", lambda: "the certificates stay as they were: " in self.b.said())
        self.find(asker, id_, holder)

    def test_refuses_callers_without_a_certificate(self):
        asker, holder, near, far = self.both()
        holder.register(far)
        with self.assertRaises((ssl.SSLError, ConnectionError, EOFError)):
            with Caller(self.a, B, trusts=self.certificates["a"]) as caller:
                caller.ask(near.getsockname(), near.getpeername())
        wait_for("a line in the log", lambda: f"{A} is refused for its certificate: it shows no certificate" in self.b.said())
        self.assertEqual(self.b.counts("certificates_refused_total", whose="peer", reason="none"), 1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.certificates["a"] / "ca.pem")
        context.load_cert_chain(self.certificates["a"] / "host.pem", self.certificates["a"] / "host.key")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with self.a.inside():
            plain = socket.create_connection((B, SERVICE))
        with plain, self.assertRaises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname=B)

    def test_will_not_begin_with_certificates_that_are_of_no_use(self):
        self.a.take(self.certificates["a"])
        for spoil, why in ((lambda pki: (pki / "host.key").chmod(0o644), "others may read or change the key; allowed: 0600, or 0640"),
                           (lambda pki: (pki / "host.key").unlink(), "cannot read .*/host.key: No such file"),
                           (lambda pki: (pki / "host.key").write_bytes((self.certificates["b"] / "host.key").read_bytes()), "is not the key of"),
                           (lambda pki: (pki / "ca.pem").write_bytes((self.certificates["a foreign"] / "ca.pem").read_bytes()), "is not of the authority"),
                           (lambda pki: (pki / "crl.pem").write_text("x"), "has no list of revoked certificates"),
                           (lambda pki: (pki / "host.pem").write_bytes(b"x" * (2 << 20)), "larger than 1 MiB")):
            self.a.take(self.certificates["a"])
            spoil(self.a.pki)
            done = self.begin("--rendezvous", "127.0.0.1:7470", "--pki", str(self.a.pki))
            self.assertRegex(done, why)
        for options, why in ((["--rendezvous", "nowhere"], "is no address and port"), (["--rendezvous", "127.0.0.1:0"], "port 0 is none"),
                             (["--rendezvous", "127.0.0.1:65535"], "allowed: 1 to 65534"), (["--channels", "127.0.0.1:1"], "--channels requires --rendezvous"),
                             (["--rendezvous", "127.0.0.1:7470", "--channels", "127.0.0.1:0"], "port 0 is none for channels"),
                             (["--rendezvous", "127.0.0.1:7470", "--pki", "/nowhere"], "cannot read /nowhere/ca.pem")):
            self.assertRegex(self.begin(*options), why)

    def begin(self, *options):
        done = subprocess.run([tool("sansockd"), "--directory", str(self.a.directory), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, timeout=PATIENCE_S)
        self.assertNotEqual(done.returncode, 0)
        return done.stdout

    # What processes may register.

    def test_takes_no_connection_without_proof(self):
        self.a.daemon()
        self.b.daemon()
        process = self.a.process()
        near, far = connection(self.a, self.b, B)
        other, _ = connection(self.a, self.b, B)
        names = (near.getsockname(), near.getpeername())
        with self.a.inside():
            datagrams = self.ends.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            unconnected = self.ends.enter_context(socket.socket())
            listener = self.ends.enter_context(socket.create_server((A, 0)))
        pipe = os.pipe()
        for proof, why in ((None, "no socket was passed"), (other, r"the socket is that of .* and .*, not of "), (datagrams, "no TCP socket"),
                           (unconnected, "not connected"), (listener, "not connected"), (pipe[0], "no TCP socket"),
                           (far, "of another network namespace than the daemon; allowed: containers with the host's network")):
            with self.subTest(why=why):
                process.say(REGISTER, 5, *names, proof=proof)
                self.assertRegex(process.refused(), why)
        far.close()
        def ended():
            process.say(REGISTER, 5, *names, proof=near)
            why = process.refused() if select.select([process.channel], [], [], 0.5)[0] else ""
            process.forget(5)
            return "not established" in why
        wait_for("the end of the connection", ended)
        self.assertEqual(process.look_up(5)["status"], REFUSED)
        self.assertEqual(self.a.counts("connections"), 0)
        self.assertGreaterEqual(self.a.counts("registrations_refused_total"), 8)
        for fd in pipe:
            os.close(fd)

    def test_takes_an_id_once(self):
        process, holder, near, far = self.both()
        other, _ = connection(self.a, self.b, B)
        id_ = process.register(near)
        process.register(near, id_)  # again, which says nothing new
        process.register(other, id_)
        self.assertIn("is that of another connection", process.refused())
        process.register(near, 99)
        self.assertIn(f"it is registered already, with the id {id_}", process.refused())
        self.registered(self.a, 1)

    def test_does_not_choose_between_several_processes(self):
        asker, holder, near, far = self.both()
        child = self.b.process(b"child")
        id_ = asker.register(near)
        holder.register(far)
        child.register(far)
        self.registered(self.b, 2)
        answer = asker.look_up(id_)
        self.assertEqual((answer["status"], answer["why"]), (NOT_THERE, "held by more than one process"))
        child.close()
        self.registered(self.b, 1)
        until_status(asker, id_, HERE)

    def test_takes_a_new_connection_for_the_one_that_there_is(self):
        """A process that forgets to forget must not keep another one's connection, which has the same name, from being found."""
        asker, holder, near, far = self.both()
        idle = self.b.process(b"forgetful")
        idle.register(far)
        self.registered(self.b, 1)
        names = near.getsockname(), near.getpeername()
        for end in (near, far):  # gone at once, without a time in which the name rests
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
        with self.b.inside():
            listener = socket.create_server(names[1])
        with self.a.inside():
            near = socket.create_connection(names[1], source_address=names[0])
        far = listener.accept()[0]
        self.assertEqual((near.getsockname(), near.getpeername()), names)
        holder.register(far)
        id_ = asker.register(near)
        wait_for("the second registration", lambda: self.b.counts("registrations_total") == 2)
        self.find(asker, id_, holder)
        self.assertEqual(self.b.counts("connections"), 1)
        for end in (near, far, listener):
            end.close()

    def test_closes_what_lingers_elsewhere(self):
        """A process whose socket lingers for ever keeps nobody waiting but itself."""
        asker, holder, near, far = self.both()
        id_ = asker.register(near)
        holder.register(far)
        self.registered(self.b, 1)
        hostile = self.b.process(b"hostile")
        for _ in range(10):
            end, _ = connection(self.b, self.a, A)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1000))
            end.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    end.send(bytes(65536))
            self.b.running.process.send_signal(signal.SIGSTOP)
            hostile.register(end)
            end.close()  # so that the daemon's close is the last one
            self.b.running.process.send_signal(signal.SIGCONT)
        for _ in range(20):
            self.find(asker, id_, holder)

    def test_without_a_rendezvous_says_so(self):
        with self.a.inside():
            daemon = hosts.Daemon(str(self.a.directory))
        self.ends.callback(lambda: daemon.end(9))
        near, _ = connection(self.a, self.b, B)
        process = self.a.process()
        id_ = process.register(near)
        self.assertIn("it was started without --rendezvous", process.refused())
        answer = process.look_up(id_)
        self.assertEqual((answer["status"], answer["id"]), (REFUSED, id_))

    def test_answers_for_this_host_itself(self):
        self.a.daemon()
        near, far = connection(self.a, self.a, "127.0.0.1")
        process = self.a.process()
        answer = process.look_up(process.register(near))
        self.assertEqual((answer["status"], answer["why"]), (NOT_THERE, "both ends are on this host"))

    def test_hears_nobody_who_has_not_shown_itself(self):
        self.a.daemon()
        near, _ = connection(self.a, self.b, B)
        stranger = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ends.callback(stranger.close)
        stranger.connect(f"{self.a.directory}/agents")
        stranger.send(struct.pack("<IIQ56x", 0x3167416E, hosts.LOOK_UP, 1))
        self.assertTrue(is_closed(stranger))
        process = self.a.process()
        process.channel.send(struct.pack("<IIQ", 0x3167416E, REGISTER, 1))  # shorter than it must be
        with self.assertRaises(ConnectionError):
            process.hear(FOUND)

    # Whoever means it no good.

    def still_finds(self, asker, id_, holder, count=5):
        for _ in range(count):
            answer = until_status(asker, id_, HERE)
            wait_for("its token", lambda: holder.hear(EXPECT)["token"] == answer["token"])

    def test_outlives_rubbish_at_its_port(self):
        asker, holder, near, far = self.both()
        id_ = asker.register(near)
        holder.register(far)
        self.registered(self.b, 1)
        self.find(asker, id_, holder)
        before = self.b.memory_kib()
        certificates = self.certificates["a"]
        for bytes_ in (b"GET / HTTP/1.0\r\n\r\n", os.urandom(4096), b"\x16\x03\x01\xff\xff" + b"\0" * 70000, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"):
            with self.a.inside(), socket.create_connection((B, SERVICE)) as caller:
                with contextlib.suppress(ConnectionError):
                    caller.sendall(bytes_)
                    self.assertTrue(self.ends_soon(caller))
        question = Caller.question(near.getsockname(), near.getpeername())
        body = question[4:]
        name_size = struct.pack(">I", 7)
        for bytes_ in (b"\0\0\0\0", b"\xff\xff\xff\xff", struct.pack(">I", 65537), struct.pack(">I", 9) + b"x" * 9,
                       struct.pack(">I", 65536) + os.urandom(65536),
                       struct.pack(">I", 65536) + b"\x80\x01\x00\x01" + name_size + b"look_up" + b"\0\0\0\1" + b"\x0c\0\1" * 21836,  # nests
                       struct.pack(">I", len(body)) + body.replace(b"\0\0\0\x10", b"\x7f\xff\xff\xff"),  # a string of two gigabytes
                       struct.pack(">I", 40) + b"\x80\x01\x00\x01" + name_size + b"look_up" + b"\0\0\0\1" + b"\x0f\0\1\x01\x7f\xff\xff\xff" + b"\0" * 13):
            with self.subTest(bytes_=bytes_[:24]), Caller(self.a, B, certificates) as caller:
                caller.socket.sendall(bytes_)
                self.assertTrue(self.ends_soon(caller.socket))
        with Caller(self.a, B, certificates) as caller:
            # What is no question is answered as such, and the next one is answered.
            for address in (b"", b"\0" * 15, b"\0" * 4000):
                wrong = body.replace(struct.pack(">I", 16) + hosts.packed(near.getsockname())[8:24], struct.pack(">I", len(address)) + address)
                caller.socket.sendall(struct.pack(">I", len(wrong)) + wrong)
                self.assertEqual(caller.answer()["outcome"], REFUSED)
            for _ in range(3000):  # more than a message's worth in all
                caller.socket.sendall(caller.question(("10.77.0.98", 1), near.getpeername()))
                self.assertEqual(caller.answer()["outcome"], REFUSED)
            self.assertEqual(caller.ask(near.getsockname(), near.getpeername())["outcome"], HERE)
        with Caller(self.a, B, certificates) as caller:
            caller.socket.sendall(question[:-1])  # and no more
            self.assertTrue(self.ends_soon(caller.socket))
        self.still_finds(asker, id_, holder)
        self.assertLess(self.b.memory_kib() - before, MEMORY_KIB)
        self.assertGreaterEqual(self.b.counts("sessions_failed_total", reason="rubbish"), 8)
        self.assertGreaterEqual(self.b.counts("sessions_failed_total", reason="late"), 1)
        self.assertLess(self.b.said().count("WARN") + self.b.said().count("warning:"), 60)

    @staticmethod
    def ends_soon(end):
        end.settimeout(PATIENCE_S)
        try:
            while end.recv(65536):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
        except TimeoutError:
            return False
        return True

    def test_outlives_floods_at_both_ports(self):
        asker, holder, near, far = self.both()
        id_ = asker.register(near)
        holder.register(far)
        self.registered(self.b, 1)
        answer, _ = self.find(asker, id_, holder)
        before = self.b.memory_kib()
        silent = []
        self.ends.callback(lambda: [one.close() for one in silent])
        for port in (SERVICE, CHANNELS):
            for source in (A, A_OTHER):
                with self.a.inside():
                    for _ in range(300):
                        one = socket.socket()
                        one.setblocking(False)
                        one.bind((source, 0))
                        one.connect_ex((B, port))
                        silent.append(one)
        self.still_finds(asker, id_, holder, 20)  # by the connection that there is
        wait_for("the crowd", lambda: self.b.counts("channels_total", outcome="crowded") > 100)
        wait_for("the crowd", lambda: self.b.counts("sessions_failed_total", reason="crowded") > 100)
        self.assertLessEqual(self.b.counts("channels_unproven"), 128)
        wait_for("their end", lambda: self.b.counts("channels_unproven") == 0)
        self.assertLess(self.b.memory_kib() - before, MEMORY_KIB)
        answer = until_status(asker, id_, HERE)
        with open_channel(self.a, B, answer["token"]):
            wait_for("the channel", lambda: "socket" in (heard := holder.hear(CHANNEL, EXPECT)) and not heard["socket"].close())
        self.assertTrue(all(self.ends_soon(one) for one in silent[-10:]))

    def refuses_channel(self, token, **more):
        with open_channel(self.a, B, token, **more) as channel:
            self.assertTrue(is_closed(channel))

    def test_hands_over_for_the_right_token_alone(self):
        asker, holder, near, far = self.both()
        id_ = asker.register(near)
        holder.register(far)
        self.registered(self.b, 1)
        answer, _ = self.find(asker, id_, holder)
        token = answer["token"]
        for wrong in (os.urandom(16), bytes(16)):
            self.refuses_channel(wrong)
        self.refuses_channel(token, magic=hosts.MAGIC + 1)
        self.refuses_channel(token, source=A_OTHER)  # for which the asker does not speak
        self.assertTrue(holder.waits_in_vain())
        # In pieces, with the first ones late.
        with self.a.inside():
            slow = self.ends.enter_context(socket.create_connection((B, CHANNELS)))
        opening = hosts.OPENING.pack(hosts.MAGIC, token)
        for at in range(0, 24, 5):
            slow.send(opening[at:at + 5])
            time.sleep(0.01)
        channel = holder.hear(CHANNEL)
        self.assertEqual(channel["token"], token)
        self.refuses_channel(token)  # which was used
        with self.a.inside(), socket.create_connection((B, CHANNELS)) as silent:
            self.assertTrue(is_closed(silent))
        for outcome, count in (("unknown-token", 3), ("malformed", 1), ("elsewhere", 1), ("silent", 1), ("handed-over", 1)):
            self.assertEqual(self.b.counts("channels_total", outcome=outcome), count, outcome)
        channel["socket"].close()

    def test_a_process_that_hears_nothing_is_not_asked(self):
        """Its channel fills, which costs nobody else anything, and does not end it."""
        asker, holder, near, far = self.both()
        id_ = asker.register(near)
        holder.register(far)
        self.registered(self.b, 1)
        with Caller(self.a, B, self.certificates["a"]) as caller:
            outcomes = [caller.ask(near.getsockname(), near.getpeername())["outcome"] for _ in range(2000)]
            self.assertEqual(set(outcomes), {HERE, BUSY})
            self.assertLess(outcomes.count(HERE), 1000)
            heard = [holder.hear(EXPECT) for _ in range(outcomes.count(HERE))]
            self.assertEqual(caller.ask(near.getsockname(), near.getpeername())["outcome"], HERE)
        self.assertEqual(heard[-1]["asker"], 7)

    def test_lets_nobody_ask_without_end(self):
        """A user's connections to hosts that do not answer keep other users' look-ups from nothing."""
        c = self.third_host()
        asker, holder, near, far = self.both()
        id_ = asker.register(near)
        holder.register(far)
        self.registered(self.b, 1)
        with c.inside():
            hole = socket.create_server((C, SERVICE))  # which takes connections and says nothing
        self.ends.callback(hole.close)
        to_c = [connection(self.a, c, C)[0] for _ in range(50)]
        other = self.a.process()
        ids = [other.register(end) for end in to_c]
        begun = time.monotonic()
        for one in ids:
            other.say(hosts.LOOK_UP, one)
        self.still_finds(asker, id_, holder, 20)
        self.assertEqual({other.hear(FOUND)["status"] for _ in ids}, {NO_DAEMON})
        self.assertLess(time.monotonic() - begun, PATIENCE_S)


class Pki(unittest.TestCase):
    """`sansock pki` as an operator meets it; what certificates hold is in tests/unit/pki."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="sansock-pki-")))
        self.ca = self.folder / "ca"

    def test_makes_issues_renews_revokes_and_shows(self):
        pki = Fleet.run
        self.assertIn("the authority sansock is in", pki("init", self.ca))
        self.assertEqual((self.ca / "ca.key").stat().st_mode & 0o777, 0o600)
        self.assertIn(f"{self.ca}/ca.key exists, and is not overwritten", pki("init", self.ca, status=1))
        said = pki("issue", self.ca, "web1", "--address", "10.0.0.5", "--address", "fd00::5")
        self.assertIn(f"is in {self.ca}/web1.pem, valid until", said)
        self.assertEqual((self.ca / "web1.key").stat().st_mode & 0o777, 0o600)
        self.assertIn("exists, and is not overwritten", pki("issue", self.ca, "web1", "--address", "10.0.0.5", status=1))
        table = pki("show", self.ca / "web1.pem").splitlines()
        self.assertRegex(table[0], "^WHO +ADDRESSES +FROM +UNTIL +STATE +SERIAL$")
        self.assertRegex(table[1], r"^web1 +10\.0\.0\.5 fd00::5 +20\S+Z +20\S+Z +valid +[0-9a-f]{32}$")
        self.assertIn("an authority", pki("show", self.ca / "ca.pem"))
        before = (self.ca / "web1.pem").read_bytes(), (self.ca / "web1.key").read_bytes()
        pki("renew", self.ca, "web1")
        self.assertNotEqual((self.ca / "web1.pem").read_bytes(), before[0])
        self.assertNotEqual((self.ca / "web1.key").read_bytes(), before[1])
        after = pki("show", self.ca / "web1.pem").splitlines()[1].split()
        self.assertEqual(after[:3], table[1].split()[:3])
        out = self.folder / "deployed"
        pki("renew", self.ca, self.ca / "web1.pem", "--out", out)
        self.assertEqual(sorted(file.name for file in out.iterdir()), ["ca.pem", "host.key", "host.pem"])
        self.assertEqual((out / "host.key").stat().st_mode & 0o777, 0o600)
        self.assertIn("is revoked; ", pki("revoke", self.ca, self.ca / "web1.pem"))
        self.assertIn("was revoked before; ", pki("revoke", self.ca, after[-1].upper()))
        self.assertIn(after[-1], pki("show", self.ca / "crl.pem"))
        self.assertIn("is revoked, and is not renewed; issue another one", pki("renew", self.ca, "web1", status=1))
        pki("revoke", self.ca, "00:11:22")
        self.assertEqual(len(pki("show", self.ca / "crl.pem").splitlines()), 3)
        self.assertEqual([file.name for file in self.ca.iterdir() if len(file.suffix) > 4], [], "nothing half written stays")
        # OpenSSL itself agrees.
        subprocess.run(["openssl", "verify", "-CAfile", self.ca / "ca.pem", "-purpose", "sslserver", "-x509_strict", out / "host.pem"], check=True,
                       stdout=subprocess.DEVNULL)
        checked = subprocess.run(["openssl", "verify", "-CAfile", self.ca / "ca.pem", "-CRLfile", self.ca / "crl.pem", "-crl_check",
                                  self.ca / "web1.pem"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertIn("certificate revoked", checked.stdout)

    def test_says_what_is_wrong(self):
        pki = Fleet.run
        pki("init", self.ca, "--days", "30")
        other = self.folder / "other"
        pki("init", other)
        pki("issue", other, "web2", "--address", "10.0.0.6")
        (self.folder / "rubbish").write_text("rubbish")
        issue = ("issue", self.ca, "web1", "--address")
        for words, why in (((*issue, "10.0.0.256"), '"10.0.0.256" is no IP address; allowed: as 10.0.0.5 or fd00::5'),
                           ((*issue, "10.0.0.0/8"), "is no IP address"), ((*issue, "127.0.0.1"), "127.0.0.1 is every host's own"),
                           ((*issue, "0.0.0.0"), "no host's address"), ((*issue, "fe80::1"), "another host's on another link"),
                           ((*issue, "224.0.0.1"), "no host's address"), ((*issue, "10.0.0.5", "--days", "0"), "0 days are out of range; allowed: 1 to 36500"),
                           ((*issue, "10.0.0.5", "--days", "40000"), "40000 days are out of range"),
                           ((*issue, "10.0.0.5", "--days", "31"), "would outlive its authority, which is valid until"),
                           ((*issue, "10.0.0.5", "--from", "yesterday"), "is no time; allowed: as 2026-"),
                           (("issue", self.ca, "no name", "--address", "10.0.0.5"), '"no name" is no name of a host; allowed: letters, digits, - and .'),
                           (("issue", self.ca, "ca", "--address", "10.0.0.5"), "would be taken for another file"),
                           (("issue", self.ca, "x" * 64, "--address", "10.0.0.5"), "63 at most"),
                           (("issue", self.folder / "none", "web1", "--address", "10.0.0.5"), "there is no authority in"),
                           (("init", self.folder / "third", "--days", "-1"), "-1 days are out of range"),
                           (("init", self.folder / "third", "--name", ""), "is no name for an authority"),
                           (("init", self.folder / "rubbish"), "cannot make"),
                           (("renew", self.ca, other / "web2.pem"), "is not a certificate that this authority has made"),
                           (("renew", self.ca, self.ca / "ca.pem"), "is not a certificate that this authority has made for a host"),
                           (("renew", self.ca, "nobody"), "cannot read nobody: No such file"),
                           (("revoke", self.ca, other / "web2.pem"), "is not a certificate that this authority has made"),
                           (("revoke", self.ca, "xyz"), '"xyz" is neither a file nor a serial'),
                           (("show", self.folder / "rubbish"), "has no certificate; allowed: PEM"), (("show", self.folder), "is no file")):
            with self.subTest(words=words):
                self.assertIn(why, pki(*words, status=1))
        pki("issue", self.ca, "web1", "--address", "10.0.0.5")
        self.assertIn("when its authority ends", pki("renew", self.ca, "web1"))
        (self.ca / "ca.key").chmod(0o604)
        self.assertIn("others may read or change the key", pki("renew", self.ca, "web1", status=1))
        (self.ca / "ca.key").write_bytes((other / "ca.key").read_bytes())
        (self.ca / "ca.key").chmod(0o600)
        self.assertIn("is not the key of", pki("renew", self.ca, "web1", status=1))


if __name__ == "__main__":
    main()
