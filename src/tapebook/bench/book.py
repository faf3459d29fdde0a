"""Books: events a second of the L2 ladder, the L3 book, the touch and ten-level rows, and one event live.

Tapes are recordings cut down to the records that change a book (prints and told-only records would flatter the figure)
and repeated, each repetition beginning with a CLEAR, to five million events that do not fit into a cache. Figures are
events in a second of processor time, the best of several runs: on a machine that does other things beside, wall time
measures those.

The peer is ``order-book`` (a C extension, prices and quantities in sorted maps), driven from a Python loop over lists
made before, as its users do. It is measured on a part of the tape. It finds its best price when asked; so the ladder,
which keeps it, is compared with it unasked (in the peer's favour), and the touch after each event with it asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapebook.book import BestBook, Ladder, OrderBook, Snapshots, Touch
from tapebook.market.events import MISSING, Events, Flag, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Operator
from tapebook.market.tape import BLOCK_EVENTS

__all__ = ["level_events", "level_rows", "run", "tapes", "tiled"]

_EVENTS: Final = 5_000_000
_PEER_EVENTS: Final = 200_000
_PEER_ASKED_EVENTS: Final = 20_000
_RUNS: Final = 3
_LIVE_RUNS: Final = 20_000

# What to measure on, by how the tape describes the book. Later ones stand in where there are no recordings.
_BY_LEVEL: Final = {
    "Binance spot, 2,400 levels a side": "binance/spot_btcusdt_20240808.gz",
    "Binance USD-M, 5,200 levels a side": "binance/usdm_btcusdt_20240808.gz",
    "LOBSTER AMZN, 5 levels": "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip",
}
_BY_ORDER: Final = {
    "ES by orders": "databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst",
    "LOBSTER AMZN by orders": "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip",
}
_SIMULATED: Final = {"a simulated BTC": "sim:btc?duration_s=600&seed=1"}


def run(data: Path | None) -> list[dict[str, Any]]:
    """Measure books on recordings below ``data``, or on a simulated market."""
    figures = []
    for what, tape, instrument in tapes(_BY_LEVEL, data):
        rows = level_rows(tape)
        followed = not np.any(tape["kind"] == Kind.MODIFY)  # else a ladder has to be told the levels
        events = tiled(tape if followed else level_events(rows, tape), _EVENTS)
        figures.append(_figure("book_l2", f"L2 ladder, best kept: {what}", _speed(Ladder, instrument, events), events))
        _beside(figures[-1], _peer(rows[:_PEER_EVENTS], asked=False))
        figures.append(
            _figure(
                "book_touch", f"best bid and ask after each event: {what}", _touch_speed(instrument, events), events
            )
        )
        _beside(figures[-1], _peer(rows[:_PEER_ASKED_EVENTS], asked=True))
    for what, tape, instrument in tapes(_BY_ORDER, data):
        events = tiled(tape, _EVENTS)
        figures.append(_figure("book_l3", f"L3 book: {what}", _speed(OrderBook, instrument, events), events))
        part = events[: _EVENTS // 4]  # its rows are ten times the size of its events
        speed = _rows_speed(instrument, part)
        figures.append(_figure("book_rows", f"L3 book, a row of 10 levels for each message: {what}", speed, part))
        figures += _live(what, instrument, tape)
    return figures


def tapes(files: dict[str, str], data: Path | None) -> Iterator[tuple[str, Events, Instrument]]:
    """Yield what there is: a description, the events that change a book, the instrument."""
    from tapebook.readers import open_tape
    from tapebook.simulator.spec import parse_spec

    found = {what: data / name for what, name in files.items() if data is not None and (data / name).exists()}
    opened = {what: open_tape(path) for what, path in found.items()}
    for what, tape in (opened or {what: parse_spec(spec) for what, spec in _SIMULATED.items()}).items():
        events = tape.events()
        book = (events["kind"] >= Kind.LEVEL) & (events["kind"] <= Kind.CLEAR) & ((events["flags"] & Flag.INFO) == 0)
        yield what, events[book], tape.instruments.only()


def tiled(tape: Events, events_min: int) -> Events:
    """Repeat a tape to at least ``events_min`` events, clearing the book before each repetition."""
    clear = empty_events(1)
    clear["kind"], clear["flags"], clear["instrument_id"] = Kind.CLEAR, Flag.LAST, tape["instrument_id"][0]
    return np.tile(np.concatenate([clear, tape]), -(-events_min // (tape.size + 1)))


def _seconds(step: Callable[[], object], runs: int = _RUNS) -> float:
    """Return the processor time of the fastest of several runs."""
    taken = []
    for _ in range(runs):
        start = time.process_time()
        step()
        taken.append(time.process_time() - start)
    return min(taken)


def _blocks(events: Events) -> list[Events]:
    return [events[i : i + BLOCK_EVENTS] for i in range(0, events.size, BLOCK_EVENTS)]


def _speed(book: type[Ladder | OrderBook], instrument: Instrument, events: Events) -> float:
    blocks = _blocks(events)

    def fold() -> None:
        made = book(tick_e9=instrument.tick_e9)
        for block in blocks:
            made.advance(block)

    book().advance(events[:10])  # compiled before the clock runs
    return events.size / _seconds(fold)


def _touch_speed(instrument: Instrument, events: Events) -> float:
    blocks = _blocks(events)
    instrument_id = int(events["instrument_id"][0])

    def fold() -> None:
        made = BestBook(instrument, instrument_id)
        for block in blocks:
            made.advance(block)

    BestBook(instrument, instrument_id).advance(events[:10])
    return events.size / _seconds(fold)


def _rows_speed(instrument: Instrument, events: Events) -> float:
    blocks = _blocks(events)
    instrument_id = int(events["instrument_id"][0])

    def fold() -> None:
        made = Snapshots(instrument, instrument_id)
        for block in blocks:
            made.advance(block)

    Snapshots(instrument, instrument_id).advance(events[:10])
    return events.size / _seconds(fold)


def _live(what: str, instrument: Instrument, tape: Events) -> list[dict[str, Any]]:
    """Advance message by message, as live: what one call costs in wall time (the caller waits for it)."""
    instrument_id = int(tape["instrument_id"][0])
    operators: dict[str, Operator] = {
        "best bid and ask": Touch(instrument, instrument_id),
        "10 levels": Snapshots(instrument, instrument_id),
    }
    figures = []
    for name, operator in operators.items():
        warm = max(tape.size - _LIVE_RUNS, 0)
        operator.advance(tape[:warm])
        taken = []
        for i in range(warm, tape.size):
            event = tape[i : i + 1]
            start = time.perf_counter_ns()
            operator.advance(event)
            taken.append(time.perf_counter_ns() - start)
        median, p99 = np.percentile(taken, [50, 99]).tolist()
        for figure, value in (("median", median), ("p99", p99)):
            row = _figure("book_live", f"one event live, {name}, {figure}: {what}", value / 1_000, tape[warm:])
            figures.append({**row, "unit": "µs"})
    return figures


def _figure(name: str, what: str, ours: float, events: Events) -> dict[str, Any]:
    empty: dict[str, Any] = {"peer": None, "peer_name": None, "ratio": None}
    return {"name": name, "what": what, "ours": ours, "unit": "events/s", "n_events": int(events.size), **empty}


def _beside(figure: dict[str, Any], peer: float | None) -> None:
    if peer is not None:
        figure["peer"] = peer
        figure["peer_name"] = f"order-book {version('order-book')}"
        figure["ratio"] = figure["ours"] / peer


def level_rows(tape: Events) -> list[tuple[int, int, int]]:
    """Return a tape's changes as sets of levels (side, price, quantity now): what the peer takes."""
    totals: dict[tuple[int, int], int] = {}
    resting: dict[int, tuple[int, int, int]] = {}
    rows: list[tuple[int, int, int]] = []

    def change(side: int, price: int, by: int) -> None:
        totals[side, price] = max(totals.get((side, price), 0) + by, 0)
        rows.append((side, price, totals[side, price]))

    columns = (tape[name].tolist() for name in ("kind", "side", "price", "qty_lots", "order_id"))
    for kind, side, price, qty, order_id in zip(*columns, strict=True):
        if kind == Kind.CLEAR or MISSING in (price, qty):
            continue
        if kind in (Kind.LEVEL, Kind.QUOTE):
            totals[side, price] = qty
            rows.append((side, price, qty))
        elif kind == Kind.MODIFY:
            if order_id in resting:
                old_side, old_price, old_qty = resting[order_id]
                change(old_side, old_price, -old_qty)
            change(side, price, qty)
            resting[order_id] = side, price, qty
        else:
            by = qty if kind == Kind.ADD else -qty
            change(side, price, by)
            left = by + (resting[order_id][2] if order_id in resting else 0)
            resting[order_id] = side, price, left
    return rows


