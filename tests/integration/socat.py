#!/usr/bin/env python3
"""socat: a stream one way into a file, an echo through a program, and a program that is given the connection itself."""

from harness import Failure, Workload, free_port, main, random_bytes, sha256_of_file

SIZE = 2 << 30


def source_file(run):
    source = run.folder / "source"
    source.write_bytes(random_bytes(SIZE // 16, 1) * 16)
    return source


def compare(run, source, target):
    if sha256_of_file(source) != sha256_of_file(target):
        raise Failure(f"{target.stat().st_size} bytes arrived, and not the right ones")
    return {"sum": sha256_of_file(target)}


def one_way(run):
    port, source, target = free_port(), source_file(run), run.folder / "target"
    with run.server(["socat", "-u", f"TCP-LISTEN:{port},bind=127.0.0.1", f"CREATE:{target}"], port, stops_itself=True):
        run.client(["socat", "-u", f"FILE:{source}", f"TCP:127.0.0.1:{port}"])
    return compare(run, source, target)


def echo_by(program):
    def run_it(run):
        port, source, target = free_port(), source_file(run), run.folder / "target"
        with run.server(["socat", f"TCP-LISTEN:{port},bind=127.0.0.1", program], port, stops_itself=True):
            run.client(["socat", "-t", "60", f"FILE:{source}!!CREATE:{target}", f"TCP:127.0.0.1:{port}"])
        return compare(run, source, target)
    return run_it


if __name__ == "__main__":
    main(Workload("socat", one_way, SIZE), Workload("socat-echo", echo_by("EXEC:cat"), 2 * SIZE),
         Workload("socat-nofork", echo_by("EXEC:cat,nofork"), SIZE, leaves_provider=True))
