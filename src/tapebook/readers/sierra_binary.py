"""Sierra Chart's two binary layouts, byte for byte, and records out of a file that may still be growing.

Both kinds of file are a header and records of one size, little-endian, uncompressed (``.gz`` and ``.zst`` copies are
read all the same).

=============  ====  ==============================================================================================
``.scid``      56    ``SCID``, header size u32, record size u32, version u16, unused u16, UTC start index u32, 36 zero
record         40    time i64; open, high, low, close f32; trades, volume, bid volume, ask volume u32
``.depth``     64    ``SCDD``, header size u32, record size u32, version u32, 48 zero
record         24    time i64, command u8, flags u8, orders u16, price f32, quantity u32, reserved u32
=============  ====  ==============================================================================================

Times count microseconds since 1899-12-30 00:00 UTC. Old versions held days since that date in an f64: such files have
the same sizes and are told by their numbers.

Sources: Sierra Chart, "Intraday Data File Format" and "Market Depth Data File Format" (pages
``doc/IntradayDataFileFormat.html`` and ``doc/MarketDepthDataFileFormat.html`` of sierrachart.com) and its header
``IntradayRecord.h``; checked against independent public parsers, which read what
:mod:`tapebook.readers.sierra_write` writes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels.scid import UNIX_OF_SIERRA_US
from tapebook.market.errors import ConfigurationError, ReaderError, TruncatedFile, UnsupportedSchema
from tapebook.market.quarantine import Quarantine
from tapebook.readers.files import Head

SCID_RECORD: Final = np.dtype(
    [
        ("stamp_us", "<i8"),
        ("open", "<f4"),
        ("high", "<f4"),
        ("low", "<f4"),
        ("close", "<f4"),
        ("n_trades", "<u4"),
        ("volume", "<u4"),
        ("bid_volume", "<u4"),
        ("ask_volume", "<u4"),
    ]
)
DEPTH_RECORD: Final = np.dtype(
    [
        ("stamp_us", "<i8"),
        ("command", "u1"),
        ("flags", "u1"),
        ("n_orders", "<u2"),
        ("price", "<f4"),
        ("quantity", "<u4"),
        ("reserved", "<u4"),
    ]
)

RECORDS_IN_CHUNK: Final = 1 << 16


@dataclass(frozen=True)
class Layout:
    """One of the two layouts."""

    name: str
    magic: bytes
    header_bytes: int
    record: np.dtype[np.void]

    def header(self) -> bytes:
        """Return the header as Sierra Chart writes it."""
        sizes = struct.pack("<II", self.header_bytes, self.record.itemsize)
        version = struct.pack("<I", 1)  # u16 version and u16 unused in .scid: the same bytes
        return (self.magic + sizes + version).ljust(self.header_bytes, b"\0")


SCID: Final = Layout(".scid", b"SCID", 56, SCID_RECORD)
DEPTH: Final = Layout(".depth", b"SCDD", 64, DEPTH_RECORD)


def check_header(layout: Layout, head: Head) -> NDArray[np.void]:
    """Check header and first times, and return the whole records of the head.

    Raises
    ------
    TruncatedFile
        If the file ends within the header.
    ReaderError
        If the header holds other sizes, or the file is none of this layout.
    UnsupportedSchema
        If its times are the floating-point days of old versions.
    """
    where = str(head.path)
    start = head.data[: layout.header_bytes]
    if start[:4] != layout.magic:
        raise ReaderError(f"no {layout.name} file", expected=repr(layout.magic), found=repr(start[:4]), where=where)
    if len(start) < layout.header_bytes:
        raise TruncatedFile(
            f"the header of the {layout.name} file is cut",
            expected=f"{layout.header_bytes} bytes",
            found=f"{len(start)} bytes",
            where=where,
            remedy="copy the file again",
        )
    header_bytes, record_bytes, version = struct.unpack_from("<IIH", start, 4)
    if (header_bytes, record_bytes) != (layout.header_bytes, layout.record.itemsize):
        raise UnsupportedSchema(
            f"a {layout.name} header with other sizes",
            expected=f"a header of {layout.header_bytes} and records of {layout.record.itemsize} bytes",
            found=f"{header_bytes} and {record_bytes} (version {version})",
            where=f"{where}, bytes 4 to 12",
            remedy="copy the file again; if it is whole, a newer Sierra Chart wrote it: report it",
        )
    body = head.data[layout.header_bytes :]
    n = len(body) // layout.record.itemsize
    records = np.frombuffer(body[: n * layout.record.itemsize], layout.record)
    if n and holds_float_days(records):
        raise UnsupportedSchema(
            f"a {layout.name} file of an old Sierra Chart: its times are floating-point days",
            expected="microseconds since 1899-12-30 as integers",
            found=f"{records['stamp_us'][:1].view('<f8')[0]:.6f} days",
            where=f"{where}, byte {layout.header_bytes}",
            remedy="open it once in a current Sierra Chart, which converts it",
        )
    return records


def holds_float_days(records: NDArray[np.void]) -> bool:
    """Tell whether the times are f64 days since 1899-12-30 (as they were before Sierra Chart counted microseconds)."""
    days = np.ascontiguousarray(records["stamp_us"]).view("<f8")
    return bool(((days > 20_000) & (days < 100_000)).mean() > 0.5)  # 1954 to 2173; as integers they would be nonsense


def read_records(
    stream: BinaryIO, layout: Layout, where: str, quarantine: Quarantine, notes: dict[str, int]
) -> Iterator[tuple[NDArray[np.void], int, int]]:
    """Stream records with a look at the one after: ``(records, n, number of the first)``.

    ``records`` holds ``n`` records, and one more (the first of the next turn) unless the file ends with them. A file
    that ends inside a record gives its whole records; the rest is told of, because a growing file ends like that.
    """
    size = layout.record.itemsize
    stream.read(layout.header_bytes)
    carry = b""
    first = 0
    while True:
        buffer = bytearray(size * (RECORDS_IN_CHUNK + 1))
        buffer[: len(carry)] = carry
        filled = len(carry)
        while filled < len(buffer):
            got = stream.readinto(memoryview(buffer)[filled:])  # type: ignore[attr-defined]  # every BufferedReader has it
            if not got:
                break
            filled += got
        whole = filled // size
        over = filled < len(buffer)
        records = np.frombuffer(buffer, layout.record, whole)
        n = whole if over else whole - 1
        if n:
            yield records, n, first
        first += n
        if over:
            rest = filled - whole * size
            if rest:
                notes["partial_record_bytes"] = rest
                quarantine.truncate(
                    TruncatedFile(
                        f"the {layout.name} file ends inside a record",
                        expected=f"{size} bytes",
                        found=f"{rest} bytes",
                        where=f"{where}, byte {layout.header_bytes + (first * size)} of its content",
                        remedy="nothing, if Sierra Chart is still writing it; else copy it again",
                    )
                )
            return
        carry = bytes(buffer[n * size : filled])


def reject_records(
    records: NDArray[np.void],
    bad: NDArray[np.int8],
    first: int,
    layout: Layout,
    where: str,
    quarantine: Quarantine,
    reasons: dict[int, tuple[str, str]],
) -> None:
    """Put the records that a kernel refused into the quarantine, with their bytes and their place."""
    for i in np.flatnonzero(bad).tolist():
        reason, expected = reasons[int(bad[i])]
        at = layout.header_bytes + (first + i) * layout.record.itemsize
        quarantine.add(
            reason,
            expected=expected,
            found=str(records[i]),
            where=f"{where}, record {first + i} at byte {at}",
            raw=records[i].tobytes(),
        )


def unix_ns(stamp_us: Any) -> Any:
    """Return ns since 1970 of Sierra Chart times.

    >>> int(unix_ns(2_209_161_600_000_001))
    1000
    """
    return (stamp_us - UNIX_OF_SIERRA_US) * 1000


def multiplier_of(multiplier: Decimal | None) -> tuple[int, int]:
    """Return a price multiplier as numerator and denominator.

    >>> multiplier_of(Decimal("0.01"))
    (1, 100)
    """
    if multiplier is None:
        return 1, 1
    num, den = multiplier.as_integer_ratio()
    if num <= 0 or num > 10**9 or den > 10**9:
        raise ConfigurationError(
            "the price multiplier makes no sense", expected="a positive number such as 0.01", found=str(multiplier)
        )
    return num, den


def stored_scale(raw: NDArray[np.float32], tick_e9: int) -> int:
    """Return the power of ten by which stored prices seem to be too large (1 where they do not).

    Some feeds give prices in an integer unit of their own (NQ 25263.25 as 2526325), and the file holds those. Then
    every price is a multiple of 10 or 100 ticks, which a traded market never does for long.

    >>> stored_scale(np.arange(25_000, 25_010, 0.25, dtype=np.float32) * 100, 250_000_000)
    100
    >>> stored_scale(np.arange(25_000, 25_010, 0.25, dtype=np.float32), 250_000_000)
    1
    """
    if tick_e9 <= 0:
        return 1
    prices = np.unique(_plausible(raw).astype(np.float64))
    if prices.size < 12:  # so few may be round by chance
        return 1
    ticks = np.rint(prices * 1e9 / tick_e9).astype(np.int64)
    common = int(np.gcd.reduce(ticks))
    scale = 1
    while common % (scale * 10) == 0 and scale < 10**6:
        scale *= 10
    return scale


def refuse_scaled(raw: NDArray[np.float32], tick_e9: int, multiplier: Decimal | None, symbol: str, path: Path) -> None:
    """Raise where prices look scaled and the user has not said by how much."""
    scale = stored_scale(raw, tick_e9) if multiplier is None else 1
    if scale > 1:
        example = float(_plausible(raw)[0])
        raise ReaderError(
            "the prices look as if the feed's own unit was stored",
            expected=f"prices of {symbol} on its tick of {Decimal(tick_e9) / 10**9}",
            found=f"{example:.10g} and others, all multiples of {scale} ticks",
            where=str(path),
            remedy=f"give --price-multiplier {Decimal(1) / scale} (or 1, if {example:.10g} is a price of {symbol})",
        )


def _plausible(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the prices that can be prices at all."""
    with np.errstate(invalid="ignore"):
        prices: NDArray[np.float32] = raw[(np.abs(raw) < 9e9) & (raw != 0)]
    return prices
