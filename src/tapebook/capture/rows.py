"""Events become rows of the captured tables, and rows become the same events again.

What goes where, and why nothing is lost on the way:

* ``trades``: TRADE, with aggressor, who says so, and the condition.
* ``quotes``: QUOTE of a quotes channel. The bid and the ask of one message share a row (``type`` 3) where they differ
  in nothing but price and size; a side alone has a row of its own (1 bid, 2 ask). A told side without a price is an
  empty side.
* ``market_depth``: everything else, ``type`` is the event's Kind: levels, orders, CLEAR, QUOTE of a depth channel
  (a new touch, part of the book), and whatever does not fit the other two (a trade without a price). ``orders`` of a
  STATUS is its Phase.

``row_index`` is the event's place in its frame, so rows of the three tables, sorted by (sequence, row_index), are the
events in their order. No column carries ``detail`` and ``side_source`` of book records: they have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tapebook.market.events import COUNT_MISSING, MISSING, Events, Flag, Kind, empty_events
from tapebook.store.batches import Rows
from tapebook.store.schema import TABLES, TableName, row_dtype

__all__ = ["DEPTH_CHANNEL", "from_rows", "to_rows"]

DEPTH_CHANNEL: Final = 1
"""The channel in which every venue's folder numbers its book; quotes in it are changes of the book."""

_QUOTE, _TRADE, _STATUS = int(Kind.QUOTE), int(Kind.TRADE), int(Kind.STATUS)
_LAST, _GAP = int(Flag.LAST), int(Flag.GAP)
_BID, _ASK, _BOTH = 1, 2, 3
Mask: TypeAlias = NDArray[np.bool_]


def to_rows(
    events: Events, sequence: NDArray[np.int64], row_index: NDArray[np.int64], contract_of: NDArray[np.int32]
) -> dict[TableName, Rows]:
    """Return the rows of events.

    Parameters
    ----------
    events
        In arrival order.
    sequence, row_index
        Of each event: the number of its frame, and its place in there.
    contract_of
        By ``instrument_id``: the index of its (contract_id, symbol).
    """
    kind = events["kind"]
    uncounted = events["count"] == COUNT_MISSING
    quotes = (kind == _QUOTE) & (events["channel"] != DEPTH_CHANNEL) & uncounted & (events["order_id"] == 0)
    trades = (kind == _TRADE) & uncounted & (events["price"] != MISSING)
    out: dict[TableName, Rows] = {}
    keys = sequence, row_index, contract_of
    out["quotes"] = _quotes(events, quotes, keys) if quotes.any() else np.zeros(0, row_dtype("quotes"))
    out["trades"] = rows = _head("trades", events, trades, keys)
    if rows.size:
        found = events[trades]
        rows["price"], rows["size"], rows["side"] = found["price"], found["qty_lots"], found["side"]
        rows["side_source"], rows["type"] = found["side_source"], found["detail"]
        rows["order_id"] = _order_ids(found)
    depth = ~(quotes | trades)
    out["market_depth"] = rows = _head("market_depth", events, depth, keys)
    if rows.size:
        found = events[depth]
        rows["price"], rows["size"] = found["price"], found["qty_lots"]
        rows["side"], rows["type"] = found["side"], found["kind"]
        count = found["count"].astype(np.int64)
        count[count == COUNT_MISSING] = MISSING
        rows["orders"] = np.where(found["kind"] == _STATUS, found["detail"], count)
        rows["order_id"] = _order_ids(found)
    return out


def from_rows(tables: Mapping[TableName, Rows], instrument_of: NDArray[np.uint32]) -> tuple[Events, NDArray[np.int64]]:
    """Return the events of rows, in their order, and the frame of each.

    Parameters
    ----------
    tables
        Rows of any order; a table may be missing.
    instrument_of
        By index of (contract_id, symbol): the ``instrument_id``.
    """
    parts: list[tuple[Events, NDArray[np.int64], NDArray[np.int64]]] = []
    for table in TABLES:
        rows = tables.get(table)
        if rows is None or not rows.size:
            continue
        if table == "quotes":
            bids, asks = rows[rows["type"] != _ASK], rows[rows["type"] != _BID]
            parts.append(_side(bids, "bid", instrument_of))
            parts.append(_side(asks, "ask", instrument_of))
            continue
        events = _events(rows, instrument_of)
        events["price"], events["qty_lots"], events["side"] = rows["price"], rows["size"], rows["side"]
        ids = rows["order_id"].copy()
        ids[ids == MISSING] = 0
        events["order_id"] = ids.view(np.uint64)
        if table == "trades":
            events["kind"], events["detail"], events["side_source"] = _TRADE, rows["type"], rows["side_source"]
        else:
            events["kind"] = rows["type"]
            status = rows["type"] == _STATUS
            count = np.where(status | (rows["orders"] == MISSING), COUNT_MISSING, rows["orders"])
            events["count"] = count
            events["detail"][status] = rows["orders"][status]
        parts.append((events, rows["sequence"], rows["row_index"].astype(np.int64)))
    if not parts:
        return empty_events(0), np.zeros(0, np.int64)
    events = np.concatenate([part[0] for part in parts])
    sequence = np.concatenate([part[1] for part in parts])
    order = np.lexsort((np.concatenate([part[2] for part in parts]), sequence))
    return events[order], sequence[order]


