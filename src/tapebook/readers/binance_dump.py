"""Binance's public dumps (data.binance.vision): trades, tickers, bars and statistics, a CSV in a zip a day or month.

The files changed over the years: some have a header and some do not; their columns are told by the header, or by what
the first rows look like. Stamps are milliseconds, those of spot microseconds from 2025-01-01 on; their size tells
which.

===========  =====================================================================================================
trades       TRADE; ``sequence`` is the id, and Flag.GAP stands where ids are missing
aggTrades    TRADE, one for all matches of a taker order at one price; the same
bookTicker   QUOTE of the bid, QUOTE of the ask; ``ts_event_ns`` is the transaction time
bookDepth    a Table: what rests within each percentage of the mid. Not a book
klines       a Table of bars; ``ts_event_ns`` is the open time
metrics      a Table: open interest and ratios, every five minutes
===========  =====================================================================================================

There is no receive time in any of them. The buyer being the maker means that the aggressor sold.

A dump names neither its instrument nor its market inside. The name of the file tells the one
(``BTCUSDT-trades-2024-08-08.zip``; without such a name the symbol is ``UNKNOWN``, and ``details`` say so), its folder
as Binance arranges them the other (``futures/um/daily/trades``); ``--symbol`` and ``--venue`` overrule both. Without a
folder that says so, trades with ``isBestMatch`` are spot, symbols such as ``BTCUSD_PERP`` COIN-M, tickers, depth and
metrics USD-M; bars without a header are taken as spot, and ``details`` say that it was assumed.

Source: github.com/binance/binance-public-data.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from tapebook.market.catalog import canonical_venue, instrument_for
from tapebook.market.errors import UnknownFormat
from tapebook.market.events import MISSING, Events, Flag, Kind, Side, SideSource, empty_events
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Origin, Table, Tape
from tapebook.readers.binance_layouts import LAYOUTS, UNKNOWN, first_ns, header_of, layout_of, named, times, venue_of
from tapebook.readers.binance_tables import open_table
from tapebook.readers.columns import fixed_point
from tapebook.readers.fields import Repeats, lots, note, prices
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.rows import Rows, read_rows, refuse_if_nothing_read


def sniff(head: Head) -> int:
    """Say how sure it is that a file is a dump."""
    layout = layout_of(head)
    if layout is None:
        return 0
    return 100 if header_of(head) else 90


def open_dump(path: Path, head: Head, options: ReadOptions) -> Tape | Table:
    """Open a dump of any type."""
    layout = layout_of(head)
    if layout is None:
        raise UnknownFormat(
            "no dump of Binance that is known",
            expected=", ".join(known.schema for known in LAYOUTS),
            found=repr(head.first_line[:80]),
            where=str(path),
            remedy="check the format (--format)",
        )
    name = named(path, head)
    symbol = options.symbol or (name[1] if name else UNKNOWN)
    venue, assumed = venue_of(layout, path, head, symbol)
    if options.venue:
        venue, assumed = canonical_venue(options.venue), False
    details: dict[str, object] = {"venue": "assumed: neither the file nor its folder says"} if assumed else {}
    if symbol == UNKNOWN and layout.schema != "metrics":
        details["symbol"] = "not in the name of the file: give --symbol"
    if layout.schema in ("trades", "aggTrades"):
        details["sequence"] = "consecutive"
    schema = layout.schema
    if schema == "klines":
        schema = f"bars-{name[2]}" if name else "bars"
    origin = Origin(name=path.name, format=FORMAT.name, schema=schema, venue=venue, details=details)
    if layout.schema in ("bookDepth", "klines", "metrics"):
        return open_table(path, head, options, origin, layout.columns, header_of(head), symbol)
    tape = Tape(origin=origin, read=lambda _n: iter(()), quarantine=options.quarantine())
    instrument = instrument_for(symbol, venue, on_ns=first_ns(head, layout))
    who = tape.instruments.add(instrument)
    names = ["id" if name == "agg_trade_id" else name for name in header_of(head)]
    names = names or list(layout.columns[: head.first_line.count(",") + 1])
    member = head.members[0] if head.members else ""

    def read(_events_max: int) -> Iterator[Events]:
        n_good, last_id = 0, MISSING
        repeats = Repeats(tape.notes)
        with open_stream(path, tape.progress, tape.quarantine, member=member) as stream:
            for rows in read_rows(
                stream,
                names,
                file=path.name,
                quarantine=tape.quarantine,
                header_lines=1 if header_of(head) else 0,
                encoding=head.encoding,
                notes=tape.notes,
            ):
                make = _quotes if layout.schema == "bookTicker" else _trades
                events = make(rows, tape.quarantine, instrument.lot_e9)
                repeats.see(rows, fixed_point(rows[names[0]], 0)[0])
                if not events.size:
                    continue
                events["instrument_id"] = who
                if layout.schema != "bookTicker":
                    last_id = _mark_gaps(events, last_id, tape.notes)
                n_good += events.size
                yield events
        refuse_if_nothing_read(n_good, tape.quarantine, path.name)

    tape.read = read
    return tape


def _trades(rows: Rows, quarantine: Quarantine, lot_e9: int) -> Events:
    keep = np.ones(rows.n, np.bool_)
    ns = times(rows, "time", quarantine, keep)
    price = prices(rows, "price", quarantine, keep)
    qty = lots(rows, "qty", quarantine, keep, lot_e9)
    number, ok = fixed_point(rows["id"], 0)
    rows.require(quarantine, keep, ok, "id")
    truth = pc.binary_length(rows["is_buyer_maker"]).to_numpy(zero_copy_only=False) == 4
    word = pc.dictionary_encode(rows["is_buyer_maker"])
    known = np.array([v.lower() in (b"true", b"false") for v in word.dictionary.to_pylist()], np.bool_)
    bad = keep & ~known[word.indices.to_numpy()]
    if bad.any():
        rows.reject(quarantine, bad, "bad is_buyer_maker", expected="true or false", name="is_buyer_maker")
        keep &= ~bad
    events = empty_events(int(keep.sum()))
    events["kind"] = Kind.TRADE
    events["ts_event_ns"] = ns[keep]
    events["price"], events["qty_lots"], events["sequence"] = price[keep], qty[keep], number[keep]
    events["side"] = np.where(truth[keep], int(Side.SELL), int(Side.BUY))
    events["side_source"] = SideSource.VENUE
    events["flags"] = int(Flag.LAST)
    return events


def _quotes(rows: Rows, quarantine: Quarantine, lot_e9: int) -> Events:
    keep = np.ones(rows.n, np.bool_)
    ns = times(rows, "transaction_time", quarantine, keep)
    number, ok = fixed_point(rows["update_id"], 0)
    rows.require(quarantine, keep, ok, "update_id")
    price = [prices(rows, f"best_{side}_price", quarantine, keep) for side in ("bid", "ask")]
    qty = [lots(rows, f"best_{side}_qty", quarantine, keep, lot_e9) for side in ("bid", "ask")]
    events = empty_events(2 * int(keep.sum()))
    events["kind"] = Kind.QUOTE
    events["ts_event_ns"] = np.repeat(ns[keep], 2)
    events["sequence"] = np.repeat(number[keep], 2)
    for i, side in enumerate((Side.BID, Side.ASK)):
        empty = price[i] == 0
        events["side"][i::2] = side
        events["price"][i::2] = np.where(empty, MISSING, price[i])[keep]
        events["qty_lots"][i::2] = np.where(empty, MISSING, qty[i])[keep]
    events["flags"][1::2] = int(Flag.LAST)
    return events


def _mark_gaps(events: Events, last_id: int, notes: dict[str, int]) -> int:
    seen = events["sequence"]
    step = np.diff(seen, prepend=int(seen[0]) - 1 if last_id == MISSING else last_id)
    events["flags"][step > 1] |= np.uint16(Flag.GAP)
    note(notes, "trades missing by their ids", int((step[step > 1] - 1).sum()))
    note(notes, "trade ids that repeat or run backwards", int((step < 1).sum()))
    return int(seen[-1])


FORMAT = Format(
    name="binance-dump",
    title="Binance public dumps: trades, aggTrades, bookTicker, bookDepth, klines, metrics",
    sniff=sniff,
    open=open_dump,
    example="BTCUSDT-aggTrades-2024-08-08.zip",
)
