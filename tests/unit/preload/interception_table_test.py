#!/usr/bin/env python3
"""Compares docs/interception.md with what libc exports, with what the preload library exports, and with the tests.

A symbol of libc that is neither in the table nor on the list of those that touch no descriptor, stream or process fails
this test: somebody has to look at it. So does one that no case of its row calls: the objects of the parity program say what
their sources refer to.
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


UNCALLED = "## Symbols that no case calls"
SUBJECT = re.compile(r'Subject cases{(?:\.name = )?"(\w+)"')


class Table:
    """The rows of the page: `ways` says what is done about a symbol, `tests` holds the patterns of its last column, `rows` has
    where a row is, its symbols and its patterns. `uncalled` are the symbols that no case can call."""

    def __init__(self, path):
        self.ways, self.tests, self.rows, self.uncalled, self.faults = {}, {}, [], set(), []
        section = ""
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("## "):
                section = line
            elif line.startswith("| `") and section == UNCALLED:
                symbols, reason = line.strip("| ").split("|")
                self.uncalled |= set(re.findall(r"`([^`]+)`", symbols))
                if not reason.strip():
                    self.faults.append(f"{path.name}:{number}: no reason why no case calls them")
            elif line.startswith("| `"):
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
        symbols = re.findall(r"`([^`]+)`", cells[0])
        self.rows.append((where, symbols, tests))
        for symbol in symbols:
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


def subjects_of(sources):
    """The names of the subjects that each source file of the parity program has, by the name of its object."""
    return {f"{path.name}.o": set(SUBJECT.findall(path.read_text())) for path in sources.glob("*.cpp")}


def referred_to(path):
    """What an object refers to and does not have itself, under the names that libc exports."""
    out = subprocess.run(["nm", "--undefined-only", path], check=True, text=True, capture_output=True).stdout
    return {line.split()[-1].partition("@")[0] for line in out.splitlines()}


def compare_with_calls(table, subjects, objects, cases):
    """Each symbol is referred to by an object that has a case of its row."""
    calls = {}
    for path in objects:
        names = referred_to(path)
        for subject in subjects.get(pathlib.Path(path).name, ()):
            calls.setdefault(subject, set()).update(names)
    for where, symbols, tests in table.rows:
        of_row = {case.partition(".")[0] for test in tests for case in fnmatch.filter(cases, test)}
        called = set().union(*(calls.get(subject, ()) for subject in of_row))
        for symbol in symbols:
            if symbol not in called and symbol not in table.uncalled:
                yield f"{where}: {symbol} is called by none of the cases of {', '.join(sorted(of_row))}"
    for symbol in sorted(table.uncalled):
        if symbol not in table.ways:
            yield f"{symbol} is said to be uncalled, and is not in the table"
        for subject in sorted(subject for subject, names in calls.items() if symbol in names):
            yield f"{symbol} is said to be uncalled, and is called by {subject}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=pathlib.Path, required=True)
    parser.add_argument("--untouched", type=pathlib.Path, required=True)
    parser.add_argument("--libc", default="/lib/x86_64-linux-gnu/libc.so.6")
    parser.add_argument("--parity", required=True, help="the parity program, which lists its cases")
    parser.add_argument("--sources", type=pathlib.Path, required=True, help="the folder of its sources")
    parser.add_argument("--objects", nargs="+", required=True, help="what the compiler made of them")
    parser.add_argument("--library", help="the preload library")
    arguments = parser.parse_args()
    table = Table(arguments.table)
    listing = subprocess.run([arguments.parity, "--list"], check=True, text=True, capture_output=True).stdout
    faults = table.faults
    faults += compare_with_libc(table, words(arguments.untouched), exports(arguments.libc))
    cases = [line.split()[0] for line in listing.splitlines()]
    faults += compare_with_tests(table, cases)
    faults += compare_with_calls(table, subjects_of(arguments.sources), arguments.objects, cases)
    if arguments.library:
        faults += compare_with_library(table, exports(arguments.library))
    for fault in faults:
        print(fault)
    counts = ", ".join(f"{sum(way == wanted for way in table.ways.values())} {wanted}" for wanted in WAYS)
    print(f"{len(table.ways)} symbols: {counts}; {len(table.uncalled)} uncalled; {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