def _quotes(events: Events, quotes: Mask, keys: tuple[Any, Any, Any]) -> Rows:
    """Return the rows of quotes, bid and ask of one message in one."""
    pair = np.zeros(events.size, np.bool_)  # the bid of such a pair
    first, second = events[:-1], events[1:]
    flags = first["flags"]
    both = quotes[:-1] & quotes[1:] & (first["side"] == 1) & (second["side"] == -1)
    both &= (flags & _LAST == 0) & (second["flags"] == (flags & ~np.uint16(_GAP)) | _LAST)
    both &= keys[0][:-1] == keys[0][1:]
    for name in ("ts_event_ns", "ts_recv_ns", "sequence", "instrument_id", "channel"):
        both &= first[name] == second[name]
    pair[:-1] = both
    answered = np.zeros(events.size, np.bool_)  # the ask of such a pair: its row is the bid's
    answered[1:] = both
    rows = _head("quotes", events, quotes & ~answered, keys)
    found = np.flatnonzero(quotes & ~answered)
    joined = pair[found]
    bid = events["side"][found] == 1
    ask = ~bid
    rows["type"] = np.where(joined, _BOTH, np.where(bid, _BID, _ASK))
    price, size = events["price"][found], events["qty_lots"][found]
    other = np.minimum(found + 1, events.size - 1)
    rows["bid_price"], rows["bid_size"] = np.where(bid, price, MISSING), np.where(bid, size, MISSING)
    rows["ask_price"] = np.where(joined, events["price"][other], np.where(ask, price, MISSING))
    rows["ask_size"] = np.where(joined, events["qty_lots"][other], np.where(ask, size, MISSING))
    rows["last_price"] = rows["volume"] = MISSING
    rows["flags"] |= np.where(joined, _LAST, 0)
    return rows


def _side(
    rows: Rows, side: str, instrument_of: NDArray[np.uint32]
) -> tuple[Events, NDArray[np.int64], NDArray[np.int64]]:
    """Return one side of quotes."""
    events = _events(rows, instrument_of)
    events["kind"], events["side"] = _QUOTE, 1 if side == "bid" else -1
    events["price"], events["qty_lots"] = rows[f"{side}_price"], rows[f"{side}_size"]
    both = rows["type"] == _BOTH
    keep = ~np.uint16(_LAST if side == "bid" else _GAP)
    events["flags"] = np.where(both, events["flags"] & keep, events["flags"])
    index = rows["row_index"].astype(np.int64)
    return events, rows["sequence"], index + both if side == "ask" else index


def _head(table: TableName, events: Events, which: Mask, keys: tuple[Any, Any, Any]) -> Rows:
    """Return rows with the columns that all tables have."""
    sequence, row_index, contract_of = keys
    rows = np.zeros(int(np.count_nonzero(which)), row_dtype(table))
    if rows.size:
        found = events[which]
        rows["contract"] = contract_of[found["instrument_id"]]
        rows["sequence"], rows["row_index"] = sequence[which], row_index[which]
        rows["received_timestamp"], rows["exchange_timestamp"] = found["ts_recv_ns"], found["ts_event_ns"]
        rows["venue_sequence"], rows["channel"], rows["flags"] = found["sequence"], found["channel"], found["flags"]
    return rows


def _events(rows: Rows, instrument_of: NDArray[np.uint32]) -> Events:
    """Return events with the fields that all tables have."""
    events = empty_events(rows.size)
    events["instrument_id"] = instrument_of[rows["contract"]]
    events["ts_recv_ns"], events["ts_event_ns"] = rows["received_timestamp"], rows["exchange_timestamp"]
    events["sequence"], events["channel"], events["flags"] = rows["venue_sequence"], rows["channel"], rows["flags"]
    return events


def _order_ids(events: Events) -> NDArray[np.int64]:
    """Return ids of orders as a signed column holds them; none is MISSING."""
    ids = events["order_id"].astype(np.uint64).view(np.int64)
    return np.where(ids == 0, MISSING, ids)
