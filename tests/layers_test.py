#!/usr/bin/env python3
"""Compares what the layers of framework/ include with the table of layers in docs/architecture.md.

The compiler cannot: all layers share one include directory. A layer may include itself, what its row of the table names behind `<-`,
and what those may include in turn. A row may name a single header of a layer (`socket/runtime.hpp`): then that one only.
"""

import argparse
import pathlib
import re
import sys

ROW = re.compile(r"framework/(\w+)\s")
INCLUDE = re.compile(r'\s*#\s*include\s*["<]([^">]+)[">]')
SOURCES = (".c", ".cpp", ".h", ".hpp")


def rows_of(page):
    """The table: for each layer, in the page's order, what its row names."""
    rows = {}
    for line in page.read_text().splitlines():
        if row := ROW.match(line):
            _, _, below = line.partition("<-")
            rows[row[1]] = [name.strip() for name in below.split(",") if name.strip()]
    return rows


def allowed_of(rows):
    """For each layer all that it may include: layers and single headers."""
    allowed = {}
    for layer, below in rows.items():  # from the bottom: what a row names has its row above
        allowed[layer] = {layer, *below}
        for name in below:
            allowed[layer] |= allowed.get(name, set())
    return allowed


def faults_of_table(page, rows, folders):
    seen = set()
    for layer, below in rows.items():
        for name in below:
            if name != "sdk" and name.partition("/")[0] not in rows:
                yield f"{page.name}: the row of {layer} names {name}, which is no layer"
            elif name != "sdk" and name.partition("/")[0] not in seen:
                yield f"{page.name}: the row of {layer} names {name}, which is not below it"
        seen.add(layer)
    for layer in sorted(folders - rows.keys()):
        yield f"{page.name}: framework/{layer} is not in the table"
    for layer in sorted(rows.keys() - folders):
        yield f"{page.name}: there is no folder framework/{layer}"


def layer_of(header, layers):
    """The layer that a header belongs to; None: libc's, the standard library's, or somebody else's."""
    first, _, rest = header.partition("/")
    if first in layers and rest:
        return first
    return "sdk" if header.startswith("sansock/sdk/") else None


def faults_of_sources(root, allowed):
    for layer, may in allowed.items():
        for file in sorted((root / "framework" / layer).rglob("*")):
            if file.suffix not in SOURCES:
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                include = INCLUDE.match(line)
                of = layer_of(include[1], allowed) if include else None
                if of is not None and of not in may and include[1] not in may:
                    yield (f'{file.relative_to(root)}:{number}: layer {layer} includes "{include[1]}" of layer {of}; '
                           f"it may include {', '.join(sorted(may))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent, help="the repository")
    root = parser.parse_args().root
    page = root / "docs" / "architecture.md"
    rows = rows_of(page)
    folders = {entry.name for entry in (root / "framework").iterdir() if entry.is_dir()}
    faults = [*faults_of_table(page, rows, folders), *faults_of_sources(root, allowed_of(rows))]
    for fault in faults:
        print(fault)
    print(f"{len(rows)} layers; {len(faults)} faults")
    sys.exit(1 if faults or not rows else 0)


if __name__ == "__main__":
    main()
