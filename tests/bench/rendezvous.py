#!/usr/bin/env python3
"""What the rendezvous of two hosts takes: connections registered a second and their memory, look-ups a second and their time.

    rendezvous.py --bin DIRECTORY [--connections N]

The hosts are network namespaces on this machine, so this takes root, and all of it shares the machine's processors: the daemon that is asked, the
processes whose connections are registered, and who asks. Connections are real, between addresses of the host itself; each is registered by its
accepted end, with its socket as proof.
"""
import argparse
import contextlib
import multiprocessing
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "control"))
import harness  # noqa: E402
import hosts  # noqa: E402

OF_ADDRESS = 20_000  # connections between two addresses: one has about 28,000 ports for them
ASKED, ASKING = "10.77.0.2", "10.77.0.1"
WINDOW = 64


def percentiles(times):
    times = sorted(times)
    return f"p50 {statistics.median(times) * 1e6:.0f} us, p99 {times[len(times) * 99 // 100] * 1e6:.0f} us"


def hold(directory, number, count, made, go, pipe):
    """A process: makes its connections, registers them when told, and then hears who is asked for."""
    ends = []
    for first in range(0, count, OF_ADDRESS):
        here, there = f"10.99.{number}.{first // OF_ADDRESS + 1}", f"10.98.0.{number + 1}"
        with socket.create_server((here, 0), backlog=4096) as listener:
            for _ in range(min(OF_ADDRESS, count - first)):
                ends.append((socket.create_connection(listener.getsockname(), source_address=(there, 0)), listener.accept()[0]))
    process = hosts.Process(directory, f"holder{number}".encode())
    pipe.send([(end.getpeername(), end.getsockname()) for _, end in ends[:5000]])
    messages = [(process.registration(id_, end), end.fileno()) for id_, (_, end) in enumerate(ends)]
    made.wait()
    go.wait()
    for message, proof in messages:
        socket.send_fds(process.channel, [message], [proof])
    process.channel.settimeout(None)
    with contextlib.suppress(OSError):
        while process.channel.recv(4096):
            pass


def ask_in_turn(caller, pairs):
    times = []
    for pair in pairs:
        begun = time.perf_counter()
        outcome = caller.ask(*pair)["outcome"]
        times.append(time.perf_counter() - begun)
        assert outcome == hosts.HERE, outcome
    return times


def ask_many(certificates, network, pairs, seconds, results):
    """As many as there is time for, some at once on each connection."""
    with hosts.Caller(network, ASKED, certificates) as caller:
        batches = [b"".join(caller.question(*pair) for pair in pairs[at:at + WINDOW]) for at in range(0, len(pairs) - WINDOW + 1, WINDOW)]
        end, done, here = time.monotonic() + seconds, 0, 0
        while time.monotonic() < end:
            caller.socket.sendall(batches[done // WINDOW % len(batches)])
            here += sum(caller.answer()["outcome"] == hosts.HERE for _ in range(WINDOW))
            done += WINDOW
    results.put((done, here))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--connections", type=int, default=100_000)
    options = parser.parse_args()
    harness.bin_folder = options.bin
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    processes = max(4, -(-2 * options.connections // (min(descriptors, 200_000) - 1000)))
    each = options.connections // processes
    total = each * processes
    with contextlib.ExitStack() as ends:
        folder = pathlib.Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="sansock-rendezvous-")))
        folder.chmod(0o755)
        asking, asked = hosts.Host("asking", folder, ends), hosts.Host("asked", folder, ends)
        hosts.join(asking.network, asked.network, [f"{ASKING}/24"], [f"{ASKED}/24"])
        fleet = hosts.Fleet(folder, "fleet")
        asking.take(fleet.issue("asking", "asking", ASKING, *(f"10.98.0.{number + 1}" for number in range(processes))))
        asked.take(fleet.issue("asked", "asked", ASKED))
        with asked.inside():
            for subnet in ("10.98.0.0/16", "10.99.0.0/16"):
                subprocess.run(["ip", "route", "add", "local", subnet, "dev", "lo"], check=True)
            pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("10000 65000")
        asking.daemon()
        asked.daemon()

        made, go = multiprocessing.Barrier(processes + 1), multiprocessing.Event()
        pipes = []
        with asked.inside():
            for number in range(processes):
                pipe, theirs = multiprocessing.Pipe()
                process = multiprocessing.Process(target=hold, args=(str(asked.directory), number, each, made, go, theirs))
                process.start()
                ends.callback(process.join)
                ends.callback(process.kill)
                pipes.append(pipe)
        pairs = [pair for some in zip(*(pipe.recv() for pipe in pipes)) for pair in some]
        made.wait()
        before = asked.memory_kib()
        begun = time.monotonic()
        go.set()
        while asked.counts("connections") < total:
            time.sleep(0.02)
        took = time.monotonic() - begun
        grown = asked.memory_kib() - before
        print(f"registered {total:,} connections of {processes} processes in {took:.2f} s: {total / took:,.0f} a second")
        print(f"memory of the daemon: {before / 1024:.1f} MiB before, {grown * 1024 / total:.0f} bytes a registered connection")

        with hosts.Caller(asking, ASKED, asking.pki) as caller:
            ask_in_turn(caller, pairs[:200])
            print(f"a look-up by another daemon's connection: {percentiles(ask_in_turn(caller, pairs[200:5200]))}")
        for callers in (1, 4):
            results = multiprocessing.Queue()
            asks = [multiprocessing.Process(target=ask_many, args=(asking.pki, asking, pairs[number::callers], 3, results)) for number in range(callers)]
            for process in asks:
                process.start()
            outcomes = [results.get() for _ in asks]
            for process in asks:
                process.join()
            done, here = (sum(column) for column in zip(*outcomes))
            print(f"look-ups by {callers} connection{'s' if callers > 1 else ''}, {WINDOW} at once on each: {done / 3:,.0f} a second, {here / done:.1%} found")
        print(f"memory of the daemon after them: {asked.memory_kib() / 1024:.1f} MiB")

        near, far = hosts.connection(asking, asked, ASKED)
        asker, holder = asking.process(), asked.process()
        id_ = asker.register(near)
        holder.register(far)
        harness.wait_for("its registration", lambda: asked.counts("connections") == total + 1)
        heard = threading.Thread(target=lambda: [holder.hear(hosts.EXPECT) for _ in range(2100)])
        heard.start()
        times = []
        for _ in range(2100):
            begun = time.perf_counter()
            assert asker.look_up(id_)["status"] == hosts.HERE
            times.append(time.perf_counter() - begun)
        heard.join()
        print(f"a look-up from process to process's daemon and back: {percentiles(times[100:])}")
        for host in (asking, asked):
            host.running.end()


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("needs root, to make network namespaces")
    main()
