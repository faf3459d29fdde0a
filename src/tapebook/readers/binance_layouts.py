"""How Binance's dumps are laid out: which columns each type has, with and without a header, and whose file it is.

The rules and their source stand in :mod:`tapebook.readers.binance_dump`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.quarantine import Quarantine
from tapebook.readers.columns import BAD, OK, fixed_point, plausible
from tapebook.readers.files import Head
from tapebook.readers.rows import Rows
from tapebook.venues.binance.messages import epoch_ns

UNKNOWN: Final = "UNKNOWN"
"""Symbol of a dump whose name does not tell it."""

_NUMBER = r"-?\d+(?:\.\d*)?(?:[eE]-?\d+)?"
_STAMP = r"\d{13}(?:\d{3})?"
_TRUTH = r"(?:[Tt]rue|[Ff]alse|TRUE|FALSE)"


@dataclass(frozen=True)
class Layout:
    """The columns of a type, and what rows without a header look like."""

    schema: str
    columns: tuple[str, ...]
    shape: re.Pattern[str]
    needed: frozenset[str]  # of a header: without these it is another type


def _layout(schema: str, columns: str, shape: str, needed: str) -> Layout:
    return Layout(schema, tuple(columns.split()), re.compile(shape), frozenset(needed.split()))


LAYOUTS: Final = (
    _layout(
        "trades",
        "id price qty quote_qty time is_buyer_maker is_best_match",
        rf"\d+(?:,{_NUMBER}){{3}},{_STAMP},{_TRUTH}(?:,{_TRUTH})?",
        "id price qty time is_buyer_maker",
    ),
    _layout(
        "aggTrades",
        "id price qty first_id last_id time is_buyer_maker is_best_match",
        rf"\d+(?:,{_NUMBER}){{2}},\d+,\d+,{_STAMP},{_TRUTH}(?:,{_TRUTH})?",
        "agg_trade_id price qty time is_buyer_maker",
    ),
    _layout(
        "bookTicker",
        "update_id best_bid_price best_bid_qty best_ask_price best_ask_qty transaction_time event_time",
        rf"\d+(?:,{_NUMBER}){{4}},{_STAMP},{_STAMP}",
        "update_id best_bid_price best_bid_qty best_ask_price best_ask_qty transaction_time",
    ),
    _layout("bookDepth", "timestamp percentage depth notional", "(?!)", "timestamp percentage depth notional"),
    _layout(
        "klines",
        "open_time open high low close volume close_time quote_volume count"
        " taker_buy_volume taker_buy_quote_volume ignore",
        rf"{_STAMP}(?:,{_NUMBER}){{5}},{_STAMP},{_NUMBER},\d+(?:,{_NUMBER}){{3}}",
        "open_time open high low close volume close_time",
    ),
    _layout("metrics", "create_time symbol sum_open_interest", "(?!)", "create_time symbol sum_open_interest"),
)

_SAME: Final = {  # spellings that headers have used for one thing
    "quantity": "qty",
    "transact_time": "time",
    "first_trade_id": "first_id",
    "last_trade_id": "last_id",
    "base_qty": "quote_qty",
    "quote_asset_volume": "quote_volume",
    "number_of_trades": "count",
    "taker_buy_base_asset_volume": "taker_buy_volume",
    "taker_buy_quote_asset_volume": "taker_buy_quote_volume",
}
_FILE = re.compile(
    r"([A-Z0-9]+(?:_[A-Z0-9]+)?)-(trades|aggTrades|bookTicker|bookDepth|metrics|\d+(?:s|m|h|d|w|mo))-\d{4}"
)
_COIN_M = re.compile(r"USD_(?:PERP|\d{6})$")


def header_of(head: Head) -> list[str]:
    """Return the column names in the words of this module, or nothing where the file has no header."""
    names = [name.strip().strip('"').lower() for name in head.first_line.split(",")]
    return [_SAME.get(name, name) for name in names] if names[0][:1].isalpha() else []


def layout_of(head: Head) -> Layout | None:
    """Return the type of a dump, or None."""
    names = header_of(head)
    if names:
        return next((layout for layout in LAYOUTS if layout.needed <= set(names)), None)
    rows = [line for line in head.lines[:20] if line.strip()]
    fitting = [(sum(bool(layout.shape.fullmatch(row.strip())) for row in rows), layout) for layout in LAYOUTS]
    n, best = max(fitting, key=lambda pair: pair[0])
    return best if 2 * n > len(rows) else None


def named(path: Path, head: Head) -> re.Match[str] | None:
    """Return what the name says: of the member of the zip, or of the file."""
    return next((m for name in (*head.members, path.name) if (m := _FILE.search(name))), None)


def venue_of(layout: Layout, path: Path, head: Head, symbol: str) -> tuple[str, bool]:
    """Return the venue of a dump, and whether it had to be assumed."""
    parts = {part.lower() for part in path.parts[:-1]}
    if "spot" in parts:
        return "BINANCE", False
    if _COIN_M.search(symbol) or "cm" in parts:
        return "BINANCE-COINM", False
    if "um" in parts or layout.schema in ("bookTicker", "bookDepth", "metrics"):
        return "BINANCE-USDM", False
    if layout.schema == "klines":
        return ("BINANCE-USDM", True) if header_of(head) else ("BINANCE", True)
    row = next((line for line in head.lines[1 if header_of(head) else 0 :] if line.strip()), "")
    return ("BINANCE" if row.count(",") + 1 == len(layout.columns) else "BINANCE-USDM"), False


def times(rows: Rows, name: str, quarantine: Quarantine, keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Read a column of Binance's stamps as ns; rows where it is none are quarantined."""
    value, ok = fixed_point(rows[name], 0)
    ns = epoch_ns(np.where(ok == OK, value, 0))
    ok[(ok == OK) & ~plausible(ns)] = BAD
    rows.require(quarantine, keep, ok, name)
    return ns


def first_ns(head: Head, layout: Layout) -> int | None:
    """Return the time of the first row, for contracts whose year has one digit."""
    name = {"bookTicker": "transaction_time"}.get(layout.schema, "time")
    for line in head.lines[1 if header_of(head) else 0 :][:20]:
        fields = line.split(",")
        names = header_of(head) or list(layout.columns)
        if name in names and names.index(name) < len(fields) and fields[names.index(name)].isdigit():
            stamp = int(fields[names.index(name)])
            return int(epoch_ns(np.array([stamp if stamp < 10**17 else 0]))[0])
    return None
