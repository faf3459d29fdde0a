"""The truth table: what was planted, when, where, and by which orders, so that detectors can be scored.

One row an episode, in order of its start:

==================  ====================================================================================================
episode             number of the episode as it was asked for, from 0
kind, side          as in :mod:`tapebook.simulator.episodes`
start_ns, end_ns    event time of its first and last act (a flash crash ends when it has recovered)
price_low, _high    lowest and highest price of its rows, 1e-9 units
first_sequence …    sequence numbers of its first and last message; other messages lie between
first_event …       the same as positions on the tape, counted from 0
n_events            rows that it made: its orders, their executions, its trades, cancels it caused
n_orders            its orders, aggressors included
order_ids           their ids
withdrawn_ids       ids of ordinary orders that were withdrawn for it (flash crash, evaporation, informed flow)
traded_lots         lots that its aggressors traded
filled_lots         lots of its resting orders that were executed
parameters          every number it was planted with, as JSON
meaning             one line for people
==================  ====================================================================================================

An episode that found no occasion (wash trades wait for an open spread) made no rows and is not in the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.market.events import EVENT, MISSING, Events, Kind
from tapebook.simulator.episodes import Episode

__all__ = ["TRUTH_SCHEMA", "Ledger"]

TRUTH_SCHEMA: Final = pa.schema(
    [
        pa.field("episode", pa.int32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("side", pa.int8(), nullable=False),
        pa.field("start_ns", pa.int64(), nullable=False),
        pa.field("end_ns", pa.int64(), nullable=False),
        pa.field("price_low", pa.int64(), nullable=False),
        pa.field("price_high", pa.int64(), nullable=False),
        pa.field("first_sequence", pa.int64(), nullable=False),
        pa.field("last_sequence", pa.int64(), nullable=False),
        pa.field("first_event", pa.int64(), nullable=False),
        pa.field("last_event", pa.int64(), nullable=False),
        pa.field("n_events", pa.int64(), nullable=False),
        pa.field("n_orders", pa.int64(), nullable=False),
        pa.field("order_ids", pa.list_(pa.uint64()), nullable=False),
        pa.field("withdrawn_ids", pa.list_(pa.uint64()), nullable=False),
        pa.field("traded_lots", pa.int64(), nullable=False),
        pa.field("filled_lots", pa.int64(), nullable=False),
        pa.field("parameters", pa.string(), nullable=False),
        pa.field("meaning", pa.string(), nullable=False),
    ]
)
"""Schema of the truth table."""

_OWN: Final = (Kind.ADD, Kind.TRADE)


class Ledger:
    """Collects the rows that episodes made while a session runs, and closes into the truth table."""

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self._episodes = tuple(episodes)
        self._rows: list[Events] = []
        self._tags: list[NDArray[np.int32]] = []
        self._places: list[NDArray[np.int64]] = []
        self._seen = 0

    def note(self, events: Events, tags: NDArray[np.int32]) -> None:
        """Take in the next page; a tag is 0 or an episode's number + 1."""
        places = np.flatnonzero(tags)
        if places.size:
            self._rows.append(events[places])
            self._tags.append(tags[places])
            self._places.append(places + self._seen)
        self._seen += events.size

    def close(self, records: NDArray[np.void]) -> pa.Table:
        """Return the truth table; ``records`` are the kernel's, which know how each script ended."""
        rows = np.concatenate(self._rows) if self._rows else np.empty(0, EVENT)
        tags = np.concatenate(self._tags) if self._tags else np.empty(0, np.int32)
        places = np.concatenate(self._places) if self._places else np.empty(0, np.int64)
        found = []
        for i, episode in enumerate(self._episodes):
            mine = tags == i + 1
            if mine.any():
                found.append(_row(i, episode, rows[mine], places[mine], records[i]))
        found.sort(key=lambda row: (row["start_ns"], row["episode"]))
        return pa.Table.from_pylist(found, schema=TRUTH_SCHEMA)


def _row(i: int, episode: Episode, rows: Events, places: NDArray[np.int64], record: np.void) -> dict[str, object]:
    price = rows["price"][rows["price"] != MISSING]
    ids = np.unique(rows["order_id"][np.isin(rows["kind"], _OWN)])
    gone = np.setdiff1d(rows["order_id"][rows["kind"] == Kind.CANCEL], ids)
    trades = rows[rows["kind"] == Kind.TRADE]
    return {
        "episode": i,
        "kind": episode.name,
        "side": episode.side,
        "start_ns": int(rows["ts_event_ns"][0]),
        "end_ns": max(int(record["ended_ns"]), int(rows["ts_event_ns"][-1])),
        "price_low": int(price.min()),
        "price_high": int(price.max()),
        "first_sequence": int(rows["sequence"][0]),
        "last_sequence": int(rows["sequence"][-1]),
        "first_event": int(places[0]),
        "last_event": int(places[-1]),
        "n_events": int(rows.size),
        "n_orders": int(ids.size),
        "order_ids": ids.tolist(),
        "withdrawn_ids": gone.tolist(),
        "traded_lots": int(trades["qty_lots"].sum()),
        "filled_lots": int(record["lots"]),
        "parameters": msgspec.json.encode(episode).decode(),
        "meaning": episode.meaning(),
    }
