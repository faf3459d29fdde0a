"""Tardis CSV: trades, quotes, book changes, book snapshots and derivative tickers, gzip or plain.

The header tells the type. Order and both times are kept as they stand: ``timestamp`` is the venue's (where a venue
gives none, Tardis repeats ``local_timestamp`` there), ``local_timestamp`` the arrival at Tardis.

====================  ============================================================================================
trades                TRADE; ``side`` is the taker's (``unknown``: none). A whole number as ``id`` is the sequence; on
                      venues that count one by one, Flag.GAP stands where ids are missing
quotes, book_ticker   QUOTE of the bid, QUOTE of the ask; an empty field is a side that is empty
incremental_book_L2   LEVEL, amount 0 where a level is gone. Where ``is_snapshot`` turns true the book starts anew:
                      CLEAR first, Flag.SNAPSHOT on all of it. A row that could not be read leaves Flag.GAP on the next
book_snapshot_N       LEVEL for what changed against the row before (:mod:`tapebook.venues.views`)
derivative_ticker     a Table: ``ts_event_ns``, ``ts_recv_ns``, ``symbol``, and the columns of the file as floats
liquidations          the same columns as trades: told by the file's name only, and a Table too (``side`` is the
                      liquidated position's order), so that no print is counted twice
====================  ============================================================================================

Rows of one instrument with the same ``local_timestamp`` came in one message: LAST stands on the last of them. A quote
and a snapshot row each stand alone.

Amounts are in the venue's contracts: for inverse ones that is money (BitMEX, Deribit) or contracts (COIN-M), as the
catalogue says.

Source: docs.tardis.dev, "Downloadable CSV files".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tapebook.market.catalog import canonical_venue, instrument_for
from tapebook.market.errors import UnsupportedSchema
from tapebook.market.events import Events
from tapebook.market.tape import Origin, Table, Tape
from tapebook.readers.fields import Repeats, note
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.rows import read_rows, refuse_if_nothing_read
from tapebook.readers.tardis_events import Changes, Maker, Quotes, Snapshots, Trades
from tapebook.readers.tardis_rows import CONSECUTIVE, KEYS, Whose, stamped
from tapebook.readers.tardis_tables import open_table

TRADES: Final = ("id", "side", "price", "amount")
QUOTES: Final = ("ask_amount", "ask_price", "bid_price", "bid_amount")
BOOK: Final = ("is_snapshot", "side", "price", "amount")


def sniff(head: Head) -> int:
    """Say how sure it is that a file is Tardis': its header starts with four columns that nobody else has."""
    return 100 if tuple(_names(head)[:4]) == KEYS else 0


def _names(head: Head) -> list[str]:
    return [name.strip().strip('"') for name in head.first_line.split(",")]


def schema_of(names: list[str], file: str) -> str:
    """Return Tardis' name of the type that has these columns.

    >>> schema_of([*KEYS, "id", "side", "price", "amount"], "coinbase_trades_2025-10-10_AVAX-USD.csv.gz")
    'trades'
    """
    rest = set(names[4:])
    if rest >= set(TRADES):
        return "liquidations" if "liquidations" in file else "trades"
    if rest >= set(QUOTES):
        return "book_ticker" if "book_ticker" in file else "quotes"
    if rest >= set(BOOK):
        return "incremental_book_L2"
    n = levels_of(names)
    if n:
        return f"book_snapshot_{n}"
    return "derivative_ticker" if "funding_rate" in rest or "open_interest" in rest else ""


def levels_of(names: list[str]) -> int:
    """Return how many whole levels a snapshot's header names."""
    n = 0
    while {f"{side}[{n}].{what}" for side in ("asks", "bids") for what in ("price", "amount")} <= set(names):
        n += 1
    return n


def open_tardis(path: Path, head: Head, options: ReadOptions) -> Tape | Table:
    """Open a file of any type."""
    names = _names(head)
    schema = schema_of(names, path.name) if sniff(head) else ""
    if not schema:
        raise UnsupportedSchema(
            "a Tardis file of a type that is not read",
            expected="trades, quotes, incremental_book_L2, book_snapshot_N, derivative_ticker or liquidations",
            found=f"columns {', '.join(names[:12])}"[:300],
            where=str(path),
            remedy="read it with polars",
        )
    first = (head.lines[1] if len(head.lines) > 1 else "").split(",")
    venue = canonical_venue(options.venue or first[0])
    details = {}
    if schema == "trades" and venue in CONSECUTIVE:
        details["sequence"] = "consecutive"
    origin = Origin(name=path.name, format=FORMAT.name, schema=schema, venue=venue, details=details)
    if schema in ("derivative_ticker", "liquidations"):
        return open_table(path, head, options, origin, names)
    tape = Tape(origin=origin, read=lambda _n: iter(()), quarantine=options.quarantine())
    if len(first) > 1 and options.symbol + first[1]:
        tape.instruments.add(instrument_for(options.symbol or first[1], venue, on_ns=first_ns(first)))
    member = head.members[0] if head.members else ""

    def read(_events_max: int) -> Iterator[Events]:
        whose = Whose(tape.instruments, options.symbol, canonical_venue(options.venue) if options.venue else "")
        make = maker_of(schema, names, tape)
        for name in unread(schema, names):
            note(tape.notes, f"column not read: {name}")
        repeats = Repeats(tape.notes)
        n_good = 0
        with open_stream(path, tape.progress, tape.quarantine, member=member) as stream:
            for rows in read_rows(
                stream,
                names,
                file=path.name,
                quarantine=tape.quarantine,
                encoding=head.encoding,
                notes=tape.notes,
            ):
                stamps = stamped(rows, whose, tape.quarantine)
                repeats.see(rows, stamps.ts_event_ns, stamps.ts_recv_ns)
                events = make.advance(rows, stamps, tape.quarantine)
                n_good += int(stamps.keep.sum())
                if events.size:
                    yield events
        events = make.finish()
        if events.size:
            yield events
        refuse_if_nothing_read(n_good, tape.quarantine, path.name)

    tape.read = read
    return tape


def unread(schema: str, names: list[str]) -> list[str]:
    """Return the columns that nothing reads: a new one of the vendor's, or a damaged header."""
    known = {*KEYS, *(TRADES if schema == "trades" else BOOK if schema == "incremental_book_L2" else QUOTES)}
    if schema.startswith("book_snapshot"):
        n = levels_of(names)
        known |= {f"{side}[{k}].{what}" for side in ("asks", "bids") for k in range(n) for what in ("price", "amount")}
    return [name for name in names if name not in known][:100]


def first_ns(fields: list[str]) -> int | None:
    """Return the time of a row, for contracts whose year has one digit."""
    return int(fields[2]) * 1000 if len(fields) > 2 and re.fullmatch(r"\d{16}", fields[2]) else None


def maker_of(schema: str, names: list[str], tape: Tape) -> Maker:
    """Return what makes events from the rows of a type."""
    if schema == "trades":
        return Trades(tape.notes, consecutive="sequence" in tape.origin.details)
    if schema == "incremental_book_L2":
        return Changes(tape.notes)
    if schema.startswith("book_snapshot"):
        return Snapshots(tape.notes, levels_of(names))
    return Quotes()


FORMAT = Format(
    name="tardis-csv",
    title="Tardis CSV: trades, quotes, book changes and snapshots, derivative tickers",
    sniff=sniff,
    open=open_tardis,
    example="binance-futures_trades_2020-02-22_BTCUSDT.csv.gz",
)
