"""Events as text that loses nothing: exact decimals, times to the nanosecond, words for codes.

The columns, in this order, empty (CSV) or null (JSON) where the source gave nothing:

================  ====================================================================================================
ts_event ts_recv  ISO 8601, UTC, nine digits of a second
venue symbol      of the instrument
kind              ``trade level quote add cancel modify execute clear status``
side              ``buy`` / ``sell`` of a trade, ``bid`` / ``ask`` of a book record
price             in the quoted currency, exact
qty               in base units (contracts, shares, coins), exact
order_id          as the venue has it
count             orders at the level
sequence channel  the venue's
flags             names of :class:`~tapebook.market.events.Flag`, joined by ``|``
side_source       ``venue quote_rule lee_ready tick_rule bulk``
detail            of a trade ``hidden cross off_book derived``, of a status the phase
================  ====================================================================================================

Everything is done a column at a time in Arrow; no row passes through Python. 1.2 µs an event for CSV, 2 for JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tapebook.market.events import COUNT_MISSING, MISSING, PRICE_SCALE, Events, Flag, Kind, Phase, SideSource
from tapebook.market.events import TradeCondition as Condition
from tapebook.market.instruments import Instrument, InstrumentTable

__all__ = ["COLUMNS", "QUOTED", "csv_lines", "decimal_text", "event_columns", "iso_text", "json_lines"]

COLUMNS: Final = (
    "ts_event",
    "ts_recv",
    "venue",
    "symbol",
    "kind",
    "side",
    "price",
    "qty",
    "order_id",
    "count",
    "sequence",
    "channel",
    "flags",
    "side_source",
    "detail",
)

QUOTED: Final = frozenset(COLUMNS) - {"count", "sequence", "channel"}
"""Columns that are JSON strings. Prices too: a JSON number becomes a float in most programs; so do order ids."""


def event_columns(events: Events, instruments: InstrumentTable) -> list[pa.Array]:
    """Return the columns of :data:`COLUMNS` as text."""
    known = {int(i): instruments.get(int(i)) for i in np.unique(events["instrument_id"])}
    kind = events["kind"]
    trade = kind == Kind.TRADE
    detail = np.where(trade | (kind == Kind.STATUS), events["detail"].astype(np.int64) + 1000 * trade, -1)
    side = events["side"].astype(np.int64) + 1000 * trade
    return [
        iso_text(events["ts_event_ns"]),
        iso_text(events["ts_recv_ns"]),
        _words(events["instrument_id"], lambda i: _of(known[i], "venue", "")),
        _words(events["instrument_id"], lambda i: _of(known[i], "symbol", f"id-{i}")),
        _words(kind, lambda k: _name(Kind, k)),
        _words(side, {1001: "buy", 999: "sell", 1: "bid", -1: "ask"}.get),
        decimal_text(events["price"]),
        _quantities(events, known),
        _numbers(events["order_id"], 0),
        _numbers(events["count"], COUNT_MISSING),
        _numbers(events["sequence"], MISSING),
        _numbers(events["channel"], None),
        _words(events["flags"], _flags),
        _words(events["side_source"], lambda s: _name(SideSource, s) if s else None),
        _words(
            detail, lambda d: None if d in (-1, 1000) else _name(Condition, d - 1000) if d > 999 else _name(Phase, d)
        ),
    ]


def csv_lines(columns: Sequence[pa.Array]) -> pa.Array:
    """Join columns of text into lines of CSV, ends included."""
    cells = [_csv_cell(column) for column in columns]
    joined = pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement="")
    return pc.binary_join_element_wise(joined, "", "\n")


def json_lines(names: Sequence[str], columns: Sequence[pa.Array], quoted: frozenset[str]) -> pa.Array:
    """Join columns of text into one JSON object a line, ends included."""
    cells = []
    for name, column in zip(names, columns, strict=True):
        key = json.dumps(name, ensure_ascii=False) + ":"
        mark = '"' if name in quoted else ""
        value = _json_cell(column) if name in quoted else column
        cell = pc.binary_join_element_wise(key + mark, value, mark, "")
        cells.append(pc.fill_null(cell, key + "null"))
    joined = pc.binary_join_element_wise(*cells, ",")
    return pc.binary_join_element_wise("{", joined, "}\n", "")


def iso_text(times_ns: NDArray[np.int64]) -> pa.Array:
    """Return times as ISO 8601 in UTC with nine digits, null where MISSING.

    >>> iso_text(np.array([1_703_545_200_000_000_123, MISSING])).to_pylist()
    ['2023-12-25T23:00:00.000000123Z', None]
    """
    times = pa.array(times_ns, pa.int64(), mask=times_ns == MISSING).cast(pa.timestamp("ns"))
    text = pc.replace_substring(times.cast(pa.string()), " ", "T", max_replacements=1)
    return pc.binary_join_element_wise(text, "Z", "")


def decimal_text(values_e9: NDArray[np.int64]) -> pa.Array:
    """Return integers of 1e-9 as exact decimals without needless zeros, null where MISSING.

    >>> decimal_text(np.array([4_781_250_000_000, -10, 0, 3_000_000_000, MISSING])).to_pylist()
    ['4781.25', '-0.00000001', '0', '3', None]
    """
    missing = values_e9 == MISSING
    size = np.abs(np.where(missing, 0, values_e9))
    whole = pa.array(size // PRICE_SCALE).cast(pa.string())
    part = size % PRICE_SCALE
    text = whole
    if part.any():
        digits = pc.ascii_rtrim(pc.utf8_lpad(pa.array(part).cast(pa.string()), 9, "0"), "0")
        text = pc.if_else(pa.array(part == 0), whole, pc.binary_join_element_wise(whole, digits, "."))
    if (values_e9 < 0).any():
        text = pc.if_else(pa.array(values_e9 < 0), pc.binary_join_element_wise("-", text, ""), text)
    return pc.if_else(pa.array(~missing), text, pa.scalar(None, pa.string())) if missing.any() else text


def _quantities(events: Events, known: dict[int, Instrument | None]) -> pa.Array:
    """Return ``qty_lots`` in base units: times the lot, without passing through a float."""
    lots_e9 = {i: PRICE_SCALE if x is None else max(x.lot_e9, 1) for i, x in known.items()}
    ids = events["instrument_id"]
    qty = events["qty_lots"]
    value = np.full(qty.size, MISSING, np.int64)
    told = qty != MISSING
    large: list[tuple[int, str]] = []
    for instrument_id, lot_e9 in lots_e9.items():
        mine = told & (ids == instrument_id)
        fits = mine & (qty <= 2**62 // lot_e9) & (qty >= -(2**62) // lot_e9)
        value[fits] = qty[fits] * lot_e9
        large += [(int(i), _product(int(qty[i]), lot_e9)) for i in np.flatnonzero(mine & ~fits)]
    text = decimal_text(value)
    if not large:
        return text
    words = text.to_pylist()
    for i, word in large:  # beyond 4.6e9 units of the base: garbage of the source, but told exactly
        words[i] = word
    return pa.array(words, pa.string())


def _product(qty_lots: int, lot_e9: int) -> str:
    whole, part = divmod(abs(qty_lots) * lot_e9, PRICE_SCALE)
    digits = f".{part:09d}".rstrip("0") if part else ""
    return f"{'-' if qty_lots < 0 else ''}{whole}{digits}"


def _numbers(values: NDArray[Any], missing: int | None) -> pa.Array:
    column = pa.array(values) if missing is None else pa.array(values, mask=values == missing)
    return column.cast(pa.string())


def _words(codes: NDArray[Any], word: Callable[[int], str | None]) -> pa.Array:
    """Return a word for each code: ``word`` is asked once for each different one."""
    unique, inverse = np.unique(codes, return_inverse=True)
    words = pa.array([word(int(code)) for code in unique], pa.string())
    return words.take(pa.array(inverse))


def _of(instrument: Instrument | None, name: str, otherwise: str) -> str:
    return otherwise if instrument is None else str(getattr(instrument, name))


def _name(names: Any, code: int) -> str:
    """Return the name of a code, the code itself where it has none."""
    try:
        return str(names(code).name).lower()
    except ValueError:
        return str(code)


def _flags(bits: int) -> str | None:
    if not bits:
        return None
    words = [flag.name or "" for flag in Flag if bits & flag]
    rest = bits & ~sum(Flag)
    return "|".join(words + ([hex(rest)] if rest else []))


def _csv_cell(column: pa.Array) -> pa.Array:
    """Quote what holds a separator, a quote or a line's end; without the common case paying for it."""
    odd = pc.match_substring_regex(column, '[",\r\n]')
    if not pc.any(odd).as_py():
        return column
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(column, '"', '""'), '"', "")
    return pc.if_else(odd, quoted, column)


def _json_cell(column: pa.Array) -> pa.Array:
    """Escape what JSON has to have escaped, each different text once."""
    odd = pc.match_substring_regex(column, '["\\\\\\x00-\\x1f]')
    if not pc.any(odd).as_py():
        return column
    coded = column.dictionary_encode()
    words = [json.dumps(word, ensure_ascii=False)[1:-1] for word in coded.dictionary.to_pylist()]
    return pa.array(words, pa.string()).take(coded.indices)
