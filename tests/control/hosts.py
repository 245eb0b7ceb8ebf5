"""Hosts for tests of the rendezvous: network namespaces, each with a daemon, certificates, and processes that speak as the library does."""
import contextlib
import ctypes
import ipaddress
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import time
import urllib.request

from harness import Daemon, hello, PATIENCE_S, tool, wait_for
from prometheus_client.openmetrics.parser import text_string_to_metric_families

SERVICE, CHANNELS, METRICS = 7470, 7471, 9470
HERE, NOT_THERE, NO_DAEMON, REFUSED, BUSY = range(1, 6)
REGISTER, FORGET, LOOK_UP, FOUND, EXPECT, CHANNEL = range(6, 12)
OPENING = struct.Struct("<Q16s")
MAGIC = 0x316E6E6168436E73

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def own_network():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def inside(network):
    """Sockets and programs that begin here are of that namespace; of this thread alone."""
    outside = own_network()
    _checked(_libc.setns(network, _CLONE_NEWNET))
    try:
        yield
    finally:
        _checked(_libc.setns(outside, _CLONE_NEWNET))
        os.close(outside)


def new_network():
    outside = own_network()
    _checked(_libc.unshare(_CLONE_NEWNET))
    try:
        network = own_network()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return network
    finally:
        _checked(_libc.setns(outside, _CLONE_NEWNET))
        os.close(outside)


def join(one, other, addresses_of_one, addresses_of_other):
    """A cable between two namespaces."""
    with inside(one):
        name = f"to{other}"
        subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"to{one}"], check=True)
        subprocess.run(["ip", "link", "set", f"to{one}", "netns", f"/proc/{os.getpid()}/fd/{other}"], check=True)
    for network, name, addresses in ((one, name, addresses_of_one), (other, f"to{one}", addresses_of_other)):
        with inside(network):
            for address in addresses:
                subprocess.run(["ip", "addr", "add", address, "dev", name, *(["nodad"] if ":" in address else [])], check=True)
            subprocess.run(["ip", "link", "set", name, "up"], check=True)


def packed(name):
    """A socket's name as the daemon takes it."""
    address = ipaddress.ip_address(name[0])
    bytes_ = address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed
    return struct.pack("<H", socket.AF_INET6) + struct.pack(">H", name[1]) + struct.pack("<I", 0) + bytes_ + struct.pack("<I", 0)


def unpacked(name):
    address = ipaddress.ip_address(name[8:24])
    return (str(address.ipv4_mapped or address), struct.unpack(">H", name[2:4])[0])


def board():
    fd = os.memfd_create("board")
    os.write(fd, struct.pack("<Q32s", 0x31647261_6F426E73, b"0.0").ljust(16384, b"\0"))
    return fd


