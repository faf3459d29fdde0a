"""Names of MetaTrader 5 exports: columns in angle brackets, symbol and dates in the file name, zone of the server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tapebook.market.catalog import instrument_for
from tapebook.market.instruments import Instrument
from tapebook.readers.files import Head
from tapebook.readers.formats import ReadOptions
from tapebook.readers.text_head import TextHead, text_head

__all__ = ["columns_of", "header_of", "instrument_of", "likely_zone", "symbol_of"]

_NAMED: Final = re.compile(
    r"^(?P<symbol>.+?)_((?:M\d+|H\d+|D1|W1|MN1|Daily|Weekly|Monthly)_)?\d{8,14}_\d{8,14}$", re.IGNORECASE
)
_PACKED: Final = re.compile(r"\.(gz|zst|zip)$", re.IGNORECASE)


def symbol_of(path: Path) -> str:
    """Return the symbol in the name of an export.

    >>> symbol_of(Path("WIN$N_202608010900_202608011830.csv")), symbol_of(Path("EURUSD_M5_20240102_20240105.csv"))
    ('WIN$N', 'EURUSD')
    """
    stem = Path(_PACKED.sub("", path.name)).stem
    match = _NAMED.match(stem)
    return match["symbol"] if match else stem


def header_of(head: Head) -> TextHead | None:
    """Return the head of an export with the names bare and in capitals (``DATE``), None where it is none."""
    if not head.first_line.lstrip("\ufeff").lstrip().startswith("<DATE>"):
        return None
    text = text_head(head)
    if text is None:
        return None
    names = tuple(name.strip("<>").upper() for name in text.names)
    return TextHead(text.delimiter, names, text.rows, text.header_lines, text.quoted)


def columns_of(text: TextHead | None, needed: tuple[str, ...]) -> bool:
    """Tell whether a head has all these columns, each once."""
    return text is not None and all(text.names.count(name) == 1 for name in needed)


def instrument_of(path: Path, options: ReadOptions, on_ns: int | None, volumes: list[str]) -> Instrument:
    """Return the instrument; where the catalogue knows none, whole volumes make whole lots."""
    whole = all(re.fullmatch(r"\d+([.,]0*)?", v) for v in volumes)
    return instrument_for(
        options.symbol or symbol_of(path), options.venue, lot_e9=1_000_000_000 if whole else 10, on_ns=on_ns
    )


def likely_zone(instrument: Instrument) -> tuple[str, str]:
    """Return the zone that a broker's server likely keeps, and why."""
    if instrument.calendar == "B3" or instrument.venue == "B3":
        return "America/Sao_Paulo", "brokers on B3 keep Brasilia time"
    return "NY+7", "brokers of foreign exchange mostly keep New York time + 7 h; ask yours"
