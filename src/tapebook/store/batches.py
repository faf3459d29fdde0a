"""Rows on their way into a database: decoded from frames, column by column, with the frames that they come from."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ReaderError
from tapebook.market.events import MISSING
from tapebook.store.journal_format import Frame
from tapebook.store.schema import FIELDS, TABLES, TableName, row_dtype

Rows: TypeAlias = NDArray[Any]
"""Rows of one table, of its :func:`~tapebook.store.schema.row_dtype`."""

_CODES: Final = {"i8": "q", "i4": "i", "i2": "h"}
_STRUCTS: Final = {t: struct.Struct("<i" + "".join(_CODES[f.type] for f in FIELDS[t])) for t in TABLES}


class GapRow(NamedTuple):
    """A stretch in which a stream was broken."""

    sequence: int
    row_index: int
    begin_timestamp: int | None
    end_timestamp: int | None
    source: int
    contract_id: str  # empty: all of the source's
    reason: str
    detail: str


class QualityRow(NamedTuple):
    """Something that was not understood or does not hold."""

    sequence: int
    row_index: int
    received_timestamp: int
    contract_id: str
    finding: str
    expected: str
    found: str
    raw_payload: bytes | None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """All rows of the frames ``first_sequence`` to ``last_sequence``; what is written in one transaction.

    Attributes
    ----------
    received_timestamp
        Of the last frame; None where there was none.
    contracts
        (contract_id, symbol) that ``contract`` of a row is the index of.
    tables
        Rows by table.
    raw
        Payloads by frame, kept with the row of index 0; empty where raw payloads are not kept in the database.
    """

    first_sequence: int
    last_sequence: int
    received_timestamp: int | None
    contracts: Sequence[tuple[str, str]]
    tables: Mapping[TableName, Rows]
    raw: Mapping[int, bytes] = field(default_factory=dict)
    gaps: Sequence[GapRow] = ()
    quality: Sequence[QualityRow] = ()

    @property
    def n_rows(self) -> int:
        """Rows in all tables."""
        return sum(rows.size for rows in self.tables.values()) + len(self.gaps) + len(self.quality)


def _clean(text: str) -> str:
    """Return text that every database takes: NUL is a character in SQLite and an error in PostgreSQL."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


