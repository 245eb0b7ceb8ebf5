#!/usr/bin/env python3
"""By which certificates hosts know each other: what daemons refuse, and what `sansock pki` makes.

    pki_test.py --bin DIRECTORY [-k PATTERN]

The hosts are network namespaces, so this takes root.
"""
import pathlib
import signal
import socket
import ssl
import subprocess
import tempfile
import unittest

from harness import main, PATIENCE_S, tool, wait_for
from hosts import Caller, Fleet, REFUSED, SERVICE, until_status
from rendezvous_case import A, B, RendezvousCase


class Trust(RendezvousCase):
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
        before = (out / "host.pem").read_bytes(), (out / "host.key").read_bytes()
        self.assertIn(f"is in {out}/host.pem, valid until", pki("renew", self.ca, out))
        self.assertNotEqual((out / "host.pem").read_bytes(), before[0])
        self.assertNotEqual((out / "host.key").read_bytes(), before[1])
        self.assertIn("is revoked; ", pki("revoke", self.ca, "web1"))
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