class Process:
    """What the library does in a program: it shows itself, registers connections, looks up who holds their other ends."""

    def __init__(self, directory, program=b"process"):
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(PATIENCE_S)
        self.channel.connect(f"{directory}/agents")
        shown = board()
        socket.send_fds(self.channel, [hello(program)], [shown])
        os.close(shown)
        self.next_id = 0

    def close(self):
        self.channel.close()

    @staticmethod
    def message(type_, id_, local=("::", 0), remote=("::", 0)):
        return struct.pack("<IIQ", 0x3167416E, type_, id_) + packed(local) + packed(remote)

    @classmethod
    def registration(cls, id_, connection):
        return cls.message(REGISTER, id_, connection.getsockname(), connection.getpeername())

    def say(self, type_, id_, *names, proof=None):
        message = self.message(type_, id_, *names)
        if proof is None:
            self.channel.send(message)
        else:
            socket.send_fds(self.channel, [message], [proof if isinstance(proof, int) else proof.fileno()])

    def register(self, connection, id_=None):
        """The connection's id. Answered only if it is refused."""
        if id_ is None:
            self.next_id += 1
            id_ = self.next_id
        self.say(REGISTER, id_, connection.getsockname(), connection.getpeername(), proof=connection)
        return id_

    def forget(self, id_):
        self.say(FORGET, id_)

    def hear(self, *types):
        """The next message of these types, as a dictionary; what else the daemon says means nothing here."""
        while True:
            message, descriptors, _, _ = socket.recv_fds(self.channel, 4096, 1)
            if not message:
                raise ConnectionError("the daemon has closed the channel")
            type_ = struct.unpack_from("<I", message, 4)[0]
            if type_ not in types:
                assert type_ not in (FOUND, EXPECT, CHANNEL), f"an unexpected message of type {type_}: {message!r}"
                continue
            if type_ == FOUND:
                id_, status, _, holder, token, channel, why = struct.unpack_from("<QIIQ16s28s256s", message, 8)
                return {"id": id_, "status": status, "holder": holder, "token": token, "channel": unpacked(channel),
                        "why": why.partition(b"\0")[0].decode()}
            if type_ == EXPECT:
                id_, asker, token, local, remote, host = struct.unpack_from("<QQ16s28s28s64s", message, 8)
                return {"id": id_, "asker": asker, "token": token, "local": unpacked(local), "remote": unpacked(remote),
                        "host": host.partition(b"\0")[0].decode()}
            return {"token": message[8:24], "socket": socket.socket(fileno=descriptors[0])}

    def look_up(self, id_):
        self.say(LOOK_UP, id_)
        return self.hear(FOUND)

    def refused(self):
        answer = self.hear(FOUND)
        assert answer["status"] == REFUSED, answer
        return answer["why"]

    def waits_in_vain(self):
        """Nothing has been said that it has not heard."""
        self.channel.setblocking(False)
        try:
            while True:
                message = self.channel.recv(4096)
                assert not message or struct.unpack_from("<I", message, 4)[0] not in (FOUND, EXPECT, CHANNEL), message
                if not message:
                    return False
        except BlockingIOError:
            return True
        finally:
            self.channel.settimeout(PATIENCE_S)