class BatchBuilder:
    """Takes the rows of frame after frame and makes batches of them.

    Parameters
    ----------
    after
        The database's watermark: the next batch covers the frames from behind it on.
    keep_raw
        Keep each frame's payload with its first row.

    Examples
    --------
    >>> def decode(frame, rows):
    ...     rows.trade("CON.F.US.EP.H24", "ESH4", price=5_000 * 10**9, size=int(frame.payload), side=1)
    >>> rows = BatchBuilder()
    >>> rows.add(Frame(1, 10**18, 0, 1, b"3"), decode)
    >>> batch = rows.build()
    >>> batch.last_sequence, batch.tables["trades"]["size"].tolist()
    (1, [3])
    """

    def __init__(self, *, after: int = 0, keep_raw: bool = False) -> None:
        self._first = after + 1
        self._keep_raw = keep_raw
        self._last = after
        self._contracts: dict[tuple[str, str], int] = {}
        self._clear()

    def _clear(self) -> None:
        self._tables = {table: bytearray() for table in TABLES}
        self._raw: dict[int, bytes] = {}
        self._gaps: list[GapRow] = []
        self._quality: list[QualityRow] = []
        self._frame = Frame(self._last, 0, 0, 0, b"")
        self._row = 0
        self._received: int | None = None

    @property
    def n_frames(self) -> int:
        """Frame numbers that the next batch covers."""
        return self._last + 1 - self._first

    def add(self, frame: Frame, decode: Decode) -> None:
        """Take in the rows of a frame.

        One that ``decode`` refuses (:class:`ReaderError`), or with a number that no column holds, becomes a row of
        ``quality`` with its bytes.
        """
        sizes = [len(rows) for rows in self._tables.values()]
        others = len(self._gaps), len(self._quality)
        self._frame, self._row = frame, 0
        self._received = frame.ts_recv_ns
        self._last = max(self._last, frame.sequence)
        if self._keep_raw:
            self._raw[frame.sequence] = frame.payload
        try:
            decode(frame, self)
        except (ReaderError, struct.error) as error:
            for rows, size in zip(self._tables.values(), sizes, strict=True):
                del rows[size:]
            del self._gaps[others[0] :], self._quality[others[1] :]
            self._row = 0
            if isinstance(error, ReaderError):
                self.finding(error.message, expected=error.expected, found=error.found, raw=frame.payload)
            else:
                self.finding("a number does not fit its column", found=str(error), raw=frame.payload)

    def skip_to(self, sequence: int) -> None:
        """Let the next batch cover the numbers up to ``sequence``, which no frame has."""
        self._last = max(self._last, sequence)

    def _key(self, contract_id: str, symbol: str) -> tuple[int, int, int, int]:
        contract = self._contracts.setdefault((contract_id, symbol), len(self._contracts))
        row, self._row = self._row, self._row + 1
        return contract, self._frame.sequence, row, self._frame.ts_recv_ns

    def quote(
        self,
        contract_id: str,
        symbol: str,
        *,
        exchange_ns: int = MISSING,
        bid_price: int = MISSING,
        bid_size: int = MISSING,
        ask_price: int = MISSING,
        ask_size: int = MISSING,
        last_price: int = MISSING,
        volume: int = MISSING,
        parts: int = 3,
        venue_sequence: int = MISSING,
        channel: int = 0,
        flags: int = 0,
    ) -> None:
        """Add a row to ``quotes``."""
        key = *self._key(contract_id, symbol), exchange_ns
        values = bid_price, bid_size, ask_price, ask_size, last_price, volume, parts
        self._tables["quotes"] += _STRUCTS["quotes"].pack(*key, *values, venue_sequence, channel, flags)

    def trade(
        self,
        contract_id: str,
        symbol: str,
        *,
        price: int,
        size: int = MISSING,
        side: int = 0,
        side_source: int = 0,
        condition: int = 0,
        order_id: int = MISSING,
        exchange_ns: int = MISSING,
        venue_sequence: int = MISSING,
        channel: int = 0,
        flags: int = 0,
    ) -> None:
        """Add a row to ``trades``."""
        key = *self._key(contract_id, symbol), exchange_ns
        values = price, size, side, side_source, condition, order_id
        self._tables["trades"] += _STRUCTS["trades"].pack(*key, *values, venue_sequence, channel, flags)

    def depth(
        self,
        contract_id: str,
        symbol: str,
        *,
        kind: int,
        side: int,
        price: int = MISSING,
        size: int = MISSING,
        orders: int = MISSING,
        order_id: int = MISSING,
        exchange_ns: int = MISSING,
        venue_sequence: int = MISSING,
        channel: int = 0,
        flags: int = 0,
    ) -> None:
        """Add a row to ``market_depth``."""
        key = *self._key(contract_id, symbol), exchange_ns
        values = price, size, side, kind, orders, order_id
        self._tables["market_depth"] += _STRUCTS["market_depth"].pack(*key, *values, venue_sequence, channel, flags)

    def gap(
        self, *, begin_ns: int | None, end_ns: int | None, reason: str, detail: str = "", contract_id: str = ""
    ) -> None:
        """Add a row to ``gaps``."""
        self._gaps.append(
            GapRow(
                self._frame.sequence,
                self._row,
                begin_ns,
                end_ns,
                self._frame.source,
                _clean(contract_id),
                _clean(reason),
                _clean(detail),
            )
        )
        self._row += 1

    def finding(
        self, finding: str, *, expected: str = "", found: str = "", contract_id: str = "", raw: bytes | None = None
    ) -> None:
        """Add a row to ``quality``."""
        frame = self._frame
        self._quality.append(
            QualityRow(
                sequence=frame.sequence,
                row_index=self._row,
                received_timestamp=frame.ts_recv_ns,
                contract_id=_clean(contract_id),
                finding=_clean(finding),
                expected=_clean(expected),
                found=_clean(found),
                raw_payload=raw,
            )
        )
        self._row += 1

    def build(self) -> Batch:
        """Return the rows taken in since the last batch."""
        batch = Batch(
            first_sequence=self._first,
            last_sequence=self._last,
            received_timestamp=self._received,
            contracts=tuple((_clean(id_), _clean(symbol)) for id_, symbol in self._contracts),
            tables={table: np.frombuffer(rows, row_dtype(table)) for table, rows in self._tables.items()},
            raw=self._raw,
            gaps=self._gaps,
            quality=self._quality,
        )
        self._first = self._last + 1
        self._clear()
        return batch


Decode: TypeAlias = Callable[[Frame, BatchBuilder], None]
"""Adds the rows of a frame to a builder. Pure: the frame alone decides. Raises :class:`ReaderError` if it is not
understood."""
