"""Tapes for the store's tests: any bits, several instruments, several days, cut into blocks anyhow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from hypothesis import strategies as st

from tapebook.market.arrow import MISSING_VALUES
from tapebook.market.checks import pieces
from tapebook.market.events import EVENT, MISSING, Events, Kind, empty_events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Tape

INSTRUMENTS = {
    1: Instrument(symbol="ESH4", venue="CME", calendar="CME", tick_e9=250_000_000),
    2: Instrument(symbol="NQH4", venue="CME", calendar="CME", tick_e9=250_000_000),
    3: Instrument(symbol="BTC/USDT", venue="BINANCE", lot_e9=10_000),
    4: Instrument(symbol="ESH4", venue="CME", calendar="CME", tick_e9=250_000_000),  # the venue gave it a second id
}
DAY_NS = 86_400 * 1_000_000_000
START_NS = 1_703_600_000_000_000_000  # 2023-12-26 14:13:20 UTC


def tape_of(
    events: Events,
    name: str = "some.dbn",
    *,
    cuts: Sequence[int] = (),
    instruments: dict[int, Instrument] | None = None,
    schema: str = "mbo",
    truncated: str = "",
) -> Tape:
    """A tape that gives ``events`` in blocks cut at ``cuts``."""

    def read(_: int) -> Iterator[Events]:
        yield from (block for block in pieces(events, cuts) if block.size)
        tape.quarantine.truncated = truncated

    origin = Origin(name=name, format="dbn", schema=schema, venue="CME", details={"version": 3})
    tape = Tape(origin=origin, read=read, instruments=InstrumentTable(instruments or INSTRUMENTS))
    return tape


def trades(n: int, *, start_ns: int = START_NS, step_ns: int = 1_000_000_000, instrument_id: int = 1) -> Events:
    """Prints at an even pace, all different."""
    events = empty_events(n)
    events["kind"] = Kind.TRADE
    events["ts_event_ns"] = start_ns + np.arange(n) * step_ns
    events["ts_recv_ns"] = events["ts_event_ns"] + 1000
    events["price"] = 4_800_000_000_000 + np.arange(n) * 250_000_000
    events["qty_lots"] = 1 + np.arange(n) % 7
    events["sequence"] = np.arange(n)
    events["side"] = np.where(np.arange(n) % 2, 1, -1)
    events["instrument_id"] = instrument_id
    events["flags"] = 1
    return events


@st.composite
def wild_tapes(draw: st.DrawFn, *, events_max: int = 120) -> tuple[Events, list[int]]:
    """Events of every kind with any bits in any field, over a few days and instruments, and where to cut them."""
    n = draw(st.integers(1, events_max))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    events = np.frombuffer(rng.bytes(64 * n), EVENT).copy()
    events["kind"] = rng.choice([int(k) for k in Kind], n)
    events["instrument_id"] = rng.choice([1, 2, 3, 4, 99], n, p=rng.dirichlet(np.ones(5)))
    step = draw(st.sampled_from([1, 1_000_000_000, DAY_NS // 10]))
    jitter = draw(st.sampled_from([0, 1, 3])) * step
    events["ts_event_ns"] = START_NS + np.cumsum(rng.integers(0, step + 1, n)) + rng.integers(-jitter, jitter + 1, n)
    events["ts_recv_ns"] = events["ts_event_ns"] + rng.integers(0, 5_000, n)
    for name, constant in MISSING_VALUES.items():
        share = draw(st.sampled_from([0.0, 0.2, 1.0])) if name != "ts_event_ns" else draw(st.sampled_from([0.0, 0.1]))
        events[name][rng.random(n) < share] = constant
    assert MISSING_VALUES["ts_recv_ns"] == MISSING
    return events, draw(st.lists(st.integers(0, n), max_size=6))


def editions() -> tuple[Events, Events]:
    """A file as it was first, and grown: the newer one replaces two partitions, keeps one and adds two."""
    whole = trades(600, step_ns=DAY_NS // 200, instrument_id=3)
    first = whole[:350].copy()
    kept = trades(5, start_ns=START_NS - 3 * DAY_NS, instrument_id=3)
    return np.concatenate([kept, first]), whole
