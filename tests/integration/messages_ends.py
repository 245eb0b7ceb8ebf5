"""The two ends of the conversations of messages.py: ordinary programs, which say on their standard output what they saw."""

import os
import random
import select
import selectors
import signal
import socket
import statistics
import struct
import sys
import threading
import time

ROUNDS = 100
BULK = 3_000_000
KEPT = 150_000
CONNECTIONS = 12
WAKES = 40
IN_TIME_S = 0.015  # as a median; who is woken by a look of the helper's waits for 20 ms and more


def content(name, size):
    return random.Random(name).randbytes(size)


def receive(end, size):
    parts = []
    while size > 0:
        part = end.recv(min(size, 1 << 18))
        if not part:
            raise SystemExit(f"the stream ends {size} bytes early")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def same(what, got, wanted):
    if got != wanted:
        raise SystemExit(f"{what} differs")
    print(what, len(got))


def warm(end, is_client):
    """Small messages both ways until the connection has moved; the client answers the shortest round trip of the last ones."""
    shortest = 1.0
    for number in range(ROUNDS):
        begun = time.monotonic()
        if is_client:
            end.sendall(b"%064d" % number)
        if receive(end, 64) != b"%064d" % number:
            raise SystemExit("an echo differs")
        if not is_client:
            end.sendall(b"%064d" % number)
        if number >= ROUNDS - 10:
            shortest = min(shortest, time.monotonic() - begun)
        if is_client:
            time.sleep(0.002)
    return shortest


def talk(end, is_client):
    shortest = warm(end, is_client)
    names = ("client", "server") if is_client else ("server", "client")
    sender = threading.Thread(target=lambda: end.sendall(content(names[0], BULK)))
    sender.start()
    same(f"bulk of the {names[1]}", receive(end, BULK), content(names[1], BULK))
    sender.join()
    if is_client:
        end.shutdown(socket.SHUT_WR)
        same("what follows a half-close", receive(end, 4), b"last")
        same("the end", end.recv(10), b"")
        print(f"round trip {shortest * 1e6:.0f} us", file=sys.stderr)
    else:
        same("the end", end.recv(10), b"")
        end.sendall(b"last")


def death(end, is_client):
    """The sender is killed when the kernel, or we, have taken everything: the receiver gets all of it."""
    warm(end, is_client)
    if is_client:
        end.sendall(content("kept", KEPT))
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)
    same("what a dead sender left", receive(end, KEPT), content("kept", KEPT))
    same("the end", end.recv(10), b"")


def fork(end, is_client):
    """The child goes on with the connection, the parent lets go of it."""
    warm(end, is_client)
    if not is_client:
        same("of the child", receive(end, 100_000), content("child", 100_000))
        end.sendall(content("answer", 100_000))
        return
    child = os.fork()
    if child == 0:
        end.sendall(content("child", 100_000))
        same("of the server", receive(end, 100_000), content("answer", 100_000))
        same("the end", end.recv(10), b"")
        sys.stdout.flush()
        os._exit(0)
    end.close()
    print("child", os.waitpid(child, 0)[1])


def idle(end, is_client):
    """Nobody does anything for a second, and that costs nothing."""
    warm(end, is_client)
    time.sleep(0.2)
    before = time.process_time()
    time.sleep(1)
    used = time.process_time() - before
    print("idle" if used < 0.005 else f"idle took {used * 1e3:.1f} ms of processor time")
    warm(end, is_client)


def by_poll(end):
    waits = select.poll()
    waits.register(end, select.POLLIN)
    return lambda: waits.poll(10_000)


def by_epoll(end):
    waits = select.epoll()
    waits.register(end, select.EPOLLIN)
    return lambda: waits.poll(10)


