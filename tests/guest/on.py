#!/usr/bin/env python3
"""Runs a program on a guest, as if it ran here: its standard input and outputs, how it ends, and its end when this ends.

    on.py FOLDER NUMBER [--job NAME] -- PROGRAM ARGUMENT...
"""
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import uuid

GONE = 255


class Guest:
    def __init__(self, folder, number):
        self.folder, self.number = folder, number
        with open(f"{folder}/guest-{number}.json", encoding="utf-8") as file:
            self.description = json.load(file)

    def boots(self):
        """How often it has come up."""
        try:
            with open(f"{self.folder}/guest-{self.number}.boots", encoding="utf-8") as file:
                return len(file.readlines())
        except FileNotFoundError:
            return 0

    def call(self, **request):
        connection = socket.create_connection(("127.0.0.1", self.description["port"]))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(json.dumps({"token": self.description["token"], **request}).encode() + b"\n")
        return connection


def answers(connection, boots=None):
    """Pairs of a kind and data; ends when the guest does."""
    known = b""
    before = boots and boots()
    while True:
        # A machine that is switched off says nothing.
        if boots and not select.select([connection], [], [], 1)[0]:
            if boots() != before:
                return
            continue
        try:
            data = connection.recv(1 << 16)
        except OSError:
            return
        if not data:
            return
        known += data
        while len(known) >= 5 and len(known) >= 5 + (size := struct.unpack_from("<I", known, 1)[0]):
            yield known[:1], known[5:5 + size]
            known = known[5 + size:]


def forward_input(connection):
    try:
        while data := os.read(0, 1 << 16):
            connection.sendall(struct.pack("<I", len(data)) + data)
        connection.sendall(struct.pack("<I", 0))
    except OSError:
        pass  # there is none, or nobody who reads it


def end_as(status):
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def main():
    folder, number, *words = sys.argv[1:]
    job = uuid.uuid4().hex
    if words[0] == "--job":
        job, words = words[1], words[2:]
    guest = Guest(folder, number)
    connection = guest.call(job=job, words=words[1:], directory=os.getcwd())
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda how, _: guest.call(job=job, signal=how))
    # Reading may wait for ever, which ends with this process.
    threading.Thread(target=forward_input, args=(connection,), daemon=True).start()
    for kind, data in answers(connection, guest.boots):
        if kind == b"x":
            end_as(int(data))
        os.write({b"o": 1, b"e": 2}[kind], data)
    os.write(2, f"host {number} has gone\n".encode())
    end_as(GONE)


if __name__ == "__main__":
    main()
