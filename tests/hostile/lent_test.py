#!/usr/bin/env python3
"""A connection whose socket another program inherits goes back to TCP, and leaves it again once no such program holds it any more.

    lent_test.py --sansock SANSOCK --config CONFIG

Runs itself under sansock as a server and its client, which start a program in each way that there is, and reads the report.
"""
import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

LASTS_S = 1.5


def fork_and_exec():
    child = os.fork()
    if child == 0:
        os.execv("/bin/true", ["true"])
    os.waitpid(child, 0)


WAYS = {
    "system": lambda: os.system("true"),
    "posix_spawn": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0),
    "vfork": lambda: subprocess.run(["true"], close_fds=False, check=True),
    "popen": lambda: os.popen("true").close(),
    "fork and exec": fork_and_exec,
    "one that stays": lambda: os.system(f"sleep {LASTS_S} &"),
}


def stays():
    """A program that has the connection for a while."""
    return os.posix_spawn("/bin/sleep", ["sleep", str(LASTS_S)], os.environ)


def numbers_are_left_alone(end):
    """Whoever closes a descriptor and opens another is given the same number, while the helper looks at the processes, too."""
    os.close(0)
    program = stays()
    while os.waitpid(program, os.WNOHANG) == (0, 0):
        converse(end, 1)
        for _ in range(300):
            found = os.open("/dev/null", os.O_RDONLY)
            assert found == 0, f"was given {found}"
            os.close(found)


def wakes_of_helper():
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/status", encoding="utf-8") as lines:
            status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        if status["Name"].strip() == "sansock":
            return int(status["voluntary_ctxt_switches"])
    raise RuntimeError("there is no helper")


def helper_sleeps(end):
    """The calls meanwhile do not wake it."""
    program = stays()
    before = wakes_of_helper()
    converse(end, 500)
    wakes = wakes_of_helper() - before
    assert wakes < 100, f"{wakes} wakes in 500 round trips"
    os.waitpid(program, 0)


def sibling_is_slow(end):
    """A sibling has lent the connection, and the program that it starts is long in coming: its step back from another one takes time."""
    listener = socket.create_server(("127.0.0.1", 0))
    peer = os.fork()
    if peer == 0:
        end.close()
        try:
            echo(listener.getsockname())
        except ConnectionResetError:
            pass  # it gave no answer in time
        os._exit(0)
    other, _ = listener.accept()
    converse(other, 300)
    other.set_inheritable(True)
    assert end.fileno() < other.fileno(), "the one that is stepped back from first"
    sibling = os.fork()
    if sibling == 0:
        os.kill(peer, signal.SIGSTOP)
        program = os.posix_spawn("/bin/sh", ["sh", "-c", f"sleep 1; printf here >&{end.fileno()}; sleep .5"], os.environ)
        os.waitpid(program, 0)
        os._exit(0)
    while os.waitpid(sibling, os.WNOHANG) == (0, 0):
        try:
            end.sendall(b"x")
            while end.recv(1) != b"x":
                pass
        except OSError as error:
            os.kill(peer, signal.SIGKILL)
            raise error
        time.sleep(0.0005)
    os.kill(peer, signal.SIGCONT)
    other.close()
    os.waitpid(peer, 0)


def left_behind(leave):
    """Nobody of the lender's family is there any more; what its peer needs of it, it has left behind."""
    listener = socket.create_server(("127.0.0.1", 0))
    lender = os.fork()
    if lender == 0:
        end, _ = listener.accept()
        converse(end, 300)
        end.set_inheritable(True)
        fd = end.fileno()
        os.posix_spawn("/bin/sh", ["sh", "-c", f"sleep .3; echo greeting >&{fd}; cat <&{fd} >&{fd}"], os.environ)
        time.sleep(0.05)
        leave()
    end = socket.create_connection(listener.getsockname())
    listener.close()
    for _ in range(300):
        end.sendall(end.recv(1))
    end.settimeout(10)
    greeting = b"greeting\n"
    assert end.recv(len(greeting), socket.MSG_WAITALL) == greeting
    os.waitpid(lender, 0)
    end.sendall(b"for the program")
    end.shutdown(socket.SHUT_WR)
    answer = b""
    while more := end.recv(100):
        answer += more
    assert answer == b"for the program", answer


LEFT = {
    "left behind by an exit": lambda: left_behind(lambda: os._exit(0)),
    "left behind by a death": lambda: left_behind(lambda: os.kill(os.getpid(), signal.SIGKILL)),
}

# What has to hold while a connection is lent.
MEANWHILE = {f.__name__.replace("_", " "): f for f in (numbers_are_left_alone, helper_sleeps, sibling_is_slow)}


def converse(end, count):
    for _ in range(count):
        end.sendall(b"x")
        assert end.recv(1) == b"x"
        time.sleep(0.0005)


def echo(address):
    end = socket.create_connection(address)
    while byte := end.recv(1):
        end.sendall(byte)


def both_ends(way):
    """The program under sansock: a server, and a client in a child."""
    listener = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child == 0:
        echo(listener.getsockname())
        os._exit(0)
    end, _ = listener.accept()
    end.set_inheritable(True)
    converse(end, 300)
    if way in MEANWHILE:
        MEANWHILE[way](end)
        end.close()
        os.waitpid(child, 0)
        return
    WAYS[way]()
    # It comes back a few hundredths of a second later; from a program that lasts not before that, and then within as long again.
    deadline = time.monotonic() + (2 * LASTS_S if way == "one that stays" else 0) + 1
    while time.monotonic() < deadline:
        converse(end, 20)
    end.close()
    os.waitpid(child, 0)


def faults(way, records):
    ours = [r for r in records if r["upgrades"] > 1]
    if len(ours) != 2:
        yield f"{len(ours)} ends have left TCP twice"
    for record in ours:
        if record["path"] != "simulated" or record["step_backs"] != 1:
            yield f"{record['role']}: {record['path']}, {record['step_backs']} steps back"
        tcp, provider = record["bytes_sent"]["tcp"], record["bytes_sent"]["provider"]
        if way == "one that stays" and tcp < 500:
            yield f"{record['role']}: {tcp} bytes by TCP: it did not stay there while the program ran"
        if provider < 500:
            yield f"{record['role']}: {provider} bytes by the provider"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sansock", required=True)
    parser.add_argument("--config", required=True)
    arguments = parser.parse_args()
    failed = False
    for way in [*WAYS, *MEANWHILE, *LEFT]:
        with tempfile.TemporaryDirectory() as folder:
            report = os.path.join(folder, "report")
            command = [arguments.sansock, "run", "--config", arguments.config, "--report", report, "--", sys.executable, __file__, way]
            status = subprocess.run(command, timeout=60, check=False).returncode
            with open(report, encoding="utf-8") as lines:
                records = [json.loads(line) for line in lines]
        found = [*(faults(way, records) if way in WAYS else ())] if status == 0 else [f"ended with status {status}"]
        print(f"{way}: {'; '.join(found) or 'passed'}", flush=True)
        if found:
            failed = True
            print(*records, sep="\n")
    sys.exit(failed)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1] in LEFT:
        LEFT[sys.argv[1]]()
    elif len(sys.argv) == 2 and sys.argv[1] in [*WAYS, *MEANWHILE]:
        both_ends(sys.argv[1])
    else:
        main()
