"""Import one day of one instrument, several times over: run several of these at once on one lake.

Usage: import_child.py LAKE NUMBER
"""

from __future__ import annotations

import sys

from tapebook.store import Lake
from tests.store.some_tapes import DAY_NS, START_NS, tape_of, trades


def main() -> None:
    number = int(sys.argv[2])
    for n in (200, 400, 400):  # a file that grows, and the same again
        events = trades(n, start_ns=START_NS + number * DAY_NS, step_ns=1_000_000, instrument_id=3)
        Lake(sys.argv[1]).ingest(tape_of(events, f"day-{number}.csv"))


if __name__ == "__main__":
    main()
