#!/usr/bin/env python3
"""What sansockd tells of a host: metrics, as a strict parser and a real Prometheus read them, a page in a real browser, and `sansock top`.

    observation_test.py --bin DIRECTORY [-k PATTERN]
"""
import fcntl
import http.client
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import urllib.parse
import urllib.request

import pyte
from harness import ControlCase, free_port, hello, main, PYTHON, shipped, SIMULATED, tool, wait_for
from prometheus_client.openmetrics.parser import text_string_to_metric_families

# Sends messages of the sizes that it is told, and reads none of what it is sent before it has been told to.
SENDER = """
import socket, sys
end = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for _ in range(200):
    end.sendall(b'12345678')
    end.recv(8, socket.MSG_WAITALL)
print('talked', flush=True)
for line in sys.stdin:
    end.sendall(bytes(int(line)))
    print('sent', flush=True)
"""
SINK = """
import socket, sys
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('listening', flush=True)
end = listener.accept()[0]
end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for _ in range(200):
    end.sendall(end.recv(8, socket.MSG_WAITALL))
for line in sys.stdin:
    left = int(line)
    while left:
        left -= len(end.recv(min(left, 1 << 20)))
    print('read', flush=True)
"""


class Terminal:
    """A program in a terminal of so many lines and columns, and what that shows."""

    def __init__(self, command, environment, lines=24, columns=180):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        child, self.fd = pty.fork()
        if child == 0:  # of xterm's sequences pyte does not know those that repeat a character
            os.execve(command[0], command, dict(environment, TERM="linux", LANG="C.UTF-8"))
        self.child = child
        self.resize(lines, columns)

    def resize(self, lines, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    def read(self):
        """False: the program has ended."""
        while select.select([self.fd], [], [], 0.05)[0]:
            try:
                self.stream.feed(os.read(self.fd, 65536))
            except OSError:
                return False
        return True

    def lines(self):
        self.read()
        return [line.rstrip() for line in self.screen.display]

    def press(self, keys):
        os.write(self.fd, keys)

    def end(self):
        while self.read():
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        os.close(self.fd)
        return status


class Observation(ControlCase):
    def observed(self, *options):
        """A daemon with its page."""
        daemon = self.daemon("--http", "127.0.0.1:0", *options)
        self.port = int(re.search(rb"its page is at http://127\.0\.0\.1:(\d+)/", wait_for("the page", lambda: (
            said := daemon.said()) and b"its page is at" in said and said))[1])
        return daemon

    def get(self, path, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read().decode()
        finally:
            connection.close()

    def metrics(self):
        """Samples by name and labels: {"sansock_sent_bytes_total": {(("path", "tcp"), ...): 12.0}}."""
        status, headers, text = self.get("/metrics")
        self.assertEqual(status, 200)
        self.assertTrue(headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0"), headers)
        samples = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return samples

    @staticmethod
    def total(samples, name, **labels):
        return sum(value for key, value in samples.get(name, {}).items() if set(labels.items()) <= set(key))

    def sender_and_sink(self):
        port = free_port()
        run = [tool("sansock"), "run", "--", PYTHON, "-c"]
        ends = []
        for program, said in ((SINK, "listening\n"), (SENDER, "talked\n")):
            ends.append(subprocess.Popen([*run, program, str(port)], env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True))
            for end in (ends[-1].stdout.close, ends[-1].stdin.close, ends[-1].wait, ends[-1].kill):
                self.ends.callback(end)
            self.assertEqual(ends[-1].stdout.readline(), said)
        sink, sender = ends

        def moves():
            self.tell(sender, 8, "sent\n")
            self.tell(sink, 8, "read\n")
            return all(end["path"] == "simulated" and end[way]["provider"] > 8 for end, way in (
                (next(e for e in self.shown(port) if e["role"] == role), way) for role, way in (("connect", "bytes_sent"), ("accept", "bytes_received"))))

        wait_for("the provider", moves)
        return sender, sink, port

    @staticmethod
    def tell(process, line, answer):
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        if answer:
            assert process.stdout.readline() == answer

    def test_counts_what_was_sent_and_by_what(self):
        self.observed()
        sender, sink, _ = self.sender_and_sink()
        before = self.metrics()
        for size, count in ((40, 3), (1000, 5), (100_000, 2)):
            for _ in range(count):
                self.tell(sender, size, "sent\n")
                self.tell(sink, size, "read\n")
        self.tell(sink, 3, None)
        time.sleep(0.2)
        self.tell(sender, 3, "sent\n")
        self.assertEqual(sink.stdout.readline(), "read\n")
        after = self.metrics()

        def grew(name, **labels):
            return self.total(after, name, **labels) - self.total(before, name, **labels)

        moved = 3 + 3 * 40 + 5 * 1000 + 2 * 100_000
        self.assertEqual(grew("sansock_sent_bytes_total", path="simulated", provider=SIMULATED), moved)
        self.assertEqual(grew("sansock_received_bytes_total", path="simulated", provider=SIMULATED), moved)
        self.assertEqual(grew("sansock_sent_bytes_total", path="tcp"), 0)
        self.assertEqual(grew("sansock_message_size_bytes_bucket", le="64.0"), 4)
        self.assertEqual(grew("sansock_message_size_bytes_bucket", le="256.0"), 4)
        self.assertEqual(grew("sansock_message_size_bytes_bucket", le="1024.0"), 9)
        # The kernel was never in between, and a send of so much may come in parts when buffers are short.
        self.assertGreaterEqual(grew("sansock_message_size_bytes_bucket", le="+Inf"), 10)
        self.assertGreater(grew("sansock_sleep_seconds_count"), 0)
        self.assertEqual(self.total(after, "sansock_connections", path="simulated"), 2)
        self.assertEqual(self.total(after, "sansock_processes"), 2)

    def test_shows_buffers_that_run_short(self):
        self.observed()
        sender, sink, port = self.sender_and_sink()
        much = 8 << 20
        self.tell(sender, much, None)
        end = wait_for("full buffers", lambda: next((e for e in self.shown(port) if e["buffers"]["full"] > 0), None))
        self.assertEqual(end["pid"], sender.pid)
        self.assertEqual(end["buffers"]["held"], 5)
        samples = self.metrics()
        self.assertGreater(self.total(samples, "sansock_sends_without_room_total", provider=SIMULATED), 0)
        self.assertEqual(self.total(samples, "sansock_buffers_held"), 5)
        self.assertIn(self.total(samples, "sansock_buffers_allowed"), (5, 10))  # the sink may have nothing to say since
        self.assertGreaterEqual(self.total(samples, "sansock_kept_bytes"), end["kept"])
        self.tell(sink, much, "read\n")

    def test_no_counter_falls_when_connections_and_processes_end(self):
        self.observed()
        seen = {}

        def look():
            for name, samples in self.metrics().items():
                for labels, value in samples.items():
                    if name.endswith(("_total", "_bucket", "_count", "_sum")):
                        self.assertGreaterEqual(value, seen.get((name, labels), 0), (name, labels))
                        seen[name, labels] = value

        for how in (signal.SIGTERM, signal.SIGKILL):
            sender, sink, _ = self.sender_and_sink()
            self.tell(sender, 5000, "sent\n")
            self.tell(sink, 5000, "read\n")
            look()
            sender.send_signal(how)
            sink.send_signal(how)
            sender.wait()
            sink.wait()
            wait_for("nobody", lambda: not self.status()["processes"])
            look()
        samples = self.metrics()
        self.assertGreaterEqual(self.total(samples, "sansock_sent_bytes_total", path="simulated"), 10_000)
        self.assertGreaterEqual(self.total(samples, "sansock_connections_made_total"), 4)
        self.assertEqual(self.total(samples, "sansock_connections"), 0)

    def test_counts_short_connections(self):
        """Those that end young have never had a place."""
        self.observed()
        port = free_port()
        service = ("import socket\nlistener = socket.create_server(('127.0.0.1', %d))\nprint('listening', flush=True)\nwhile True:\n"
                   " end = listener.accept()[0]\n while said := end.recv(100):\n  end.sendall(said)\n end.close()" % port)
        server = self.start(tool("sansock"), "run", "--", PYTHON, "-c", service)
        self.assertEqual(server.stdout.readline(), "listening\n")
        # Before a first connection is worth moving, a process does not show itself.
        self.exchange(port, 200)
        wait_for("the server", lambda: self.status()["processes"])
        before = self.metrics()
        for _ in range(50):
            self.exchange(port)
        after = wait_for("fifty connections", lambda: self.total(
            now := self.metrics(), "sansock_connections_made_total") >= self.total(before, "sansock_connections_made_total") + 50 and now)
        self.assertEqual(self.total(after, "sansock_sent_bytes_total", path="tcp") - self.total(before, "sansock_sent_bytes_total", path="tcp"), 250)

    @staticmethod
    def exchange(port, times=1):
        with socket.create_connection(("127.0.0.1", port)) as end:
            for _ in range(times):
                end.sendall(b"short")
                assert end.recv(100) == b"short"

    def test_believes_no_nonsense(self):
        """A process that shows numbers which cannot be spoils none but its own."""
        self.observed()
        fields = [(b"phase", 0, 1), (b"role", 1, 1), (b"generation", 4, 4), (b"sent", 8, 8), (b"sent_provider", 16, 8), (b"guid", 24, 40),
                  (b"plugin", 64, 192)]
        table = lambda rows, at: struct.pack("<IIIII", 8, at, 256, rows, len(fields)) + b"".join(
            struct.pack("<24sII", *field) for field in fields).ljust(40 * 32, b"\0")
        header = struct.pack("<Q32s", 0x31647261_6F426E73, b"0.0") + table(4, 12288) + table(1, 16384) + table(0, 0)
        row = lambda sent, provider, guid, plugin: struct.pack("<BBxxIQQ40s192s", 3, 0, 1, sent, provider, guid, plugin)
        rows = (row(1 << 63, 0, b"", b"") + row(500, 100, SIMULATED.encode(), b"simulated") + row(70, 70, b"no GUID", b"x") +
                row(1000, 2000, SIMULATED.encode(), b"much too long a name for a plugin, with \"quotes\"" * 3))
        fd = os.memfd_create("board")
        os.write(fd, header.ljust(12288, b"\0") + rows.ljust(4096, b"\0") + b"\xff" * 65536)
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ends.callback(channel.close)
        channel.connect(f"{self.directory}/agents")
        socket.send_fds(channel, [hello(b'"lies\\\n\xff')], [fd])
        os.close(fd)
        wait_for("the liar", lambda: self.status()["processes"])
        samples = self.metrics()
        self.assertEqual(self.total(samples, "sansock_processes"), 1)
        self.assertEqual(self.total(samples, "sansock_connections_made_total"), 4)
        self.assertEqual(self.total(samples, "sansock_sent_bytes_total", path="tcp"), 400)
        self.assertEqual(self.total(samples, "sansock_sent_bytes_total", provider=SIMULATED), 1100)
        self.assertEqual({dict(key)["path"] for key in samples["sansock_sent_bytes_total"]}, {"tcp", "simulated"})

    def test_a_family_that_comes_back_is_not_counted_twice(self):
        """Of a server's children, one after the other, each shows what all of them share."""
        self.observed()
        port = free_port()
        service = ("import os, socket\nlistener = socket.create_server(('127.0.0.1', %d))\nwith socket.create_connection(listener.getsockname()) as a:\n"
                   " b = listener.accept()[0]\n for _ in range(200): a.sendall(b'x'); b.recv(1)\n b.close()\nprint('listening', flush=True)\n"
                   "while True:\n end = listener.accept()[0]\n child = os.fork()\n if child == 0:\n  while said := end.recv(100): end.sendall(said)\n"
                   "  os._exit(0)\n end.close()\n os.waitpid(child, 0)" % port)
        server = self.start(tool("sansock"), "run", "--", PYTHON, "-c", service)
        self.assertEqual(server.stdout.readline(), "listening\n")
        wait_for("the server", lambda: self.status()["processes"])
        before = self.metrics()
        for _ in range(5):
            self.exchange(port, 300)
        after = wait_for("five connections", lambda: self.total(
            now := self.metrics(), "sansock_connections_made_total") >= self.total(before, "sansock_connections_made_total") + 5 and now)
        server.kill()
        server.wait()
        wait_for("nobody", lambda: not self.status()["processes"])
        last = self.metrics()
        for name in ("sansock_sent_bytes_total", "sansock_received_bytes_total"):
            self.assertEqual(self.total(after, name) - self.total(before, name), 5 * 300 * 5, name)
            self.assertEqual(self.total(last, name), self.total(after, name), name)
        daemon_came_back = self.total(last, "sansock_connections_made_total") - self.total(after, "sansock_connections_made_total")
        self.assertEqual(daemon_came_back, 0)

    def test_prometheus_reads_it(self):
        self.observed()
        server, client, port = self.talkers()
        self.shown(port)
        web = free_port()
        config = pathlib.Path(self.directory) / "prometheus.yaml"
        alerts = shipped() / "prometheus/alerts.yaml"
        config.write_text(f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{alerts}]\n"
                          f"scrape_configs:\n- job_name: sansock\n  static_configs: [{{targets: ['127.0.0.1:{self.port}']}}]\n")
        # It keeps its log to itself; what it has read is what counts.
        self.start("/usr/bin/prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.directory}/tsdb",
                   f"--web.listen-address=127.0.0.1:{web}", "--log.level=error")

        def asked(path):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{web}/api/v1/{path}", timeout=5) as answer:
                    return json.load(answer)["data"]
            except OSError:
                return None

        target = wait_for("a scrape", lambda: (found := asked("targets")) and (active := found["activeTargets"]) and
                          active[0]["health"] != "unknown" and active[0], 60)
        self.assertEqual((target["health"], target["lastError"]), ("up", ""))
        rate = wait_for("a rate", lambda: (found := asked("query?query=rate(sansock_sent_bytes_total{path=%22simulated%22}[10s])")) and
                        found["result"] and float(found["result"][0]["value"][1]) > 0 and found["result"])
        self.assertEqual(rate[0]["metric"]["provider"], SIMULATED)
        rules = wait_for("the alerts", lambda: (found := asked("rules")) and found["groups"] and
                         all(rule["health"] != "unknown" for group in found["groups"] for rule in group["rules"]) and found["groups"])
        for group in rules:
            for rule in group["rules"]:
                self.assertEqual((rule["health"], rule.get("lastError", "")), ("ok", ""), rule["name"])
        # What the dashboard asks is understood, and about metrics that there are.
        dashboard = json.loads((shipped() / "grafana/sansock.json").read_text())
        known = set(self.metrics())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$user", ".*").replace("$instance", ".*").replace("$__rate_interval", "10s")
                with self.subTest(panel=panel["title"]):
                    self.assertLessEqual(set(re.findall(r"sansock_\w+", expression)), known)
                    self.assertIsNotNone(asked("query?" + urllib.parse.urlencode({"query": expression})), expression)

    def test_alerts_speak_when_they_should(self):
        for file in (shipped() / "prometheus/alerts.yaml", pathlib.Path(__file__).parent / "alerts_test.yaml"):
            shutil.copy(file, self.directory)
        done = subprocess.run(["/usr/bin/promtool", "test", "rules", "alerts_test.yaml"], cwd=self.directory, capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def browsed(self):
        """The page's text once it has asked twice, as a browser shows it."""
        chromium = shutil.which("chromium")
        self.assertIsNotNone(chromium, "chromium is not installed")
        done = subprocess.run([chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={self.directory}/browser",
                               "--virtual-time-budget=3500", "--dump-dom", f"http://127.0.0.1:{self.port}/"],
                              capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_page_shows_who_is_on_a_provider_and_who_is_not(self):
        self.observed()
        server, client, port = self.talkers()
        alone, _, other = self.talkers(client_in_sansock=False)
        self.shown(port)
        wait_for("a reason", lambda: self.status(alone.pid)["connections"][0]["reason"] == "peer-silent")
        text = re.sub(r"<[^>]*>", " ", self.browsed())
        self.assertRegex(text, r"sansockd 0\.1\.0, \d")
        self.assertRegex(text, rf"python3\S* +{server.pid} +accept +127\.0\.0\.1:{port} +127\.0\.0\.1:\d+ +simulated +\S+ \w+/s")
        self.assertRegex(text, rf"{alone.pid} +accept +127\.0\.0\.1:{other} +\S+ +tcp ")
        self.assertRegex(text, r"peer-silent +python3\S* +1 +sansock explain 127\.0\.0\.1:\d+")

    def test_page_takes_names_for_text(self):
        self.observed()
        script = pathlib.Path(self.directory) / "<img src=x onerror=alert(1)>"
        shutil.copy("/usr/bin/python3", script)
        port = free_port()
        process = subprocess.Popen([tool("sansock"), "run", "--", script, "-c", (
            "import socket\nlistener = socket.create_server(('127.0.0.1', %d))\nends = []\nprint('listening', flush=True)\n"
            "while True:\n ends.append(listener.accept()[0])\n for _ in range(100): ends[-1].sendall(ends[-1].recv(8))" % port)],
            env=dict(self.environment, PYTHONHOME="/usr"), stdout=subprocess.PIPE, text=True)
        for end in (process.stdout.close, process.wait, process.kill):
            self.ends.callback(end)
        self.assertEqual(process.stdout.readline(), "listening\n")
        with socket.create_connection(("127.0.0.1", port)) as end:
            for _ in range(100):
                end.sendall(b"12345678")
                end.recv(8)
            wait_for("it", lambda: any("<img" in p["program"] for p in self.status()["processes"]))
            page = self.browsed()
        self.assertNotIn("<img", page)
        self.assertIn("&lt;img", page)

    def top(self, *options, **size):
        return Terminal([str(tool("sansock")), "top", "--period", "0.2", *map(str, options)], self.environment, **size)

    def test_top_shows_rates_and_takes_keys(self):
        self.daemon()
        server, client, port = self.talkers()
        alone, _, _ = self.talkers(client_in_sansock=False)
        self.shown(port)
        wait_for("a reason", lambda: self.status(alone.pid)["connections"][0]["reason"] == "peer-silent")
        top = self.top()
        rows = lambda: [line for line in top.lines() if line.startswith("python3")]
        self.assertTrue(wait_for("three rows with rates", lambda: len(found := rows()) == 3 and all("/s" in row for row in found)))
        head = top.lines()
        self.assertEqual(head[0], "sansock top: 3 connections of 3 processes: 2 on a provider, 1 on TCP (1 peer-silent)")
        self.assertRegex(head[1], r"^3 shown, which send .*/s and receive .*/s; every 0.2 s$")
        self.assertRegex(head[3], r"^PROGRAM +PID +ROLE +LOCAL +PEER +PATH +SENT +RECEIVED +SENDS +RECEIVES +KEPT +BUFFERS +FULL +WHY ON TCP$")
        self.assertTrue(top.screen.buffer[3][0].reverse)
        for at, row in enumerate(top.lines()):
            if row.startswith("python3"):
                self.assertEqual(top.screen.buffer[at][0].fg, "brown" if "peer-silent" in row else "green", row)
        top.press(b"t")
        wait_for("those on TCP alone", lambda: len(rows()) == 1 and str(alone.pid) in rows()[0])
        top.press(b"t")
        wait_for("all of them", lambda: len(rows()) == 3)
        top.press(b"w")
        wait_for("another order", lambda: "peer-silent" in rows()[0])
        top.press(b"/" + str(client.pid).encode())
        wait_for("what is looked for", lambda: len(rows()) == 1 and top.lines()[2] == f"find: {client.pid}_")
        top.press(b"\x1b")
        wait_for("all of them", lambda: len(rows()) == 3)
        top.press(b" ")
        wait_for("a pause", lambda: top.lines()[0].endswith("HELD"))
        top.press(b"q")
        self.assertEqual(top.end(), 0)

    def test_top_fits_any_terminal(self):
        self.daemon()
        _, _, port = self.talkers()
        self.shown(port)
        top = self.top()
        wait_for("rows", lambda: any(line.startswith("python3") for line in top.lines()))
        for lines, columns in ((3, 20), (1, 1), (5, 200), (24, 80)):
            top.resize(lines, columns)
            os.kill(top.child, signal.SIGWINCH)
            for keys in (b"\x1b[B" * 5, b"\x1b[C" * 40, b"\x1b[F", b"\x1b[D" * 50, b"\x1b[H"):
                top.press(keys)
                self.assertTrue(top.read())
        wait_for("rows", lambda: any(line.startswith("python3") for line in top.lines()))
        top.press(b"q")
        self.assertEqual(top.end(), 0)

    def test_top_says_when_it_cannot(self):
        done = subprocess.run([tool("sansock"), "top"], env=self.environment, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (2, "sansock: top needs a terminal; `sansock status --watch` does not\n"))
        top = self.top()
        self.assertEqual(top.end(), 1)
        self.assertRegex("".join(top.screen.display), "sansock: no sansockd answers at ")
        daemon = self.daemon()
        top = self.top()
        wait_for("its table", lambda: any(line.startswith("PROGRAM") for line in top.lines()))
        daemon.end()
        self.assertEqual(top.end(), 1)
        self.assertIn("sansock: no sansockd answers at ", "".join(top.screen.display))

    def test_serves_addresses_alone(self):
        self.observed()
        for host in ("127.0.0.1", f"127.0.0.1:{self.port}", "localhost", f"localhost:{self.port}", "[::1]", f"[::1]:{self.port}"):
            with self.subTest(host=host):
                self.assertEqual(self.get("/status.json", Host=host)[0], 200)
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.evil", "[::1", "127.0.0.1:80:80x"):
            with self.subTest(host=host):
                self.assertEqual(self.get("/status.json", Host=host)[0], 403)

    def test_changes_nothing(self):
        self.observed()
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "NONSENSE"):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request(method, "/status.json", body=b"x" if method == "POST" else None)
            self.assertIn(connection.getresponse().status, (400, 404, 405, 413), method)
            connection.close()
        self.assertEqual(self.get("/../../etc/passwd")[0], 404)

    def test_outlives_callers_who_say_nothing_or_rubbish(self):
        daemon = self.observed()
        server, client, port = self.talkers()
        with_descriptors = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
        callers = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(200)]
        for caller, said in zip(callers, (b"", b"GET / HTT", b"\xff" * 100_000, b"GET /" + b"a" * 100_000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000)):
            threading.Thread(target=lambda to=caller, what=said: self.say(to, what), daemon=True).start()
        self.goes_on(server, client)
        self.assertEqual(len(self.status(f":{port}")["connections"]), 2, "operators are answered meanwhile")
        self.assertLess(len(os.listdir(f"/proc/{daemon.process.pid}/fd")), with_descriptors + 100)
        for caller in callers:
            caller.close()
        wait_for("an answer", lambda: self.answers())
        self.assertIsNone(daemon.process.poll())

    @staticmethod
    def say(to, what):
        try:
            to.sendall(what)
        except OSError:
            pass

    def answers(self):
        try:
            return self.get("/status.json")[0] == 200
        except OSError:
            return False

    def test_says_what_is_wrong_with_its_address(self):
        for where in ("localhost", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "somewhere:80", "[::1:80", ":80"):
            done = subprocess.run([tool("sansockd"), "--directory", self.directory, "--http", where], capture_output=True, text=True,
                                  timeout=10, check=False)
            self.assertEqual(done.returncode, 1, where)
            self.assertIn("is no address and port; allowed: as 127.0.0.1:9470 or [::1]:9470", done.stderr)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            where = f"127.0.0.1:{taken.getsockname()[1]}"
            done = subprocess.run([tool("sansockd"), "--directory", self.directory, "--http", where], capture_output=True, text=True,
                                  timeout=10, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"cannot listen at {where}: Address already in use", done.stderr)


if __name__ == "__main__":
    main()
