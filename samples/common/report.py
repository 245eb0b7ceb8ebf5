"""Reads what `sansock run --report FILE` wrote: one JSON object per connection per process."""

import collections
import dataclasses
import json

BYTE_PATHS = ("tcp", "provider")


@dataclasses.dataclass
class Totals:
    """Sums over the connections of one program."""

    connections: int = 0
    upgraded: int = 0
    sent: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    received: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    reasons: collections.Counter = dataclasses.field(default_factory=collections.Counter)


def read(path):
    """Answers the file's records; none when nothing was written."""
    if not path.exists():
        return []
    with path.open() as lines:
        return [json.loads(line) for line in lines]


def totals(records, program):
    """Every connection that both ends report appears twice; naming the program picks one end."""
    result = Totals()
    for record in records:
        if record["program"] != program:
            continue
        result.connections += 1
        result.upgraded += record["upgrades"] > 0
        if record["upgrades"] == 0:
            result.reasons[record["reason"] or "no reason given"] += 1
        for path in BYTE_PATHS:
            result.sent[path] += record["bytes_sent"][path]
            result.received[path] += record["bytes_received"][path]
    return result
