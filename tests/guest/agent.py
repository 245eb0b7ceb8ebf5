"""Inside a guest: makes it a host, then runs what on.py asks for. The first process; its environment is the kernel's command line."""
import json
import os
import pathlib
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

PORT = 7000
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
SETTINGS = {"kernel/core_pattern": "{shared}/cores/host-{number}.%e.%p", "kernel/hostname": "host-{number}", "kernel/hung_task_timeout_secs": "600"}

# As systemd sets them, but for core files.
# What providers register with a device is locked memory.
LIMITS = {resource.RLIMIT_CORE: (resource.RLIM_INFINITY, resource.RLIM_INFINITY), resource.RLIMIT_NOFILE: (1024, 524288),
          resource.RLIMIT_MEMLOCK: (resource.RLIM_INFINITY, resource.RLIM_INFINITY)}

folder = pathlib.Path(os.environ["guest_shared"])
number = int(os.environ["guest_number"])
description = json.loads((folder / f"guest-{number}.json").read_text())


def make_a_host():
    for what, limits in LIMITS.items():
        resource.setrlimit(what, limits)
    for name, value in SETTINGS.items():
        pathlib.Path("/proc/sys", name).write_text(value.format(shared=folder, number=number))
    commands = f"""
link set lo up
link set eth0 name wire
link set wire mtu {description["mtu"]}
address add {description["address"]}/24 dev wire
link set wire up
address add 10.0.2.15/24 dev eth1
link set eth1 name agent
link set agent up
"""
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True)
    subprocess.run(["rdma", "link", "add", description["device"], "type", description["driver"], "netdev", "wire"], check=True)


class Jobs:
    """The programs that run, by the names that on.py gives them."""

    def __init__(self):
        self.known = {}
        self.news = threading.Condition()

    def add(self, name, process):
        with self.news:
            self.known[name] = process
            self.news.notify_all()

    def find(self, name):
        # A signal may be here before the program.
        with self.news:
            self.news.wait_for(lambda: name in self.known, 10)
            return self.known.get(name)


jobs = Jobs()


class Call:
    """One connection of on.py's: a program, or a signal for one."""

    def __init__(self, connection):
        self.connection = connection
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = connection.makefile("rb")
        self.sending = threading.Lock()

    def serve(self):
        with self.connection:
            request = json.loads(self.stream.readline() or "{}")
            if request.get("token") != description["token"]:
                return
            if "signal" in request:
                process = jobs.find(request["job"])
                if process:
                    process.send_signal(request["signal"])
                self.say(b"x", b"0")
            elif "end_all" in request:
                end_all()
                self.say(b"x", b"0")
            else:
                self.run(request)

    def say(self, kind, data):
        with self.sending:
            try:
                self.connection.sendall(kind + struct.pack("<I", len(data)) + data)
            except OSError:
                pass  # it has gone, which listen() sees

    def run(self, request):
        try:
            process = subprocess.Popen(request["words"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       cwd=request["directory"], env=ENVIRONMENT, start_new_session=True)
        except OSError as error:
            self.say(b"e", f"host {number} cannot run {request['words'][0]}: {error}\n".encode())
            self.say(b"x", b"127")
            return
        jobs.add(request["job"], process)
        pumps = [threading.Thread(target=self.pump, args=(kind, output, process), daemon=True)
                 for kind, output in ((b"o", process.stdout), (b"e", process.stderr))]
        for thread in [*pumps, threading.Thread(target=self.listen, args=(process,), daemon=True)]:
            thread.start()
        process.wait()
        for pump in pumps:
            pump.join()
        self.say(b"x", str(process.returncode).encode())

    def pump(self, kind, output, process):
        """All that it says; who has inherited its output may go on for long."""
        while True:
            ended = process.poll() is not None
            if select.select([output], [], [], 0 if ended else 0.2)[0]:
                data = os.read(output.fileno(), 1 << 16)
                if not data:
                    break
                self.say(kind, data)
            elif ended:
                break
        output.close()

    def listen(self, process):
        """What it is to read; when on.py goes, so does the program."""
        try:
            while head := self.stream.read(4):
                data = self.stream.read(struct.unpack("<I", head)[0])
                try:
                    if data:
                        process.stdin.write(data)
                        process.stdin.flush()
                    else:
                        process.stdin.close()
                except (OSError, ValueError):
                    pass  # it reads no more
        except (OSError, struct.error):
            pass
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def end_all():
    """Nothing that a test has left behind meets the next one."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            kernels = not pathlib.Path("/proc", entry, "cmdline").read_bytes()
            if not kernels and int(entry) not in (1, os.getpid()):
                os.kill(int(entry), signal.SIGKILL)
        except OSError:
            pass  # it has just ended


def serve():
    listener = socket.create_server(("10.0.2.15", PORT), backlog=128)
    with open(folder / f"guest-{number}.boots", "a", encoding="utf-8") as boots:
        boots.write(f"{time.clock_gettime(time.CLOCK_BOOTTIME):.1f}\n")
    while True:
        connection = listener.accept()[0]
        threading.Thread(target=Call(connection).serve, daemon=True).start()


def main():
    os.environ.update(ENVIRONMENT)
    worker = os.fork()
    if worker == 0:
        make_a_host()
        serve()
    # As a first process must: hear of the end of everybody who has lost his parent.
    while os.wait()[0] != worker:
        pass
    pathlib.Path("/proc/sysrq-trigger").write_text("o")
    signal.pause()


if __name__ == "__main__":
    sys.exit(main())
