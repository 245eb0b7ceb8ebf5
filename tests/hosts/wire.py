#!/usr/bin/env python3
"""A wire of which each frame takes a time of its own and some are lost, as netem makes it where the kernel has that.

    wire.py ONE OTHER --delay SECONDS --jitter SECONDS --loss SHARE

Makes the network devices ONE and OTHER, which may be moved to other namespaces then, and carries between them what is sent, until it is ended.
"""
import argparse
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import time

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x2, 0x1000
FRAME_MAX = 65536
KEPT_MAX = 10_000  # beyond which a frame is lost, too


def device(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs=2)
    for option in ("--delay", "--jitter", "--loss"):
        parser.add_argument(option, type=float, required=True)
    options = parser.parse_args()
    one, other = map(device, options.names)
    print("there", flush=True)
    chance = random.Random(1)
    kept, order = [], itertools.count()
    while True:
        patience = max(kept[0][0] - time.monotonic(), 0) if kept else None
        for fd in select.select([one, other], [], [], patience)[0]:
            frame = os.read(fd, FRAME_MAX)
            if chance.random() >= options.loss and len(kept) < KEPT_MAX:
                due = time.monotonic() + options.delay + chance.uniform(-options.jitter, options.jitter)
                heapq.heappush(kept, (due, next(order), one if fd == other else other, frame))
        while kept and kept[0][0] <= time.monotonic():
            _, _, to, frame = heapq.heappop(kept)
            try:
                os.write(to, frame)
            except OSError:  # its device is down
                pass


if __name__ == "__main__":
    main()