def level_events(rows: list[tuple[int, int, int]], like: Events) -> Events:
    """Return sets of levels as events."""
    events = empty_events(len(rows))
    side, price, qty = np.array(rows, np.int64).T
    events["kind"], events["flags"], events["instrument_id"] = Kind.LEVEL, Flag.LAST, like["instrument_id"][0]
    events["side"], events["price"], events["qty_lots"] = side, price, qty
    return events


def _peer(rows: list[tuple[int, int, int]], *, asked: bool) -> float | None:
    """Return the peer's events a second, None where it is not installed."""
    try:
        version("order-book")
        from order_book import OrderBook as PeerBook
    except (PackageNotFoundError, ImportError):
        return None

    def plain() -> None:
        book = PeerBook()
        bids, asks = book.bids, book.asks
        for side, price, qty in rows:
            levels = bids if side > 0 else asks
            if qty:
                levels[price] = qty
            elif price in levels:
                del levels[price]

    def best_each_time() -> None:
        book = PeerBook()
        bids, asks = book.bids, book.asks
        for side, price, qty in rows:
            levels = bids if side > 0 else asks
            if qty:
                levels[price] = qty
            elif price in levels:
                del levels[price]
            if len(bids):
                bids.index(0)
            if len(asks):
                asks.index(0)

    return len(rows) / _seconds(best_each_time if asked else plain)
