"""Random histories as events and as what the oracles read, and the reference vectors."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapebook.market.events import MISSING, Events, Flag, Kind, SideSource, empty_events
from tapebook.market.instruments import Instrument
from tests.conftest import ROOT
from tests.oracles.touches import Moment, Touch

UNIT = 1_000_000_000
PLAIN = Instrument(symbol="X", venue="Y", tick_e9=UNIT)
VECTORS = Path(os.environ.get("TAPEBOOK_VECTORS") or ROOT.parent / "shared" / "reference" / "vectors")


def vector(name: str) -> Any:
    path = VECTORS / "expected" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"reference vector {name} is not on this machine (set TAPEBOOK_VECTORS)")
    return json.loads(path.read_text())["expected"]


def vector_rows(name: str) -> list[list[int]]:
    path = VECTORS / "inputs" / name
    if not path.exists():
        pytest.skip(f"reference vector {name} is not on this machine (set TAPEBOOK_VECTORS)")
    rows = list(csv.reader(path.read_text().splitlines()))
    return [[int(x) for x in row] for row in rows if row[0].lstrip("-").isdigit()]


def random_history(seed: int, n: int, *, sessions: bool = False, holes: float = 0.05) -> tuple[Events, list[Moment]]:
    """``n`` moments as events of instrument 1: each a two-sided quote message, or a trade.

    A share ``holes`` of the quotes has an empty, locked or crossed side. With ``sessions`` a day passes now and then.
    """
    rng = np.random.default_rng(seed)
    records: list[tuple[Any, ...]] = []
    history: list[Moment] = []
    now: Touch = (None, 0, None, 0)
    t = 20_000 * 86_400 * UNIT + int(rng.integers(0, UNIT))
    bid = 100
    for _ in range(n):
        t += int(rng.choice([0, 1, 7, 250_000_000, 900_000_000], p=[0.15, 0.1, 0.1, 0.35, 0.3]))
        if sessions and rng.random() < 0.03:
            t += 86_400 * UNIT
        session = t // (86_400 * UNIT)
        if rng.random() < 0.4:
            price, qty = bid + int(rng.integers(-1, 4)), int(rng.integers(1, 9))
            side = int(rng.choice([1, -1, 0], p=[0.45, 0.45, 0.1]))
            source = SideSource.VENUE if side else SideSource.NONE
            records.append((t, Kind.TRADE, price * UNIT, qty, side, source, Flag.LAST))
            history.append(Moment(t, now, now, price * UNIT, qty, side, session))
            continue
        bid += int(rng.integers(-1, 2))
        width = int(rng.integers(1, 4))
        new: Touch = (bid * UNIT, int(rng.integers(1, 30)), (bid + width) * UNIT, int(rng.integers(1, 30)))
        if rng.random() < holes:
            hole = int(rng.integers(0, 3))
            new = [(None, 0, *new[2:]), (*new[:2], None, 0), (new[0], new[1], new[0], new[3])][hole]
        for s, (px, sz) in ((1, new[:2]), (-1, new[2:])):
            last = Flag.LAST if s == -1 else Flag(0)
            records.append(
                (t, Kind.QUOTE, MISSING if px is None else px, sz if px is not None else MISSING, s, 0, last)
            )
        # Between the two records of a message nothing can be observed: it is one moment.
        history.append(Moment(t, now, new, session=session))
        now = new
    events = empty_events(len(records))
    events["instrument_id"] = 1
    names = ("ts_event_ns", "kind", "price", "qty_lots", "side", "side_source", "flags")
    for name, column in zip(names, zip(*records, strict=True), strict=True):
        events[name] = column
    return events, history
