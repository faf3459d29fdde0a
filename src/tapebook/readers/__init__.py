"""Files as their vendors publish them become events (a Tape) or rows (a Table).

A format joins by a module here that defines ``FORMAT`` (:class:`~tapebook.readers.formats.Format`) and a line in
``FORMATS``; the shared tests of ``tests/contracts/test_readers.py`` then run on it.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from tapebook.market.errors import UnknownFormat, UnsupportedSchema
from tapebook.market.tape import Table, Tape
from tapebook.readers.files import Head, read_head
from tapebook.readers.formats import Format, ReadOptions

__all__ = ["FORMATS", "detect", "formats", "open_source", "open_table", "open_tape"]

FORMATS: Final[tuple[str, ...]] = (
    "tapebook_parquet",
    "dbn",
    "databento_csv",
    "lobster",
    "tardis",
    "binance_recording",
    "binance_dump",
    "topstepx",
    "b3",
    "b3_bars",
    "scid",
    "scid_bars",
    "sierra_depth",
    "sierra_tick_text",
    "ninjatrader",
    "mt5",
    "mt5_bars",
    "sierra_text",
    "time_and_sales",
)
"""Modules of this folder, most specific first: between equally sure ones the earlier wins."""


@cache
def formats() -> tuple[Format, ...]:
    """Return all formats that can be read."""
    return tuple(import_module(f"tapebook.readers.{name}").FORMAT for name in FORMATS)


def detect(path: str | Path) -> tuple[Format, Head]:
    """Tell the format of a file by its content.

    Raises
    ------
    UnknownFormat
        If no reader recognises it.
    ReaderError
        If it is empty, missing or a folder.
    """
    head = read_head(Path(path))
    scored = [(f.sniff(head), f) for f in formats()]
    score, best = max(scored, key=lambda pair: pair[0], default=(0, None))
    if best is None or score <= 0:
        raise UnknownFormat(
            "no reader recognises this file",
            expected=", ".join(f.name for f in formats()),
            found=repr(head.first_line[:80] or head.data[:16]),
            where=str(path),
            remedy="name the format with --format, or its columns with --column for time & sales files",
        )
    return best, head


def open_source(path: str | Path, format: str = "", **options: Any) -> Tape | Table:  # noqa: A002 - the user's word
    """Open a file of any known format: events as a Tape, anything else as a Table.

    Parameters
    ----------
    path
        The file; compression is found out.
    format
        Name of a format, to overrule detection.
    options
        Fields of :class:`~tapebook.readers.formats.ReadOptions`.
    """
    if format:
        known = {f.name: f for f in formats()}
        if format not in known:
            raise UnknownFormat(
                "no such format", expected=", ".join(known), found=format, remedy="see tapebook info --help"
            )
        found, head = known[format], read_head(Path(path))
    else:
        found, head = detect(path)
    return found.open(Path(path), head, ReadOptions(**options))


def open_tape(path: str | Path, format: str = "", **options: Any) -> Tape:  # noqa: A002 - as open_source
    """Open a file that holds events.

    Raises
    ------
    UnsupportedSchema
        If it holds bars or definitions instead.
    """
    source = open_source(path, format, **options)
    if isinstance(source, Table):
        raise UnsupportedSchema(
            "this file holds no events",
            expected="trades, quotes or a book",
            found=f"{source.origin.format} {source.origin.schema}",
            where=str(path),
            remedy="use tapebook info or tapebook convert for it",
        )
    return source


def open_table(path: str | Path, format: str = "", **options: Any) -> Table:  # noqa: A002 - as open_source
    """Open a file that holds bars, definitions or other rows.

    Raises
    ------
    UnsupportedSchema
        If it holds events.
    """
    source = open_source(path, format, **options)
    if isinstance(source, Tape):
        raise UnsupportedSchema(
            "this file holds events",
            expected="bars or other rows",
            found=source.origin.schema,
            where=str(path),
            remedy="open it as a tape",
        )
    return source
