#!/usr/bin/env python3
"""Daemons of several hosts, and whoever means them no good.

    hostile_hosts_test.py --bin DIRECTORY [-k PATTERN]

The hosts are network namespaces, so this takes root.
"""
import contextlib
import os
import socket
import ssl
import struct
import time

import hosts
from harness import main, PATIENCE_S, wait_for
from hosts import BUSY, Caller, CHANNEL, CHANNELS, connection, EXPECT, FOUND, HERE, is_closed, NO_DAEMON, open_channel, REFUSED, SERVICE, until_status
from rendezvous_case import A, A_OTHER, B, C, RendezvousCase

MEMORY_KIB = 24 * 1024  # more than a flood may take


class HostileHosts(RendezvousCase):
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

    def test_lets_a_host_have_so_many_connections(self):
        """Who has a certificate has no more places than others: the ones that were silent longest end."""
        asker, holder, near, far = self.both()
        id_ = asker.register(near)
        holder.register(far)
        self.registered(self.b, 1)
        self.find(asker, id_, holder)
        callers = [self.ends.enter_context(Caller(self.a, B, self.certificates["a"])) for _ in range(20)]
        self.assertTrue(all(self.ends_soon(caller.socket) for caller in callers[:12]))
        self.assertEqual(callers[-1].ask(near.getsockname(), near.getpeername())["outcome"], HERE)
        self.assertEqual(self.b.counts("sessions"), 8)
        holder.hear(EXPECT)
        self.still_finds(asker, id_, holder)

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

    def test_lets_tokens_expire(self):
        asker, holder, near, far = self.both()
        holder.register(far)
        self.registered(self.b, 1)
        answer, _ = self.find(asker, asker.register(near), holder)
        self.assertEqual(self.b.counts("tokens"), 1)
        wait_for("its end", lambda: self.b.counts("tokens") == 0)
        self.refuses_channel(answer["token"])
        self.assertTrue(holder.waits_in_vain())

    def test_a_process_that_hears_nothing_is_not_asked(self):
        """Its channel fills, which costs nobody else anything, and does not end it."""
        asker, holder, near, far = self.both()
        asker.register(near)
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


if __name__ == "__main__":
    main()
