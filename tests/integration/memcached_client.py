#!/usr/bin/env python3
"""Stores values of many sizes in memcached over several connections, reads them back and prints their checksums."""

import hashlib
import random
import socket
import sys
import threading
import time

CONNECTIONS = 4
KEYS = 6_000
VALUE_MAX = 4_000
ANSWER_TIMEOUT_S = 60
PAUSE_S = float(sys.argv[2])  # between storing and fetching


def value(connection, key):
    source = random.Random(connection * KEYS + key)
    return source.randbytes(source.randrange(VALUE_MAX))


def store(stream, connection):
    for key in range(KEYS):
        data = value(connection, key)
        stream.write(b"set %d:%d %d 0 %d\r\n" % (connection, key, key, len(data)) + data + b"\r\n")
        stream.flush()
        answer = stream.readline()
        if answer != b"STORED\r\n":
            sys.exit(f"memcached says {answer!r}")


def fetch(stream, connection, digest):
    for key in range(KEYS):
        stream.write(b"get %d:%d\r\n" % (connection, key))
        stream.flush()
        _, _, flags, size = stream.readline().split()
        data = stream.read(int(size))
        if data != value(connection, key) or int(flags) != key or stream.read(2) + stream.readline() != b"\r\nEND\r\n":
            sys.exit(f"key {connection}:{key} came back changed")
        digest.update(data)


def talk(port, connection, digests):
    digest = hashlib.sha256()
    with socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT_S) as client, client.makefile("rwb") as stream:
        store(stream, connection)
        time.sleep(PAUSE_S)
        fetch(stream, connection, digest)
    digests[connection] = digest.hexdigest()


def main():
    digests = {}
    threads = [threading.Thread(target=talk, args=(int(sys.argv[1]), connection, digests))
               for connection in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(digests) != CONNECTIONS:
        sys.exit("a connection failed")
    for connection, digest in sorted(digests.items()):
        print(connection, digest)


if __name__ == "__main__":
    main()
