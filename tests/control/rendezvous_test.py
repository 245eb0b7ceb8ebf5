#!/usr/bin/env python3
"""Daemons of several hosts, by which processes find who holds the other end of a connection.

    rendezvous_test.py --bin DIRECTORY [-k PATTERN]

The hosts are network namespaces, so this takes root.
"""
import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import time

import hosts
from harness import main, PATIENCE_S, tool, wait_for, without_descriptors
from hosts import (BUSY, CHANNEL, CHANNELS, connection, EXPECT, FOUND, HERE, is_closed, NO_DAEMON, NOT_THERE, open_channel, REFUSED, REGISTER, SERVICE,
                   until_status)
from rendezvous_case import A, B, B6, C, RendezvousCase


class Rendezvous(RendezvousCase):
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

    def test_takes_channels_where_it_is_told(self):
        self.a.daemon()
        self.b.daemon("--channels", f"{B}:7999")
        near, far = connection(self.a, self.b, B)
        asker, holder = self.a.process(), self.b.process()
        id_ = asker.register(near)
        holder.register(far)
        self.registered(self.b, 1)
        answer, _ = self.find(asker, id_, holder)
        self.assertEqual(answer["channel"], (B, 7999))
        with open_channel(self.a, B, answer["token"], port=7999):
            holder.hear(CHANNEL)["socket"].close()

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

    def test_keeps_what_a_process_has_registered_when_it_can_take_no_more(self):
        asker, holder, near, far = self.both()
        id_ = asker.register(near)
        holder.register(far)
        self.registered(self.b, 1)
        _, other = connection(self.a, self.b, B)
        with without_descriptors(self.b.running.process):
            holder.register(other)
            self.assertIn("no descriptors left", holder.refused())
        self.find(asker, id_, holder)
        holder.register(other)
        self.registered(self.b, 2)

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
            os.waitpid(self.b.running.process.pid, os.WUNTRACED)
            hostile.register(end)
            end.close()  # which is not the last close: that will be the daemon's
            self.b.running.process.send_signal(signal.SIGCONT)
        self.registered(self.b, 11)
        holder.register(connection(self.a, self.b, B)[1])
        self.registered(self.b, 12)
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


if __name__ == "__main__":
    main()
