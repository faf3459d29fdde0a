"""What the name of a Sierra Chart file says: symbol and, of a market depth file, the day.

``ESH24-CME.scid``, ``ESH24_FUT_CME.scid``, ``NQZ6.CME.scid``, ``F.US.EPH24.scid``, ``ESH24-CME.2024-03-01.depth``,
``ESH24-CME.scid_BarData__5m.txt``, ``ESH24_FUT_CME_20220124_133000.txt``; with ``.gz`` or ``.zst`` behind, or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from tapebook.market.catalog import instrument_for
from tapebook.market.events import PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.symbols import parse_contract
from tapebook.readers.formats import ReadOptions

_EXCHANGES: Final = ("CME", "CBOT", "NYMEX", "COMEX", "CFE", "EUREX", "ICE", "NYBOT")
_PACKED: Final = re.compile(r"\.(gz|zst|zip)$", re.IGNORECASE)
_DEPTH: Final = re.compile(r"^(?P<symbol>.+)\.(?P<date>\d{4}-\d\d-\d\d)(?P<note>[^.]*)\.depth$", re.IGNORECASE)
_TEXT: Final = re.compile(
    r"^(?P<symbol>.+?)(\.scid|\.dly)?([-_]+BarData.*|_\d{8}_\d{6}|\[.*\].*)?\.(i?txt|csv)$", re.IGNORECASE
)
_DOTTED: Final = re.compile(rf"^(?P<contract>[A-Z0-9]+)\.(?P<exchange>{'|'.join(_EXCHANGES)})$", re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """A file name taken apart."""

    symbol: str
    date: str = ""  # YYYY-MM-DD

    @property
    def venue(self) -> str:
        """Exchange behind the symbol's hyphen (``AAPL-NQTV``), or empty."""
        return self.symbol.rpartition("-")[2] if "-" in self.symbol else ""


def parse_name(name: str) -> Named:
    """Take the name of a file apart.

    >>> parse_name("NQZ6.CME.2026-09-22.depth")
    Named(symbol='NQZ6-CME', date='2026-09-22')
    >>> parse_name("ESH24-CME.scid_BarData__5m.txt").symbol, parse_name("tbt.txt").symbol
    ('ESH24-CME', 'tbt')
    """
    name = _PACKED.sub("", name)
    depth = _DEPTH.match(name)
    # A study export under another extension still says what it is.
    text = _TEXT.match(re.sub(r"\.[^.]*$", ".txt", name) if "BarData" in name else name)
    date = ""
    if depth:
        symbol, date = depth["symbol"], depth["date"]
    elif text:
        symbol = text["symbol"]
    else:
        symbol = re.sub(r"\.scid$", "", name, flags=re.IGNORECASE)
    dotted = _DOTTED.match(symbol)
    if dotted:
        symbol = f"{dotted['contract']}-{dotted['exchange']}"
    return Named(symbol, date)


def instrument_of(named: Named, options: ReadOptions, on_ns: int | None = None) -> Instrument:
    """Return the instrument of a file: the user's symbol, or the one in the name.

    Sierra Chart stores whole volumes. Where the instrument's lot is a fraction (crypto), one stored unit is taken as
    one: what a unit is depends on the feed and is not in the file.

    >>> instrument_of(parse_name("ESH24_FUT_CME.scid"), ReadOptions()).symbol
    'ESH4'
    """
    symbol = options.symbol or named.symbol
    venue = options.venue
    if not venue and not options.symbol and parse_contract(symbol) is None:
        venue = named.venue
        symbol = symbol.removesuffix(f"-{venue}") if venue else symbol
    instrument = instrument_for(symbol, venue, lot_e9=PRICE_SCALE, on_ns=on_ns)
    return instrument if instrument.whole_lots else msgspec.structs.replace(instrument, lot_e9=PRICE_SCALE)
