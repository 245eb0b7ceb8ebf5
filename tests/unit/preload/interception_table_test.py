#!/usr/bin/env python3
"""Compares docs/interception.md with what libc exports, with what the preload library exports, and with the tests.

A symbol of libc that is neither in the table nor on the list of those that touch no descriptor, stream or process fails
this test: somebody has to look at it.
"""

import argparse
import fnmatch
import pathlib
import re
import subprocess
import sys

INTERCEPTED = ("accelerated", "stepped back")
WAYS = (*INTERCEPTED, "passed on")


OTHERS = "io_uring_"  # liburing's, for what libc has no function of its own


class Table:
    """The rows of the page: `ways` says what is done about a symbol, `tests` holds the patterns of its last column."""

    def __init__(self, path):
        self.ways, self.tests, self.faults = {}, {}, []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("| `"):
                self._add_row(f"{path.name}:{number}", [cell.strip() for cell in line.strip("| ").split("|")])

    def _add_row(self, where, cells):
        if len(cells) != 4 or cells[1] not in WAYS or not cells[2]:
            self.faults.append(f"{where}: a row has symbols, one of {WAYS}, a reason and tests")
            return
        tests = re.findall(r"`([^`]+)`", cells[3])
        if not tests:
            self.faults.append(f"{where}: no test")
        for test in tests:
            self.tests.setdefault(test, where)
        for symbol in re.findall(r"`([^`]+)`", cells[0]):
            if symbol in self.ways:
                self.faults.append(f"{where}: {symbol} is in the table already")
            self.ways[symbol] = cells[1]


def exports(library):
    """Names that programs can bind to; those of version GLIBC_PRIVATE are libc's among its own parts."""
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True, text=True, capture_output=True).stdout
    names = set()
    for line in out.splitlines():
        _, kind, name = line.split()
        if kind != "A" and not name.endswith("@GLIBC_PRIVATE"):
            names.add(name.partition("@")[0])
    return names


def words(path):
    return {line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")}


def compare_with_libc(table, untouched, libc):
    for name in sorted(libc - table.ways.keys() - untouched):
        yield f"libc exports {name}: put it into the table, or on the list of those that touch no descriptor"
    for name in sorted((table.ways.keys() | untouched) - libc):
        if name.startswith(OTHERS):
            continue
        yield f"{name} is listed, and libc does not export it"
    for name in sorted(table.ways.keys() & untouched):
        yield f"{name} is in the table and on the list"


def compare_with_library(table, library):
    wanted = {name for name, way in table.ways.items() if way in INTERCEPTED}
    for name in sorted(wanted - library):
        yield f"{name} is {table.ways[name]} in the table, and the preload library does not export it"
    for name in sorted(library - wanted):
        yield f"the preload library exports {name}, which is {table.ways.get(name, 'not')} in the table"


def compare_with_tests(table, cases):
    for pattern, where in table.tests.items():
        if not fnmatch.filter(cases, pattern):
            yield f"{where}: there is no case {pattern}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=pathlib.Path, required=True)
    parser.add_argument("--untouched", type=pathlib.Path, required=True)
    parser.add_argument("--libc", default="/lib/x86_64-linux-gnu/libc.so.6")
    parser.add_argument("--parity", required=True, help="the parity program, which lists its cases")
    parser.add_argument("--library", help="the preload library")
    arguments = parser.parse_args()
    table = Table(arguments.table)
    listing = subprocess.run([arguments.parity, "--list"], check=True, text=True, capture_output=True).stdout
    faults = table.faults
    faults += compare_with_libc(table, words(arguments.untouched), exports(arguments.libc))
    faults += compare_with_tests(table, [line.split()[0] for line in listing.splitlines()])
    if arguments.library:
        faults += compare_with_library(table, exports(arguments.library))
    for fault in faults:
        print(fault)
    counts = ", ".join(f"{sum(way == wanted for way in table.ways.values())} {wanted}" for wanted in WAYS)
    print(f"{len(table.ways)} symbols: {counts}; {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
