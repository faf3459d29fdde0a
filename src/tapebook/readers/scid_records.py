"""What the two readers of ``.scid`` files share: which records are trades, the instrument, why a record is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import scid as kernel
from tapebook.market.instruments import Instrument
from tapebook.readers.files import Head
from tapebook.readers.formats import ReadOptions
from tapebook.readers.sierra_binary import SCID, SCID_RECORD, check_header, multiplier_of, refuse_scaled, unix_ns
from tapebook.readers.sierra_names import instrument_of, parse_name

REASONS: Final = {
    kernel.BAD_TIME: ("bad time", "microseconds since 1899-12-30 between 1970 and 2100"),
    kernel.BAD_PRICE: ("bad price", "finite prices below 9.2e9"),
    kernel.BAD_VOLUME: ("bad volume", "volumes below 2**31"),
}
"""Reason and expectation by the code that a kernel gives a bad record."""

_TAIL_RECORDS = 4096


def is_trade(records: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell single trades from bars.

    >>> bar, trade = np.zeros(1, SCID_RECORD), np.zeros(1, SCID_RECORD)
    >>> bar["open"], bar["n_trades"], trade["n_trades"] = 4781.25, 12, 1
    >>> is_trade(np.concatenate([bar, trade])).tolist()
    [False, True]
    """
    opened = records["open"]
    marked = (opened == kernel.FIRST_SUB_TRADE) | (opened == kernel.LAST_SUB_TRADE)
    result: NDArray[np.bool_] = marked | ((opened == 0) & (records["n_trades"] <= 1))
    return result


def prepare(path: Path, head: Head, options: ReadOptions) -> tuple[NDArray[np.void], Instrument, int, int]:
    """Return the records of the head, the instrument, and the price multiplier as numerator and denominator.

    Raises
    ------
    TruncatedFile, ReaderError, UnsupportedSchema
        If the header is cut, damaged, or of another version; if prices look scaled and no multiplier is given.
    """
    start = check_header(SCID, head)
    on_ns = None
    if (
        start.size
        and kernel.UNIX_OF_SIERRA_US < start["stamp_us"][0] < kernel.UNIX_OF_SIERRA_US + 4_102_444_800_000_000
    ):
        on_ns = int(unix_ns(start["stamp_us"][0]))
    instrument = instrument_of(parse_name(path.name), options, on_ns)
    refuse_scaled(start["close"], instrument.tick_e9, options.price_multiplier, instrument.symbol, path)
    num, den = multiplier_of(options.price_multiplier)
    return start, instrument, num, den


def sample(start: NDArray[np.void], path: Path, head: Head) -> NDArray[np.void]:
    """Return ``start`` and the last records of a plain file (of a compressed one they would cost a pass over it)."""
    size = SCID_RECORD.itemsize
    n = (head.size_bytes - SCID.header_bytes) // size
    take = min(n, _TAIL_RECORDS)
    if head.compression or take <= 0:
        return start
    with path.open("rb") as file:
        file.seek(SCID.header_bytes + (n - take) * size)
        data = file.read(take * size)
    return np.concatenate([start, np.frombuffer(data[: len(data) // size * size], SCID_RECORD)])
