#!/usr/bin/env python3
"""rsync over its daemon protocol: a tree there and back."""

import contextlib

from harness import SILENCE_S, Failure, Workload, free_port, main, random_bytes, sha256_of_file

SIZES = [0, 1, 700, 65_536, 1 << 20, 64 << 20]
#: The way back takes a while, so that one end alone knows that its peer is silent.
SLOW_KIB_S = (sum(SIZES) >> 10) // SILENCE_S


@contextlib.contextmanager
def rsync_daemon(run):
    port = free_port()
    for name in ("there", "back"):
        (run.folder / name).mkdir()
    configuration = run.folder / "rsyncd.conf"
    configuration.write_text(f"use chroot = no\nuid = root\ngid = root\nreverse lookup = no\n"
                             f"pid file = {run.folder}/rsyncd.pid\n"
                             f"[there]\npath = {run.folder}/there\nread only = no\n")
    with run.server(["rsync", "--daemon", "--no-detach", "--address", "127.0.0.1", "--port", port, "--config",
                     configuration], port):
        yield f"rsync://127.0.0.1:{port}/there/"


def tree(folder):
    return {str(path.relative_to(folder)): sha256_of_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def there_and_back(run):
    source = run.folder / "source"
    for number, size in enumerate(SIZES):
        (source / f"large-{number % 2}").mkdir(parents=True, exist_ok=True)
        (source / f"large-{number % 2}" / str(number)).write_bytes(random_bytes(size, number))
    for number in range(300):
        (source / "small").mkdir(exist_ok=True)
        (source / "small" / str(number)).write_bytes(random_bytes(number * 13, 1000 + number))
    with rsync_daemon(run) as url:
        run.client(["rsync", "--archive", "--whole-file", f"{source}/", url])
        run.client(["rsync", "--archive", "--whole-file", f"--bwlimit={SLOW_KIB_S}", url, f"{run.folder}/back/"])
    if not tree(source) == tree(run.folder / "there") == tree(run.folder / "back"):
        raise Failure("the tree came back changed")
    return {"tree": tree(run.folder / "back")}


if __name__ == "__main__":
    main(Workload("rsync", there_and_back, 128 << 20))
