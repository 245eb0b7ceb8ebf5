"""What the tests of sansockd share: a daemon, processes that talk, and what the daemon shows of them."""
import argparse
import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

bin_folder = pathlib.Path()
# Where everything takes that many times as long, it may.
SLOWNESS = float(os.environ.get("SANSOCK_TEST_SLOWNESS", 1))
PATIENCE_S = 20 * SLOWNESS
NOBODY = 65534
SIMULATED = "41f96c03-1cad-4222-9c2b-682b71c6a8f0"
PYTHON = "/usr/bin/python3"  # which every user may execute

# Both ends of a conversation that never pauses; a line of what was said each half second.
TALKER = """
import socket, sys, time
role, port = sys.argv[1], int(sys.argv[2])
if role == 'serve':
    listener = socket.create_server(('127.0.0.1', port))
    print('listening', flush=True)
    end = listener.accept()[0]
else:
    end = socket.create_connection(('127.0.0.1', port))
end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
sent = 0
while True:
    word = b'%08d' % sent
    if role == 'serve':
        said = end.recv(8, socket.MSG_WAITALL)
        if not said:
            break
        assert said == word, (said, word)
        end.sendall(said)
    else:
        end.sendall(word)
        said = end.recv(8, socket.MSG_WAITALL)
        if not said:
            break
        assert said == word, (said, word)
        time.sleep(0.001)
    sent += 1
    if sent % 200 == 0:
        print(sent, flush=True)
"""

SERVICE = """
import socket, sys
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('listening', flush=True)
while True:
    end = listener.accept()[0]
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while said := end.recv(8, socket.MSG_WAITALL):
            end.sendall(said)
    except ConnectionError:
        pass
    end.close()
"""


# Where things lie, of a build and of an installation:


def tool(name):
    """An installation has the daemon in a place of its own."""
    return next((path for path in (bin_folder / name, bin_folder.parent / "sbin" / name) if path.exists()), bin_folder / name)


def shipped_plugins():
    """An installation may have libraries of several architectures."""
    return next(folder for pattern in ("sansock/plugins", "*/sansock/plugins") for folder in (bin_folder.parent / "lib").glob(pattern))


def shipped():
    """What operators are given with it; of a build, where that is written."""
    installed = bin_folder.parent / "share/sansock"
    return installed if installed.exists() else pathlib.Path(__file__).resolve().parents[2] / "configs"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, condition, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come to be within {patience_s} s")


def hello(program=b"liar"):
    """What a process says first, to which its board is passed."""
    return struct.pack("<IIiIQ64s1024s", 0x3167416E, 1, os.getpid(), 0, 0, program, b"")


@contextlib.contextmanager
def without_descriptors(process):
    """It keeps those that it has and gets no other one."""
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)


class Daemon:
    def __init__(self, directory, *options, limits=None):
        self.directory = directory
        self.log = open(os.path.join(directory, "log"), "ab")
        before = os.path.getsize(self.log.name)
        self.process = subprocess.Popen([tool("sansockd"), "--directory", directory, "--log-level", "debug", *options], stderr=self.log,
                                        preexec_fn=limits)
        wait_for("a daemon that listens", lambda: b" listens in " in self.said()[before:] and self.answers())

    def answers(self):
        with socket.socket(socket.AF_UNIX) as caller:
            return caller.connect_ex(f"{self.directory}/management") == 0

    def said(self):
        return pathlib.Path(self.log.name).read_bytes()

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        status = self.process.wait(PATIENCE_S)
        self.log.close()
        return status


class ControlCase(unittest.TestCase):
    def setUp(self):
        self.ends = contextlib.ExitStack()
        self.addCleanup(self.ends.close)
        self.directory = self.ends.enter_context(tempfile.TemporaryDirectory(prefix="sansock-control-"))
        os.chmod(self.directory, 0o755)
        self.environment = dict(os.environ, SANSOCK_CONTROL=self.directory)

    def daemon(self, *options, **more):
        daemon = Daemon(self.directory, *options, **more)
        self.ends.callback(lambda: daemon.process.poll() is None and daemon.end(signal.SIGKILL))
        return daemon

    def start(self, *command, user=None):
        process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True, user=user)
        self.ends.callback(process.stdout.close)
        self.ends.callback(process.wait)
        self.ends.callback(process.kill)
        return process

    def talkers(self, *, client_in_sansock=True, user=None):
        """A server and its client, which talk."""
        port = free_port()
        run = [tool("sansock"), "run", "--"]
        server = self.start(*run, PYTHON, "-c", TALKER, "serve", str(port), user=user)
        self.assertEqual(server.stdout.readline(), "listening\n")
        client = self.start(*(run if client_in_sansock else []), PYTHON, "-c", TALKER, "talk", str(port), user=user)
        self.assertEqual(client.stdout.readline(), "200\n")
        return server, client, port

    def goes_on(self, *talkers):
        for talker in talkers:
            before = int(talker.stdout.readline())
            wait_for("the conversation", lambda: int(talker.stdout.readline()) > before)

    def status(self, *words, user=None):
        done = subprocess.run([tool("sansock"), "status", "--json", *map(str, words)], env=self.environment, capture_output=True, text=True,
                              user=user, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def shown(self, port, count=2):
        """The ends of the connections at this port, once there are so many."""
        return wait_for(f"{count} ends at port {port}",
                        lambda: (found := self.status(f":{port}")["connections"]) and len(found) == count and found)


def main():
    global bin_folder
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("-k", action="append", default=[])
    options = parser.parse_args()
    bin_folder = options.bin
    unittest.main("__main__", argv=[sys.argv[0], "-v", *(word for pattern in options.k for word in ("-k", pattern))])