def ways(end, is_client):
    """Whoever waits is woken when something comes, whichever way it waits, and whichever way it, or another one, has waited before."""
    def told(since):
        return time.monotonic() - struct.unpack("=d", since)[0]

    def in_call(end):
        return lambda: told(receive(end, 8))

    def alone(prepare):
        def prepared(end):
            wait = prepare(end)
            return lambda: told(receive(end, 8)) if wait() else 10
        return prepared

    def beside(prepare):
        """One thread blocks in the call and another one, a little later, in another way; the message stays until both have seen it."""
        def prepared(end):
            wait, seen = prepare(end), []

            def block():
                end.recv(1, socket.MSG_PEEK)
                seen.append(time.monotonic())

            def both():
                seen.clear()
                blocked = threading.Thread(target=block)
                blocked.start()
                time.sleep(0.001)
                woken = wait()
                seen.append(time.monotonic())
                blocked.join()
                return max(seen) - struct.unpack("=d", receive(end, 8))[0] if woken else 10
            return both
        return prepared

    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    warm(end, is_client)
    for name, prepare in {"a call": in_call, "poll": alone(by_poll), "poll beside a call": beside(by_poll), "epoll": alone(by_epoll),
                          "epoll beside a call": beside(by_epoll), "a call again": in_call}.items():
        if is_client:
            for _ in range(WAKES):
                for _ in range(3):
                    end.sendall(receive(end, 8))
                time.sleep(0.005)
                end.sendall(struct.pack("=d", time.monotonic()))
        else:
            wait, delays = prepare(end), []
            for _ in range(WAKES):
                for _ in range(3):  # a thread that blocks in its calls
                    end.sendall(b"question")
                    receive(end, 8)
                delays.append(wait())
            delay = statistics.median(delays)
            print(name, "in time" if delay < IN_TIME_S else f"after {delay * 1e3:.1f} ms")


def serve_many(listener):
    """An echo server that never blocks, until every connection has ended."""
    events = selectors.DefaultSelector()
    listener.setblocking(False)
    events.register(listener, selectors.EVENT_READ, None)
    pending, ended = {}, 0
    while ended < CONNECTIONS:
        for key, ready in events.select():
            if key.fileobj is listener:
                end, _ = listener.accept()
                end.setblocking(False)
                pending[end] = b""
                events.register(end, selectors.EVENT_READ)
                continue
            end = key.fileobj
            if ready & selectors.EVENT_READ and len(pending[end]) < 100_000:
                got = end.recv(50_000)
                if not got:
                    events.unregister(end)
                    end.close()
                    ended += 1
                    continue
                pending[end] += got
            if pending[end]:
                try:
                    pending[end] = pending[end][end.send(pending[end]):]
                except BlockingIOError:
                    pass
            wanted = (selectors.EVENT_READ if len(pending[end]) < 100_000 else 0) | (selectors.EVENT_WRITE if pending[end] else 0)
            events.modify(end, wanted)


def ask_one(port, number):
    with socket.create_connection(("127.0.0.1", port)) as end:
        pieces = random.Random(number)
        for round_ in range(80):  # the most of which goes by the provider, on a slow machine, too
            message = pieces.randbytes(pieces.choice([1, 100, 5_000, 70_000]))
            sender = threading.Thread(target=end.sendall, args=(message,))
            sender.start()
            if receive(end, len(message)) != message:
                raise SystemExit(f"echo {round_} of connection {number} differs")
            sender.join()


def ask_many(port):
    failures = []

    def ask(number):
        try:
            ask_one(port, number)
        except BaseException as failure:  # pylint: disable=broad-except
            failures.append(f"connection {number}: {failure!r}")
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("echoes", CONNECTIONS, *failures)


def main():
    role, conversation, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if role == "client":
        if conversation == "many":
            return ask_many(port)
        with socket.create_connection(("127.0.0.1", port)) as end:
            return globals()[conversation](end, True)
    with socket.create_server(("127.0.0.1", port)) as listener:
        if conversation == "many":
            return serve_many(listener)
        end, _ = listener.accept()
        with end:
            return globals()[conversation](end, False)


main()
