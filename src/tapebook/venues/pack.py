"""Events are packed one by one as eight 64-bit words: what a parser in Python does several times a message.

An event's last 16 bytes hold eight small fields. Six of them are the same in every event of a kind, so they are put
together once (:func:`who_word`, :func:`what_word`) and a flag is added to a word with ``|``: half the time that packing
fourteen fields takes (0.26 instead of 0.5 µs).

>>> import numpy as np
>>> from tapebook.market.events import EVENT, MISSING, Flag, Kind, Side
>>> words = (7, 9, 100, 2, 0, MISSING, who_word(5), what_word(Kind.TRADE, Side.SELL, channel=3) | Flag.LAST)
>>> event = np.frombuffer(pack_one(*words), EVENT)[0]
>>> [int(event[name]) for name in ("ts_event_ns", "price", "instrument_id", "kind", "side", "channel", "flags")]
[7, 100, 5, 1, -1, 3, 1]
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from tapebook.market.events import COUNT_MISSING

__all__ = ["pack_one", "pack_two", "what_word", "who_word"]

pack_one: Final = Struct("<8q").pack
"""ts_event_ns, ts_recv_ns, price, qty_lots, order_id, sequence, who, what."""

pack_two: Final = Struct("<16q").pack
"""The same for two events."""


def who_word(instrument_id: int, count: int = COUNT_MISSING) -> int:
    """Return the word of ``instrument_id`` and ``count``."""
    word = instrument_id | count << 32
    return word - (1 << 64) if word >> 63 else word


def what_word(kind: int, side: int = 0, *, channel: int = 0, side_source: int = 0, flags: int = 0) -> int:
    """Return the word of ``flags``, ``channel``, ``kind``, ``side`` and ``side_source``; ``detail`` is 0."""
    return int(flags) | channel << 16 | int(kind) << 32 | (int(side) & 0xFF) << 40 | int(side_source) << 48
