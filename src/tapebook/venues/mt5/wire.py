"""MetaTrader 5's own words: arrays of ticks, lines of the book, bits and numbers; and the frames that hold them.

The terminal is asked again and again (nothing is pushed), so a frame is what one question newly brought::

    Ticks   symbol, and an array of TICK rows as ``copy_ticks_range`` returns it, without the rows that came before
    Book    symbol, and the lines of ``market_book_get``, a sample: what was between two samples, nobody knows
    Symbol  symbol, and what ``symbol_info`` says of it

Source: MQL5 reference (``MqlTick``, ``MqlBookInfo``, ``TICK_FLAG_*``, ``BOOK_TYPE_*``), the module's own constants.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["BUY", "SELL", "TICK", "Book", "Frame", "Line", "Symbol", "Ticks", "read_frame", "ticks_of", "write_frame"]

TICK: Final = np.dtype(
    [
        ("time", "<i8"),  # seconds
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("last", "<f8"),
        ("volume", "<u8"),
        ("time_msc", "<i8"),  # the broker server's clock, as if it were UTC
        ("flags", "<u4"),  # what changed: see kernels/mt5.py
        ("volume_real", "<f8"),
    ]
)
"""A row of the array that the module returns; packed, 60 bytes."""

SELL: Final = 1
BUY: Final = 2
"""Types of a book's line; 3 and 4 are market orders, which have no price."""

Line: TypeAlias = tuple[int, float, float]
"""Type, price, volume."""


class Ticks(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """New ticks."""

    symbol: str
    rows: bytes


class Book(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The book as it stood when it was asked for."""

    symbol: str
    lines: tuple[Line, ...]


class Symbol(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """What the broker says of a symbol."""

    symbol: str
    named: dict[str, float | str | bool]


Frame: TypeAlias = Ticks | Book | Symbol

_decode: Final = msgspec.msgpack.Decoder(Ticks | Book | Symbol).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def write_frame(frame: Frame) -> bytes:
    """Return a frame's bytes (MessagePack).

    >>> read_frame(write_frame(Book("WINQ26", ((BUY, 130_000.0, 3.0),))))
    Book(symbol='WINQ26', lines=((2, 130000.0, 3.0),))
    """
    return _encode(frame)


def read_frame(data: bytes) -> Frame:
    """Return the frame in some bytes; raises msgspec.MsgspecError where it is none."""
    frame: Frame = _decode(data)
    return frame


def ticks_of(rows: bytes) -> NDArray[Any]:
    """Return ticks as an array of :data:`TICK`; raises ValueError where the bytes are no whole rows."""
    return np.frombuffer(rows, TICK)
