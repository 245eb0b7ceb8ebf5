#!/usr/bin/env python3
"""sansockd and those who talk to it: processes that show themselves, operators, and whoever means it no good.

    control_test.py --bin DIRECTORY [-k PATTERN]

Nothing that happens to the daemon may disturb a connection, so the connections here talk all the while.
"""
import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess

from harness import (ControlCase, free_port, hello, main, NOBODY, PATIENCE_S, PYTHON, SERVICE, shipped_plugins, SIMULATED, TALKER, tool,
                     wait_for)


class Control(ControlCase):
    def test_shows_who_is_on_a_provider(self):
        self.daemon()
        server, client, port = self.talkers()
        ends = {end["role"]: end for end in self.shown(port)}
        self.assertEqual(ends["accept"]["pid"], server.pid)
        self.assertEqual(ends["connect"]["pid"], client.pid)
        for end in ends.values():
            self.assertEqual((end["path"], end["reason"]), ("simulated", None))
            self.assertGreater(end["bytes_sent"]["provider"], 0)
            self.assertEqual(end["buffers"]["max"], 5)
        self.assertEqual(ends["accept"]["local"], ends["connect"]["peer"])
        process = next(p for p in self.status()["processes"] if p["pid"] == server.pid)
        self.assertEqual((process["connections"], process["on_provider"], process["config"]), (1, 1, None))

    def test_says_why_one_is_on_tcp(self):
        self.daemon()
        server, _, port = self.talkers(client_in_sansock=False)
        end = wait_for("a reason", lambda: (found := self.status(server.pid)["connections"]) and found[0]["reason"] != "not-yet" and found[0])
        self.assertEqual((end["path"], end["reason"], end["provider"]), ("tcp", "peer-silent", None))
        self.assertTrue(end["local"].endswith(f":{port}"))

    def test_prints_a_table_for_people(self):
        self.daemon()
        server, _, port = self.talkers()
        self.shown(port)
        lines = subprocess.run([tool("sansock"), "status", str(server.pid)], env=self.environment, capture_output=True, text=True,
                               check=True).stdout.splitlines()
        self.assertRegex(lines[0], "^PROGRAM +PID +ROLE +LOCAL +PEER +PATH +SENT +RECEIVED +KEPT +BUFFERS +FULL +WHY ON TCP$")
        self.assertRegex(lines[1], rf"^python3\S* +{server.pid} +accept +127.0.0.1:{port} +127.0.0.1:\d+ +simulated ")
        self.assertEqual(lines[2], "1 connection of 1 process: 1 on a provider, 0 on TCP")

    def test_watching_shows_rates(self):
        self.daemon()
        _, client, port = self.talkers()
        self.shown(port)
        watch = self.start(tool("sansock"), "status", "--watch", "0.2", str(client.pid))
        wait_for("a rate", lambda: "/s" in watch.stdout.readline())

    def test_may_come_late_and_go(self):
        server, client, port = self.talkers()
        daemon = self.daemon()
        self.shown(port)
        self.assertEqual(daemon.end(signal.SIGKILL), -signal.SIGKILL)
        self.goes_on(server, client)
        daemon = self.daemon()
        self.shown(port)
        self.assertEqual(daemon.end(), 0)
        self.goes_on(server, client)
        self.daemon()
        self.shown(port)

    def test_may_hang(self):
        daemon = self.daemon()
        daemon.process.send_signal(signal.SIGSTOP)
        server, client, port = self.talkers()
        self.goes_on(server, client)
        daemon.process.send_signal(signal.SIGCONT)
        self.assertEqual({end["path"] for end in self.shown(port)}, {"simulated"})

    def test_forgets_processes_that_end(self):
        self.daemon()
        server, client, port = self.talkers()
        self.shown(port)
        client.kill()
        server.wait(PATIENCE_S)
        wait_for("nobody", lambda: self.status()["processes"] == [])

    def test_shows_one_that_is_stopped(self):
        self.daemon()
        server, client, port = self.talkers()
        self.shown(port)
        client.send_signal(signal.SIGSTOP)
        self.assertEqual(len(self.status(f":{port}")["connections"]), 2)
        client.send_signal(signal.SIGCONT)
        self.goes_on(server, client)

    def needs_another_user(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to be another user")
        try:
            subprocess.run([tool("sansock"), "--version"], user=NOBODY, stdout=subprocess.DEVNULL, check=True)
        except PermissionError:
            self.skipTest(f"needs {tool('')} where other users may execute what is in it")

    def test_shows_users_their_own(self):
        self.needs_another_user()
        self.daemon()
        _, _, port = self.talkers()
        self.shown(port)
        theirs, _, their_port = self.talkers(user=NOBODY)
        self.shown(their_port)
        status = self.status(user=NOBODY)
        self.assertEqual({end["local"].rpartition(":")[2] == str(their_port) or end["peer"].rpartition(":")[2] == str(their_port)
                          for end in status["connections"]}, {True})
        self.assertEqual(status["hidden_processes"], 2)
        self.assertIn(theirs.pid, [process["pid"] for process in status["processes"]])
        self.assertEqual(len(self.status()["processes"]), 4)

    def test_takes_no_second_daemon(self):
        self.daemon()
        second = subprocess.run([tool("sansockd"), "--directory", self.directory], capture_output=True, text=True, check=False)
        self.assertEqual(second.returncode, 1)
        self.assertIn(f"another sansockd runs in {self.directory}", second.stderr)

    def test_says_what_is_wrong_with_how_it_is_started(self):
        for options, text in ((["--group", "no such group"], "there is no group no such group"),
                              (["--directory", "/proc/none"], "cannot make /proc/none"),
                              (["--directory", "/tmp/" + "x" * 120], "too long for a socket"),
                              (["--log-level", "loud"], "loud not in")):
            done = subprocess.run([tool("sansockd"), *options], capture_output=True, text=True, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(text, done.stderr + done.stdout)
        with contextlib.suppress(OSError):
            os.rmdir("/tmp/" + "x" * 120)

    def test_asked_where_there_is_none_says_so(self):
        done = subprocess.run([tool("sansock"), "status"], env=self.environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"no sansockd answers at {self.directory}/management; is it running?", done.stderr)

    def sansock(self, *words, status=0, user=None):
        """What it says, standard error included."""
        done = subprocess.run([tool("sansock"), *words], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              user=user, check=False)
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def paths(self, port):
        return {(end["path"], end["reason"]) for end in self.shown(port)}

    def wait_for_path(self, port, path, reason):
        try:
            wait_for(f"{path}, {reason}", lambda: self.paths(port) == {(path, reason)})
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {self.paths(port)}") from error

    def test_drains_a_provider_and_gives_it_back(self):
        self.daemon()
        server, client, port = self.talkers()
        self.wait_for_path(port, "simulated", None)
        for _ in range(3):
            self.assertEqual(self.sansock("drain", SIMULATED), f"provider {SIMULATED} is drained in 2 processes; its plugin can be replaced\n")
            self.assertEqual(self.paths(port), {("tcp", "drained")})
            self.goes_on(server, client)
            self.assertEqual(self.paths(port), {("tcp", "drained")})
            self.assertEqual(self.sansock("undrain", "{" + SIMULATED.upper() + "}"), f"provider {{{SIMULATED.upper()}}} takes connections again\n")
            self.wait_for_path(port, "simulated", None)
            self.goes_on(server, client)
        for end in self.shown(port):
            self.assertEqual((end["upgrades"], end["step_backs"]), (4, 3))

    def test_gives_a_drained_provider_to_no_new_connection(self):
        daemon = self.daemon()
        self.talkers()
        self.sansock("drain", SIMULATED)
        _, _, port = self.talkers()
        self.wait_for_path(port, "tcp", "drained")
        daemon.end(signal.SIGKILL)
        self.daemon()  # which finds what was drained
        _, _, port = self.talkers()
        self.wait_for_path(port, "tcp", "drained")
        self.sansock("undrain", SIMULATED)
        _, _, port = self.talkers()
        self.wait_for_path(port, "simulated", None)

    def test_tells_who_has_not_drained(self):
        self.daemon()
        server, client, port = self.talkers()
        self.wait_for_path(port, "simulated", None)
        client.send_signal(signal.SIGSTOP)
        said = self.sansock("drain", SIMULATED, "--timeout", "0.5", status=1)
        self.assertIn("after 0.5 s, some processes have not done it; it stays drained:\n", said)
        self.assertRegex(said, rf"python3\S* \(pid {client.pid}, uid {os.getuid()}\): 1 connection on the provider\n")
        client.send_signal(signal.SIGCONT)
        self.sansock("drain", SIMULATED)
        self.wait_for_path(port, "tcp", "drained")
        self.goes_on(server, client)

    def test_drains_what_carries_messages(self):
        self.daemon()
        config = os.path.join(self.directory, "messages.yaml")
        pathlib.Path(config).write_text(f"providers: {{{SIMULATED}: {{plugin: simulated, simulation: {{seed: 1}}}}}}\n", encoding="utf-8")
        self.environment["SANSOCK_CONFIG"] = config
        server, client, port = self.talkers()
        self.wait_for_path(port, "simulated", None)
        self.sansock("drain", SIMULATED)
        self.wait_for_path(port, "tcp", "drained")
        self.goes_on(server, client)
        self.sansock("undrain", SIMULATED)
        self.goes_on(server, client)
        self.wait_for_path(port, "simulated", None)
        self.goes_on(server, client)

    def plugin(self, directory, version):
        """A plugin's file and manifest, as a package installs them: the new file takes the old one's name."""
        for name in ("simulated.so", "simulated.yaml"):
            new = os.path.join(directory, name + ".new")
            bytes_ = (shipped_plugins() / name).read_bytes()
            pathlib.Path(new).write_bytes(bytes_.replace(b'version: "', f'version: "{version}.'.encode()) if name.endswith("yaml") else bytes_)
            os.rename(new, os.path.join(directory, name))
        return os.stat(os.path.join(directory, "simulated.so")).st_ino

    @staticmethod
    def mapped(process, name):
        """Inodes of the mapped files of this name."""
        lines = pathlib.Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8").splitlines()
        return {int(line.split()[4]) for line in lines if line.removesuffix(" (deleted)").endswith("/" + name)}

    def test_replaces_a_plugin_under_load(self):
        plugins = os.path.join(self.directory, "plugins")
        os.mkdir(plugins)
        self.environment["SANSOCK_PLUGIN_PATH"] = plugins
        inode = self.plugin(plugins, 0)
        self.daemon()
        port = free_port()
        run = [tool("sansock"), "run", "--"]
        redis = self.start(*run, "redis-server", "--port", str(port), "--save", "", "--dir", self.directory)
        wait_for("redis", lambda: "Ready to accept" in redis.stdout.readline())
        load = self.start(*run, "redis-benchmark", "-p", str(port), "-c", "8", "-n", "100000000", "-t", "get", "-q")
        wait_for("eight connections on the provider", lambda: [end["path"] for end in self.status(redis.pid)["connections"]].count("simulated") >= 8)
        talkers = self.talkers()
        for version in range(1, 6):
            self.assertEqual(self.mapped(redis, "simulated.so"), {inode})
            self.sansock("drain", SIMULATED)
            for process in (redis, load, *talkers[:2]):
                self.assertEqual(self.mapped(process, "simulated.so"), set(), "let go of")
            inode = self.plugin(plugins, version)
            self.sansock("undrain", SIMULATED)
            self.wait_for_path(talkers[2], "simulated", None)
            new = self.talkers()  # for whom the new file is opened
            self.wait_for_path(new[2], "simulated", None)
            self.assertEqual(self.mapped(new[0], "simulated.so"), {inode})
            once = subprocess.run([*run, "redis-benchmark", "-p", str(port), "-n", "20000", "-q", "-t", "set"], env=self.environment,
                                  capture_output=True, text=True, check=True)
            self.assertIn("requests per second", once.stdout)
            self.assertNotIn("rror", once.stdout + once.stderr)
            self.goes_on(*talkers[:2], *new[:2])
            self.assertIsNone(load.poll())
            self.assertIsNone(redis.poll())
        ends = self.status(redis.pid)["connections"]
        self.assertGreaterEqual([end["step_backs"] for end in ends].count(5), 8)
        before = sum(end["bytes_sent"]["provider"] for end in ends)
        wait_for("more requests", lambda: sum(end["bytes_sent"]["provider"] for end in self.status(redis.pid)["connections"]) > before)

    def configure(self, text):
        """The configuration of all that start from now on, and after a reload of those that have."""
        config = os.path.join(self.directory, "sansock.yaml")
        pathlib.Path(config).write_text(text, encoding="utf-8")
        self.environment["SANSOCK_CONFIG"] = config
        return config

    def test_reloads_for_new_connections(self):
        self.configure(f"providers: {{{SIMULATED}: {{plugin: simulated, send_buffers: 7}}}}\n")
        self.daemon()
        server, client, port = self.talkers()
        self.wait_for_path(port, "simulated", None)
        service = self.service()
        self.configure(f"providers: {{{SIMULATED}: {{plugin: simulated, send_buffers: 9}}}}\n")
        self.assertEqual(self.sansock("reload"), "3 of 3 processes follow the configuration as it is now\n")
        self.goes_on(server, client)
        self.assertEqual({end["buffers"]["max"] for end in self.shown(port)}, {7}, "not asked for")
        self.assertEqual(self.client_of(service)["buffers"]["max"], 9)
        self.configure(f"providers: {{{SIMULATED}: {{plugin: simulated}}}}\nroutes: [{{policy: forbid}}]\n")
        self.sansock("reload")
        self.assertEqual(self.client_of(service)["reason"], "forbidden")
        self.assertEqual(self.paths(port), {("simulated", None)})

    def service(self):
        """A server for one client after the other."""
        port = free_port()
        process = self.start(tool("sansock"), "run", "--", PYTHON, "-c", SERVICE, str(port))
        self.assertEqual(process.stdout.readline(), "listening\n")
        self.client_of((process, port))  # so that it has a helper by now
        return process, port

    def client_of(self, service):
        """The server's end of a new connection, when that has come to wherever it goes."""
        process, port = service
        client = self.start(tool("sansock"), "run", "--", PYTHON, "-c", TALKER, "talk", str(port))
        self.assertEqual(client.stdout.readline(), "200\n")
        self.assertEqual(client.stdout.readline(), "400\n")
        end = wait_for("the server's end", lambda: [end for end in self.status(process.pid)["connections"] if end["state"] == "open"])[-1]
        client.kill()
        client.wait()
        return end

    def test_reloads_for_live_connections(self):
        self.configure(f"providers: {{{SIMULATED}: {{plugin: simulated, send_buffers: 7}}}}\n")
        self.daemon()
        server, client, port = self.talkers()
        self.wait_for_path(port, "simulated", None)
        for buffers in (255, 5, 30):
            self.configure(f"providers: {{{SIMULATED}: {{plugin: simulated, send_buffers: {buffers}}}}}\n")
            self.assertEqual(self.sansock("reload", "--live"), "2 of 2 processes follow the configuration as it is now\n")
            wait_for("the new number", lambda: {(end["path"], end["buffers"]["max"]) for end in self.shown(port)} == {("simulated", buffers)})
            self.goes_on(server, client)
        self.configure("routes: [{policy: forbid}]\n")
        self.sansock("reload", "--live")
        self.wait_for_path(port, "tcp", "forbidden")
        self.goes_on(server, client)

    def test_refuses_a_wrong_configuration_everywhere(self):
        config = self.configure(f"providers: {{{SIMULATED}: {{plugin: simulated, send_buffers: 7}}}}\n")
        self.daemon()
        server, client, port = self.talkers()
        self.wait_for_path(port, "simulated", None)
        self.configure(f"providers: {{{SIMULATED}: {{plugin: simulated, send_buffers: 700}}}}\nroute: 1\n")
        said = self.sansock("reload", "--live", status=1)
        self.assertIn("sansock: nothing was changed:\n", said)
        self.assertIn(f"{config}:1:85: send_buffers: 700 is too large; allowed: a whole number, 5 to 255\n", said)
        self.assertIn(f'{config}:2:1: "route" is not a key', said)
        self.assertEqual({(end["path"], end["buffers"]["max"]) for end in self.shown(port)}, {("simulated", 7)})
        self.goes_on(server, client)

    def test_hears_of_it_by_a_signal(self):
        config = self.configure(f"providers: {{{SIMULATED}: {{plugin: simulated, send_buffers: 7}}}}\n")
        daemon = self.daemon()
        server, client, port = self.talkers()
        self.wait_for_path(port, "simulated", None)
        self.configure(f"providers: {{{SIMULATED}: {{plugin: simulated, send_buffers: 700}}}}\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for("a refusal", lambda: f"nothing was changed:\n{config}:1:85: send_buffers: 700 is too large".encode() in daemon.said())
        self.configure(f"providers: {{{SIMULATED}: {{plugin: simulated, send_buffers: 9}}}}\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for("a reload", lambda: b"2 of 2 processes have read their configuration anew" in daemon.said())
        self.goes_on(server, client)
        self.assertIsNone(daemon.process.poll())

    def test_says_more_and_less_while_it_runs(self):
        daemon = self.daemon()
        self.sansock("log-level", "error", status=0)
        before = len(daemon.said())
        self.talkers()
        wait_for("both", lambda: len(self.status()["processes"]) == 2)
        self.assertEqual(daemon.said()[before:], b"")
        self.sansock("log-level", "debug", status=0)
        self.talkers()
        wait_for("talk of them", lambda: daemon.said()[before:].count(b"shows itself") == 2)
        said = self.sansock("log-level", "loud", status=1)
        self.assertEqual(said, 'sansock: "loud" is no level; allowed: error, warning, info, debug\n')

    def test_reload_tells_of_who_does_not_answer(self):
        self.daemon()
        server, client, port = self.talkers()
        self.shown(port)
        client.send_signal(signal.SIGSTOP)
        said = self.sansock("reload", status=1)
        self.assertRegex(said, rf"python3\S* \(pid {client.pid}, uid {os.getuid()}\): it has not answered; it will when it goes on\n")
        self.assertIn("1 of 2 processes follows the configuration as it is now\n", said)
        client.send_signal(signal.SIGCONT)
        self.goes_on(server, client)

    def test_explains_why_and_what_to_change(self):
        self.daemon()
        server, _, port = self.talkers(client_in_sansock=False)
        wait_for("a reason", lambda: self.status(server.pid)["connections"][0]["reason"] == "peer-silent")
        said = self.sansock("explain", f":{port}")
        self.assertRegex(said, rf"^python3\S* \(pid {server.pid}\) accepted at 127.0.0.1:{port} from 127.0.0.1:\d+\n  on       TCP; ")
        self.assertIn(f"  route    number 1 of 1, the embedded default: prefer {SIMULATED} (simulated)\n", said)
        self.assertIn("  why      peer-silent: nobody answered at the other end within timeouts.rendezvous\n", said)
        self.assertIn("  change   run the peer's program under sansock, too;", said)
        config = self.configure(f"# mine\nproviders: {{{SIMULATED}: {{plugin: simulated}}}}\nroutes:\n- port: 1\n  policy: forbid\n"
                                f"- providers: [{SIMULATED}]\n")
        _, client, port = self.talkers()
        self.wait_for_path(port, "simulated", None)
        said = self.sansock("explain", str(client.pid))
        self.assertRegex(said, rf"^python3\S* \(pid {client.pid}\) connected from 127.0.0.1:\d+ to 127.0.0.1:{port}\n"
                               rf"  on       simulated \({SIMULATED}\); .* sent, .* received, 9\d\.\d % of it over a provider\n")
        self.assertIn(f"  route    number 2 of 2, {config}:6: prefer {SIMULATED} (simulated)\n", said)
        self.assertNotIn("why", said)
        self.assertEqual(self.sansock("explain", "nobody", status=1),
                         "sansock: sansockd knows no such connection; a process shows its connections once one of them was worth a look\n")

    def test_explains_many_once(self):
        self.daemon()
        port = free_port()
        run = [tool("sansock"), "run", "--"]
        redis = self.start(*run, "redis-server", "--port", str(port), "--save", "", "--dir", self.directory)
        wait_for("redis", lambda: "Ready to accept" in redis.stdout.readline())
        self.start(*run, "redis-benchmark", "-p", str(port), "-c", "8", "-n", "100000000", "-t", "get", "-q")
        wait_for("eight", lambda: [end["path"] for end in self.status(redis.pid)["connections"]].count("simulated") >= 8)
        said = self.sansock("explain", str(redis.pid))
        self.assertEqual(said.count("accepted at"), 3)
        self.assertIn("and 5 more, of which the same is to be said\n", said)

    def test_lets_only_some_drain(self):
        self.needs_another_user()
        self.daemon()
        for words in (("drain", SIMULATED), ("undrain", SIMULATED), ("reload",)):
            said = self.sansock(*words, status=1, user=NOBODY)
            self.assertEqual(said, f"sansock: uid {NOBODY} may not; allowed: root, and the members of `sansockd --group`\n")
        self.assertEqual(self.sansock("drain", "the one"  , status=1),
                         'sansock: "the one" is no GUID, as 01234567-89ab-cdef-0123-456789abcdef\n')

    def test_lets_members_of_its_group(self):
        self.needs_another_user()
        daemon = self.daemon("--group", "nogroup")
        server, _, port = self.talkers()
        self.shown(port)
        found = json.loads(self.sansock("status", "--json", user=NOBODY))
        self.assertIn(server.pid, [process["pid"] for process in found["processes"]])
        self.assertEqual(found["hidden_processes"], 0)
        self.sansock("drain", SIMULATED, user=NOBODY)
        self.assertIn(f"provider {SIMULATED} is drained, by uid {NOBODY}".encode(), daemon.said())

    def test_drains_only_so_many(self):
        self.daemon()
        for number in range(32):
            self.sansock("drain", f"00000000-0000-0000-0000-{number:012}")
        self.assertEqual(self.sansock("drain", SIMULATED, status=1), "sansock: 32 providers are drained already; allowed: 32\n")

    def test_does_not_start_with_a_list_that_it_cannot_read(self):
        pathlib.Path(self.directory, "drained").write_text(f"{SIMULATED}\nrubbish\n", encoding="utf-8")
        done = subprocess.run([tool("sansockd"), "--directory", self.directory], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f'{self.directory}/drained:2:1: "rubbish"; allowed: up to 32 GUIDs, one a line', done.stderr)

    def agent(self):
        """A channel like a process's."""
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ends.callback(channel.close)
        channel.settimeout(PATIENCE_S)
        channel.connect(f"{self.directory}/agents")
        return channel

    def closes(self, channel):
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(channel.recv(1), b"", "the daemon closes the channel")

    def test_refuses_what_is_no_process(self):
        daemon = self.daemon()
        server, client, port = self.talkers()
        rubbish = [b"", b"x", b"\0" * 4096, hello()[:-1], os.urandom(16384), b"y" * 20000]
        for bytes_ in rubbish:
            channel = self.agent()
            channel.send(bytes_)
            self.closes(channel)
        boards = {"none": None, "pipe": os.pipe()[0], "empty": os.memfd_create("board"), "zeros": self.board(b"\0" * 65536),
                  "no board": self.board(os.urandom(65536)), "file": os.open(__file__, os.O_RDONLY)}
        for name, board in boards.items():
            with self.subTest(board=name):
                channel = self.agent()
                if board is None:
                    channel.send(hello())
                else:
                    socket.send_fds(channel, [hello()], [board])
                self.closes(channel)
        channel = self.agent()
        socket.send_fds(channel, [hello()], [os.dup(boards["zeros"]) for _ in range(3)])
        self.closes(channel)
        self.assertIsNone(daemon.process.poll())
        self.shown(port)
        self.goes_on(server, client)

    @staticmethod
    def board(bytes_):
        fd = os.memfd_create("board")
        os.write(fd, bytes_)
        return fd

    FIELDS_MAX = 40

    @classmethod
    def table(cls, fields, *, used_at=8192, rows_at=12288, row_size=256, rows_max=16, count=None):
        packed = b"".join(struct.pack("<24sII", name, at, size) for name, at, size in fields)
        return struct.pack("<IIIII", used_at, rows_at, row_size, rows_max, len(fields) if count is None else count) + packed.ljust(
            cls.FIELDS_MAX * 32, b"\0")

    @classmethod
    def header(cls, fields, *, totals=None, providers=None, **more):
        """The tables of totals and providers have nothing in them, unless they are given."""
        nothing = cls.table([], rows_max=0)
        head = struct.pack("<Q32s", 0x31647261_6F426E73, b"0.0\x1b[31m")
        return head + cls.table(fields, **more) + (totals or nothing) + (providers or nothing) + struct.pack("<I", 1)

    def test_takes_a_board_of_another_version_for_what_it_says(self):
        daemon = self.daemon()
        fields = [(b"phase", 0, 1), (b"role", 1, 1), (b"new", 4, 4), (b"sent", 8, 8), (b"detail", 16, 32), (b"reason", 48, 1)]
        entry = (struct.pack("<BBxxIQ32sB", 5, 1, 7, 2**63, b"said\x1b[2J\n", 0)).ljust(256, b"\0")
        bytes_ = self.header(fields).ljust(8192, b"\0") + struct.pack("<I", 1).ljust(4096, b"\0") + entry
        channel = self.agent()
        socket.send_fds(channel, [hello(b"later\x07")], [self.board(bytes_)])
        status = wait_for("the process", lambda: (found := self.status())["processes"] and found)
        self.assertEqual(status["processes"][0]["program"], "later\\x07")
        self.assertEqual(status["processes"][0]["version"], "0.0\\x1b[31m")
        self.assertEqual(len(status["connections"]), 1)
        self.assertIsNone(status["connections"][0]["local"])
        self.assertIsNone(daemon.process.poll())

    def test_refuses_boards_that_lie(self):
        daemon = self.daemon()
        whole = [(b"phase", 0, 1)]
        lies = {"too many fields": self.header(whole, count=41), "a field outside": self.header([(b"phase", 255, 8)]),
                "a field around the end": self.header([(b"phase", 2**32 - 4, 8)]), "no name's end": self.header([(b"x" * 24, 0, 1)]),
                "no entries": self.header(whole, row_size=0), "huge entries": self.header(whole, row_size=2**31),
                "a field of nothing": self.header([(b"phase", 0, 0)]), "endless": self.header(whole, rows_max=2**31),
                "wrong totals": self.header(whole, totals=self.table([(b"sent", 252, 8)])),
                "wrong providers": self.header(whole, providers=self.table(whole, count=41))}
        for name, header in lies.items():
            with self.subTest(lie=name):
                channel = self.agent()
                socket.send_fds(channel, [hello()], [self.board(header.ljust(65536, b"\xff"))])
                self.closes(channel)
        # Sound ones, behind which there is nothing, or less than they say.
        channels = []
        for more in ({"used_at": 2**32 - 8}, {"rows_at": 2**32 - 8}, {"rows_max": 2**16, "row_size": 2**16}):
            board = self.board(self.header(whole, **more).ljust(8192, b"\0") + b"\xff" * 8192)
            channels.append(self.agent())
            socket.send_fds(channels[-1], [hello()], [board])
        status = wait_for("the liars", lambda: len((found := self.status())["processes"]) == 3 and found)
        self.assertEqual(status["connections"], [])
        board = self.board(self.header(whole).ljust(65536, b"\xff"))
        channels.append(self.agent())
        socket.send_fds(channels[-1], [hello()], [board])
        os.ftruncate(board, 0)
        self.status()
        self.assertIsNone(daemon.process.poll())

    def test_outlives_rubbish_from_operators(self):
        daemon = self.daemon()
        server, client, port = self.talkers()
        for bytes_ in (b"GET / HTTP/1.0\r\n\r\n", b"\x80\x01\x00\x01\x7f\xff\xff\xff", b"\xff" * 100_000, os.urandom(65536),
                       struct.pack(">I", 0x80010001) + struct.pack(">I", 6) + b"status" + struct.pack(">I", 0) + b"\x0f\0\1\x0b\x7f\xff\xff\xff"):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(f"{self.directory}/management")
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    caller.sendall(bytes_)
        self.assertIsNone(daemon.process.poll())
        self.shown(port)
        self.goes_on(server, client)

    def test_answers_others_while_some_say_nothing(self):
        daemon = self.daemon()
        _, _, port = self.talkers()
        silent = []
        for _ in range(32):
            caller = socket.socket(socket.AF_UNIX)
            self.ends.callback(caller.close)
            caller.connect(f"{self.directory}/management")
            silent.append(caller)
            silent.append(self.agent())
        self.shown(port)
        self.assertEqual(daemon.end(), 0, "they do not keep it from ending")

    def test_does_without_descriptors(self):
        few = 40
        daemon = self.daemon(limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (few, few)))
        flood = [self.agent() for _ in range(2 * few)]
        server, client, port = self.talkers()
        self.goes_on(server, client)
        self.assertIsNone(daemon.process.poll())
        for channel in flood:
            channel.close()
        wait_for("an answer", lambda: subprocess.run([tool("sansock"), "status"], env=self.environment, capture_output=True, check=False).returncode == 0)
        self.shown(port)


if __name__ == "__main__":
    main()
