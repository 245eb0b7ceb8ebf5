#!/usr/bin/env python3
"""Draws what `sansock bench --json FILE` measured as SVG: latency.svg and throughput.svg.

usage: plot.py FILE DIRECTORY
"""

import json
import math
import pathlib
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 28, 48, 52
LABEL = 56  # what the name of a size takes
# Told apart by people who do not see red and green (Okabe and Ito), and by their marks.
SERIES = {"tcp": ("TCP loopback", "#d55e00"), "unix": ("Unix socket", "#0072b2"), "sansock": ("sansock", "#009e73")}


def short(number):
    for limit, unit in ((1 << 20, "Mi"), (1 << 10, "Ki")):
        if number >= limit:
            return f"{number // limit} {unit}B"
    return f"{number} B"


class Plot:
    """One figure by the size of the message, both axes logarithmic."""

    def __init__(self, title, unit, cases, figure):
        self.title, self.unit = title, unit
        self.sizes = sorted(int(case["number"]) for case in cases)
        by_size = {int(case["number"]): case["figures"][figure] for case in cases}
        self.series = {name: [by_size[size][name]["median"] for size in self.sizes] for name in SERIES}
        values = [value for line in self.series.values() for value in line if value > 0]
        self.low, self.high = (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))))

    def x(self, size):
        first, last = math.log2(self.sizes[0]), math.log2(self.sizes[-1])
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log2(size) - first) / max(last - first, 1)

    def y(self, value):
        share = (math.log10(value) - self.low) / max(self.high - self.low, 1)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    def axes(self):
        for power in range(self.low, self.high + 1):
            at = self.y(10.0**power)
            yield f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#ddd"/>'
            yield f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10**power if power >= 0 else 10.0**power:,}</text>'
        last = -LABEL
        for size in self.sizes:
            if self.x(size) - last < LABEL:
                continue  # it would run into the one before
            last = self.x(size)
            yield f'<text x="{last:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{short(size)}</text>'
        yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">size of a message</text>'
        middle = (TOP + HEIGHT - BOTTOM) / 2
        yield f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">{escape(self.unit)}</text>'

    def lines(self):
        for row, (name, (label, colour)) in enumerate(SERIES.items()):
            points = [(self.x(size), self.y(value)) for size, value in zip(self.sizes, self.series[name]) if value > 0]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
            for (x, y), value in zip(points, (v for v in self.series[name] if v > 0)):
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{escape(label)}: {value:.3g} {escape(self.unit)}</title></circle>'
            x = LEFT + 10 + 150 * row
            yield f'<line x1="{x}" y1="{TOP - 12}" x2="{x + 24}" y2="{TOP - 12}" stroke="{colour}" stroke-width="2.5"/>'
            yield f'<text x="{x + 30}" y="{TOP - 8}">{escape(label)}</text>'

    def svg(self):
        body = "\n".join((*self.axes(), *self.lines()))
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">\n'
                f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
                f'<text x="{LEFT}" y="20" font-size="15">{escape(self.title)}</text>\n{body}\n</svg>\n')


def main(file, directory):
    groups = {group["name"]: group for group in json.loads(pathlib.Path(file).read_text())["groups"]}
    plots = {
        "latency": ("Round trip of one message, median (less is better)", "µs", "p50"),
        "throughput": ("One stream in one direction (more is better)", "MB/s", "rate"),
    }
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    for name, (title, unit, figure) in plots.items():
        if name not in groups:
            sys.exit(f"{file}: it has no group {name}; measure without --only")
        (pathlib.Path(directory) / f"{name}.svg").write_text(Plot(title, unit, groups[name]["cases"], figure).svg())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
