"""Rows of delimited text, streamed as columns of bytes, with the line number of each row and nothing guessed.

pyarrow splits the lines; numbers and times are made by :mod:`tapebook.readers.columns`. A row with the wrong number of
fields goes to the quarantine with its text. Blank lines are passed over. Line numbers count from 1 and include the
header.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from tapebook.market.errors import MalformedRecord, ReaderError
from tapebook.market.quarantine import Quarantine
from tapebook.readers.columns import OK, buffers, why_not

BLOCK_BYTES: Final = 2 << 20
"""Text split at a time: as fast as larger blocks, and a reader of millions of rows stays under 400 MB."""
_RESERVED_BYTES: Final = 256 << 20
"""pyarrow sets aside a whole block for each column: wide files (200 columns) are read in smaller blocks."""


@dataclass(frozen=True)
class Rows:
    """Some successive rows of a file."""

    names: tuple[str, ...]
    columns: tuple[pa.Array, ...]
    file: str
    delimiter: str
    first_row: int  # how many good rows of the file stand before these
    skipped: Sequence[int]  # numbers, from 0, of the file's rows that are bad or blank; sorted
    header_lines: int

    @property
    def n(self) -> int:
        """How many rows."""
        return len(self.columns[0]) if self.columns else 0

    def __getitem__(self, name: str) -> pa.Array:
        return self.columns[self.names.index(name)]

    def line(self, i: int) -> int:
        """Return the line number of row ``i`` in the file, from 1."""
        row = self.first_row + i
        n_before = bisect_right(self.skipped, row)
        while True:  # rows that were skipped before this one push it down, and may uncover further ones
            again = bisect_right(self.skipped, row + n_before)
            if again == n_before:
                return row + n_before + 1 + self.header_lines
            n_before = again

    def lines(self) -> NDArray[np.int64]:
        """Return the line number of every row, from 1."""
        if not self.n:
            return np.zeros(0, np.int64)
        first, last = self.line(0), self.line(self.n - 1)
        if last - first == self.n - 1:
            return np.arange(first, last + 1, dtype=np.int64)
        return np.array([self.line(i) for i in range(self.n)], np.int64)

    def raw(self, i: int) -> bytes:
        """Return the text of row ``i`` as it stood in the file (line end and quotes aside)."""
        return self.delimiter.encode().join(column[i].as_py() or b"" for column in self.columns)

    def where(self, i: int, name: str = "") -> str:
        """Return the place of row ``i`` for an error."""
        return f"{self.file} line {self.line(i)}" + (f", field {name}" if name else "")

    def reject(
        self, quarantine: Quarantine, bad: NDArray[np.bool_], reason: str, *, expected: str, name: str = ""
    ) -> None:
        """Put the rows where ``bad`` is true into the quarantine."""
        for i in np.flatnonzero(bad).tolist():
            found = repr((self[name][i].as_py() or b"").decode("utf-8", "replace")) if name else ""
            quarantine.add(reason, expected=expected, found=found, where=self.where(i, name), raw=self.raw(i))

    def require(self, quarantine: Quarantine, keep: NDArray[np.bool_], ok: NDArray[np.int8], name: str) -> None:
        """Quarantine rows whose field ``name`` was not understood, and take them out of ``keep`` (in place)."""
        bad = keep & (ok != OK)
        if bad.any():
            for code in np.unique(ok[bad]).tolist():
                self.reject(quarantine, bad & (ok == code), f"bad {name}", expected=why_not(code), name=name)
            keep &= ~bad


def read_rows(
    stream: IO[bytes],
    names: Sequence[str] | None,
    *,
    file: str,
    quarantine: Quarantine,
    delimiter: str = ",",
    header_lines: int = 1,
    encoding: str = "utf-8",
    quoted: bool = False,
    first_row: int = 0,
    notes: dict[str, int] | None = None,
) -> Iterator[Rows]:
    """Stream the rows of delimited text.

    Parameters
    ----------
    stream
        Decompressed bytes from the start of the file.
    names
        Column names; None takes them from the header line, stripped of blanks and quotes (repeated ones kept: use
        positions then).
    header_lines
        Lines before the first row.
    quoted
        Whether fields may hold the delimiter inside quotes. Market data do not, and a stray quote in a damaged file
        would swallow everything up to the next one.
    notes
        Where it is counted that the last line has no end (it may be cut off; where the input is known to be truncated,
        such a line is quarantined instead of read).

    Raises
    ------
    ReaderError
        If the text has no header line or cannot be split at all.
    """
    head = [stream.readline() for _ in range(header_lines)] if encoding == "utf-8" else []
    if names is None:
        if not head or not head[-1].strip():
            raise ReaderError(
                "the header line is missing", expected="column names", where=f"{file} line {header_lines}"
            )
        text = head[-1].decode("utf-8", "replace").lstrip("\ufeff").rstrip("\r\n")
        names = [n.strip().strip('"') for n in text.split(delimiter)]
    skipped: list[int] = []
    n_names = len(names)

    def handle(row: Any) -> str:
        if row.number is not None:
            skipped.append(row.number - 1 + first_row)
        text = row.text if isinstance(row.text, bytes) else str(row.text).encode()
        if text.strip():
            line = f" line {skipped[-1] + 1 + header_lines}" if skipped else ""
            quarantine.add(
                "wrong number of fields",
                expected=f"{n_names} fields",
                found=str(row.actual_columns),
                where=f"{file}{line}",
                raw=text,
            )
        return "skip"

    watched: Any = _WholeLines(stream, quarantine, file, notes) if encoding == "utf-8" else stream
    columns = [f"f{i}" for i in range(n_names)]
    kept: list[BaseException] = []

    def careful(row: Any) -> str:  # an exception inside pyarrow's callback would be swallowed
        try:
            return handle(row)
        except MalformedRecord as error:
            kept.append(error)
            return "error"

    try:
        reader = pa.csv.open_csv(
            watched,
            read_options=pa.csv.ReadOptions(
                use_threads=False,
                block_size=min(BLOCK_BYTES, max(1 << 20, _RESERVED_BYTES // n_names)),
                column_names=columns,
                encoding=encoding,
                skip_rows=header_lines if encoding != "utf-8" else 0,
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if quoted else False,
                ignore_empty_lines=False,
                invalid_row_handler=careful,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.binary()),
                check_utf8=False,
                strings_can_be_null=False,
                null_values=[],
            ),
        )
        for batch in reader:
            if kept:
                raise kept[0]
            rows = Rows(tuple(names), tuple(batch.columns), file, delimiter, first_row, skipped, header_lines)
            rows = _without_blank(rows, skipped)
            first_row += rows.n
            if rows.n:
                yield rows
        if kept:
            raise kept[0]
    except (pa.ArrowInvalid, UnicodeError) as error:
        if kept:
            raise kept[0] from None
        if "Empty CSV file" in str(error):
            return
        raise ReaderError(
            "the text cannot be split into rows",
            found=str(error).split("\n")[0][:200],
            where=file,
            remedy="check that this is the format it claims to be, and whole",
        ) from error


class _WholeLines:
    r"""A stream of whole lines in UTF-8, whatever the input is.

    An unfinished last line is held back until it is known whether the input ended there by itself. Bytes that are no
    UTF-8 (pyarrow loses a row with such bytes) come out as ``\xff``: nothing is lost, and no number reads like that.
    """

    closed = False

    def __init__(self, stream: IO[bytes], quarantine: Quarantine, file: str, notes: dict[str, int] | None) -> None:
        self._stream = stream
        self._quarantine = quarantine
        self._file = file
        self._notes = notes
        self._held = b""
        self._ready = b""

    def readable(self) -> bool:
        return True

    def read(self, n: int) -> bytes:
        """Return at most ``n`` bytes, as pyarrow's buffers expect; none at the end."""
        while not self._ready:
            chunk = self._stream.read(n)
            if not chunk:
                self._ready = self._last_line().decode("utf-8", "backslashreplace").encode()
                break
            end = chunk.rfind(b"\n") + 1
            if end:
                self._ready, self._held = self._held + chunk[:end], chunk[end:]
            else:
                self._held += chunk
                if len(self._held) > 2 * BLOCK_BYTES:  # no line is so long: let the splitter say so
                    self._ready, self._held = self._held, b""
            if not self._ready.isascii():
                self._ready = self._ready.decode("utf-8", "backslashreplace").encode()
        # Cut between lines: pyarrow takes a lone line feed, left over from a carriage return, for the end of the file.
        cut = len(self._ready) if len(self._ready) <= n else self._ready.rfind(b"\n", 0, n) + 1 or n
        out, self._ready = self._ready[:cut], self._ready[cut:]
        return out

    def _last_line(self) -> bytes:
        line, self._held = self._held, b""
        if line and self._quarantine.truncated:
            where = f"{self._file}, last line"
            self._quarantine.add(
                "line cut off", expected="a line end", found="the end of the input", where=where, raw=line
            )
            return b""
        if line and self._notes is not None:
            self._notes["the last line has no line end: it may be cut off"] = 1
        return line


def _without_blank(rows: Rows, skipped: list[int]) -> Rows:
    """Take out blank lines, which pyarrow gives as rows of empty fields, and note their numbers as skipped."""
    blank = np.ones(rows.n, dtype=np.bool_)
    for column in rows.columns:
        if not blank.any():
            return rows
        blank &= np.diff(buffers(column)[1]) == 0
    if not blank.any():
        return rows
    # ",,," is no blank line, but it says as little: no format here has such a record.
    for line in [rows.line(i) for i in np.flatnonzero(blank).tolist()]:
        insort(skipped, line - 1 - rows.header_lines)
    keep = pa.array(~blank)
    return replace(rows, columns=tuple(column.filter(keep) for column in rows.columns))


def refuse_if_nothing_read(n_good: int, quarantine: Quarantine, file: str) -> None:
    """Raise if a file gave no record at all although it had some: nothing is lost silently."""
    if n_good == 0 and quarantine.total:
        worst = quarantine.counts.most_common(1)[0]
        first = quarantine.records[0]
        raise MalformedRecord(
            f"none of the {quarantine.total} records could be read; {worst[1]} times: {worst[0]}",
            expected=first.expected,
            found=first.found,
            where=first.where or file,
            remedy="check the format (--format) and the options of this file",
        )
