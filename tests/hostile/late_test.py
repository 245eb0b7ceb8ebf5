#!/usr/bin/env python3
"""A server that would move its connections late, if ever, answers a client that wants to move them early.

    late_test.py --sansock SANSOCK

Runs itself under sansock as a server that waits for many calls and as a client that waits for few, and reads both reports. They get to know
each other over one connection that both want to move; of the others the server has seen hardly anything when the client proposes them.
"""
import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest

CONFIG = """
providers:
  41f96c03-1cad-4222-9c2b-682b71c6a8f0:
    plugin: simulated
upgrade_after: {{calls: {calls}, bytes: 1 GiB}}
timeouts: {{rendezvous: 10s}}
"""
SERVER_CALLS, CLIENT_CALLS = 200, 6
MESSAGE = bytes(range(64))
MEETS_S = 0.5  # they meet, or the client's patience ends, beside other tests
SHORT = 4  # messages: they are a few calls to the server, and more than the client waits for
LONG = 60  # as many again, and the server would still not have begun
FIRST = 2  # of these may go by TCP, where they are the first calls since the ends have met
PATIENCE_S = 60
SANSOCK = ""


def receive(end):
    assert end.recv(len(MESSAGE), socket.MSG_WAITALL) == MESSAGE


def echo(end, count):
    for _ in range(count):
        receive(end)
        end.sendall(MESSAGE)


def converse(end, count):
    for _ in range(count):
        end.sendall(MESSAGE)
        receive(end)


def meet(end, role):
    (converse if role == "client" else echo)(end, SERVER_CALLS)
    time.sleep(MEETS_S)
    (converse if role == "client" else echo)(end, LONG)


def has_seen_few_calls(end, role):
    """The server has answered some messages when the client proposes."""
    speak = converse if role == "client" else echo
    speak(end, SHORT)
    time.sleep(MEETS_S)
    speak(end, LONG)


def has_seen_no_call(end, role):
    """The server has yet to read when the client proposes; and when it has, then one call is enough."""
    if role == "client":
        for _ in range(2 * CLIENT_CALLS):
            end.sendall(MESSAGE)
    time.sleep(MEETS_S)
    if role == "server":
        for _ in range(2 * CLIENT_CALLS):
            receive(end)
    time.sleep(MEETS_S)
    (converse if role == "client" else echo)(end, LONG)


def waits_in_its_first_call(end, role):
    """The server sleeps in a read when the client proposes what it has had of other descriptors of the same number."""
    if role == "client":
        time.sleep(MEETS_S)
    has_seen_few_calls(end, role)


CASES = (has_seen_few_calls, has_seen_no_call, waits_in_its_first_call)


def serve():
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    for case in (meet, *CASES):
        end, _ = listener.accept()
        with end:
            case(end, "server")
            assert end.recv(1) == b""


def connect(port):
    for case in (meet, *CASES):
        with socket.create_connection(("127.0.0.1", int(port))) as end:
            case(end, "client")


class Late(unittest.TestCase):
    def run_both(self, folder):
        def launch(role, calls, *arguments, **more):
            path = os.path.join(folder, role)
            with open(path + ".yaml", "w", encoding="utf-8") as config:
                config.write(CONFIG.format(calls=calls))
            command = [SANSOCK, "run", "--config", path + ".yaml", "--report", path + ".report", "--"]
            program = subprocess.Popen([*command, sys.executable, __file__, role, *arguments], text=True, **more)
            self.addCleanup(program.wait)
            self.addCleanup(program.kill)
            return program

        server = launch("server", SERVER_CALLS, stdout=subprocess.PIPE)
        client = launch("client", CLIENT_CALLS, server.stdout.readline().strip())
        server.stdout.close()
        self.assertEqual((0, 0), (client.wait(PATIENCE_S), server.wait(PATIENCE_S)))
        for role in ("server", "client"):
            with open(os.path.join(folder, role + ".report"), encoding="utf-8") as lines:
                yield role, [json.loads(line) for line in lines]

    def test_proposals_are_answered(self):
        with tempfile.TemporaryDirectory() as folder:
            for role, records in self.run_both(folder):
                self.assertEqual(1 + len(CASES), len(records))
                for case, record in zip(CASES, records[1:]):
                    with self.subTest(role=role, case=case.__name__):
                        self.assertEqual("simulated", record["path"], record)
                        self.assertGreaterEqual(record["bytes_sent"]["provider"], (LONG - FIRST) * len(MESSAGE), record)


def main():
    global SANSOCK
    if len(sys.argv) > 1 and sys.argv[1] == "server":
        return serve()
    if len(sys.argv) > 1 and sys.argv[1] == "client":
        return connect(sys.argv[2])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sansock", required=True)
    arguments, rest = parser.parse_known_args()
    SANSOCK = arguments.sansock
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