class Host:
    def __init__(self, name, folder, ends):
        self.name = name
        self.network = new_network()
        ends.callback(os.close, self.network)
        self.directory = folder / name
        self.pki = folder / f"{name}-pki"
        self.directory.mkdir()
        self.ends = ends
        self.log = self.directory / "log"
        self.running = None

    def inside(self):
        return inside(self.network)

    def take(self, deployed):
        """The certificates of a directory become this host's, as an operator would copy them."""
        shutil.rmtree(self.pki, ignore_errors=True)
        shutil.copytree(deployed, self.pki)

    def daemon(self, *options):
        with self.inside():
            daemon = Daemon(str(self.directory), "--rendezvous", f"[::]:{SERVICE}", "--pki", str(self.pki), "--http",
                            f"127.0.0.1:{METRICS}", *options)
        self.ends.callback(lambda: daemon.process.poll() is None and daemon.end(9))
        self.running = daemon
        return daemon

    def process(self, program=b"process"):
        process = Process(str(self.directory), program)
        self.ends.callback(process.close)
        return process

    def metrics(self):
        with self.inside(), urllib.request.urlopen(f"http://127.0.0.1:{METRICS}/metrics", timeout=PATIENCE_S) as page:
            return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
                    for family in text_string_to_metric_families(page.read().decode()) for sample in family.samples}

    def counts(self, name, **labels):
        return self.metrics()[f"sansock_rendezvous_{name}", tuple(sorted(labels.items()))]

    def memory_kib(self):
        status = pathlib.Path(f"/proc/{self.running.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def said(self):
        return self.log.read_text()


def connection(one, other, address, source=None):
    """A TCP connection from a host to another one's address: both ends."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with other.inside():
        listener = socket.create_server((address, 0), family=family)
    with listener, one.inside():
        near = socket.create_connection(listener.getsockname()[:2], PATIENCE_S, source_address=(source, 0) if source else None)
        far = listener.accept()[0]
    one.ends.callback(near.close)
    one.ends.callback(far.close)
    return near, far


class Fleet:
    """An authority and what it has made; each host has a directory of its own."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.run("init", self.authority, "--name", name)

    @property
    def authority(self):
        return self.folder / f"authority-{self.name}"

    @staticmethod
    def run(*words, status=0):
        done = subprocess.run([tool("sansock"), "pki", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == status, done.stdout
        return done.stdout

    def issue(self, kind, host, *addresses, more=()):
        out = self.folder / f"{self.name}-{kind}"
        self.run("issue", self.authority, host, *(word for address in addresses for word in ("--address", address)), "--out", out, *more)
        return out


class Caller:
    """Another host's daemon, of which every byte can be chosen."""

    def __init__(self, frm, address, certificates=None, port=SERVICE, trusts=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations((trusts or certificates) / "ca.pem")
        if certificates:
            context.load_cert_chain(certificates / "host.pem", certificates / "host.key")
        with frm.inside():
            plain = socket.create_connection((address, port), PATIENCE_S)
        self.socket = context.wrap_socket(plain, server_hostname=address)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def side(name):
        return b"\x0b\0\1" + struct.pack(">I", 16) + packed(name)[8:24] + b"\x08\0\2" + struct.pack(">i", name[1]) + b"\0"

    @classmethod
    def question(cls, asker, holder, key=7, sequence=1):
        name = b"look_up"
        call = struct.pack(">II", 0x80010001, len(name)) + name + struct.pack(">i", sequence)
        question = (b"\x08\0\1" + struct.pack(">i", 1) + b"\x0c\0\2" + cls.side(asker) + b"\x0c\0\3" + cls.side(holder) +
                    b"\x0a\0\4" + struct.pack(">q", key) + b"\0")
        body = call + b"\x0c\0\1" + question + b"\0"
        return struct.pack(">I", len(body)) + body

    def ask(self, asker, holder, key=7):
        self.socket.sendall(self.question(asker, holder, key))
        return self.answer()

    def answer(self):
        head = self.exactly(4)
        return self.parse(self.exactly(struct.unpack(">I", head)[0]))

    def exactly(self, size):
        got = b""
        while len(got) < size:
            piece = self.socket.recv(size - len(got))
            if not piece:
                raise EOFError
            got += piece
        return got

    @staticmethod
    def parse(body):
        at = 8 + struct.unpack_from(">I", body, 4)[0] + 4 + 3
        fields = {}
        while body[at]:
            type_, number = struct.unpack_from(">bh", body, at)
            at += 3
            if type_ == 8:
                fields[number], at = struct.unpack_from(">i", body, at)[0], at + 4
            elif type_ == 10:
                fields[number], at = struct.unpack_from(">q", body, at)[0], at + 8
            else:
                size = struct.unpack_from(">I", body, at)[0]
                fields[number], at = body[at + 4:at + 4 + size], at + 4 + size
        return {"outcome": fields.get(1), "token": fields.get(2), "holder": fields.get(3), "channel": fields.get(4),
                "why": fields.get(5, b"").decode()}


def open_channel(frm, address, token, source=None, port=CHANNELS, magic=MAGIC):
    """Connects as a process that shows a token."""
    with frm.inside():
        channel = socket.create_connection((address, port), PATIENCE_S, source_address=(source, 0) if source else None)
    channel.sendall(OPENING.pack(magic, token))
    return channel


def is_closed(end, patience_s=PATIENCE_S):
    end.settimeout(patience_s)
    try:
        return end.recv(1) == b""
    except ConnectionError:
        return True


def until_status(process, id_, status, patience_s=PATIENCE_S):
    """Asks until the answer is that."""
    answer = {}

    def asked():
        nonlocal answer
        answer = process.look_up(id_)
        if answer["status"] != status:
            time.sleep(0.05)
        return answer["status"] == status
    try:
        wait_for(f"status {status}", asked, patience_s)
    except AssertionError as error:
        raise AssertionError(f"{error}; the last answer was {answer}") from error
    return answer
