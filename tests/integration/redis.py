#!/usr/bin/env python3
"""redis-server with redis-benchmark and redis-cli."""

import contextlib

from harness import SILENCE_S, Failure, Workload, free_port, main, random_bytes, sha256

KEYS = 60_000
PAUSE_S = 0.2

#: Bytes of one request of redis-benchmark and of its answer, for the kinds that a connection carries too few bytes of.
#: The last one's answer is the list's length, in as many digits as it has.
REQUESTS = [("PING_INLINE", 6, 7), ("PING_MBULK", 14, 7), ("SET", 45, 5), ("GET", 36, 9), ("MSET", 335, 5), ("LPUSH", 36, None)]


def requests(connection):
    """A connection of redis-benchmark carries one kind of request, which its lengths tell."""
    sent, received = connection.sent["connect"], connection.received["connect"]
    return next((sent // request for _, request, answer in REQUESTS
                 if sent % request == 0 and (answer is None or sent // request * answer == received)), None)


@contextlib.contextmanager
def redis(run):
    port = free_port()
    with run.server(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                     "--enable-debug-command", "yes"], port):
        yield ["-h", "127.0.0.1", "-p", port]


def benchmark(run, arguments):
    with redis(run) as where:
        out = run.client(["redis-benchmark", *where, "--csv", *arguments]).decode()
    lines = out.splitlines()[1:]
    if not lines or any(float(line.split(",")[1].strip('"')) <= 0 for line in lines):
        raise Failure(f"redis-benchmark says {out}")
    return {"tests": [line.split(",")[0] for line in lines]}


def plain(run):
    return benchmark(run, ["-t", "ping,set,get", "-c", "50", "-n", "600000"])


def pipelined(run):
    return benchmark(run, ["-t", "set,get", "-P", "16", "-c", "50", "-n", "2000000"])


def mixed(run):
    return benchmark(run, ["-t", "set,get,lrange,mset", "-c", "20", "-n", "30000"])


def value(key):
    return random_bytes(1 + key * 7919 % 900, key).hex()


def contents(run):
    """Stores known values, reads them back, and lets the server say what it holds. Both programs first have time for a few small
    requests, or most would be in the kernel's buffers before their connections have moved. Later they wait for longer, so that one
    end alone knows that its peer is silent."""
    warm_up = b"PING\r\n" * 1000
    sets = b"".join(f"SET key:{key} {value(key)}\r\n".encode() for key in range(KEYS))
    gets = [f"GET key:{key}\n".encode() for key in range(KEYS)]
    with redis(run) as where:
        stored = run.client(["redis-cli", *where, "--pipe"], input=[warm_up, PAUSE_S, warm_up, PAUSE_S, warm_up, PAUSE_S, sets, SILENCE_S, warm_up]).decode().splitlines()[-1]
        read = run.client(["redis-cli", *where], input=[b"".join(gets[:20]), SILENCE_S, b"".join(gets[20:])])
        digest = run.client(["redis-cli", *where, "DEBUG", "DIGEST"]).decode()
    if read != b"".join(f"{value(key)}\n".encode() for key in range(KEYS)):
        raise Failure("redis-cli read other values than it had stored")
    return {"stored": stored, "values read": sha256(read), "digest of the server": digest}


if __name__ == "__main__":
    # redis-benchmark asks for the server's settings over a connection of its own, and redis-cli for the digest.
    main(Workload("redis", plain, 60 << 20, small=1, requests=requests),
         Workload("redis-pipelined", pipelined, 100 << 20, small=1, requests=requests),
         Workload("redis-mixed", mixed, 10 << 20, small=1, requests=requests),
         Workload("redis-contents", contents, 45 << 20, small=1))
