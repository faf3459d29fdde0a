"""What the first lines of a delimited text file say: delimiter, column names, decimal comma."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tapebook.market.errors import ReaderError
from tapebook.readers.files import Head

DELIMITERS: Final = ("\t", ";", ",", "|")

_NUMBER_WITH_COMMA: Final = re.compile(r"[+-]?\d+,\d+")
_NUMBER_WITH_POINT: Final = re.compile(r"[+-]?\d*\.\d+")


@dataclass(frozen=True)
class TextHead:
    """The head of a delimited text file.

    Attributes
    ----------
    delimiter
        What parts the fields.
    names
        Column names, stripped of blanks and quotes; empty where the file has no header line.
    rows
        The first rows, their fields stripped likewise.
    header_lines
        Lines before the first row.
    quoted
        Whether fields stand in quotes.
    """

    delimiter: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    header_lines: int
    quoted: bool

    def column(self, position: int) -> list[str]:
        """Return a column of the first rows (those that have it), empty fields left out."""
        return [row[position] for row in self.rows if len(row) > position and row[position]]

    def find(self, *words: str) -> int:
        """Return the position of the only column of one of these names (any case); -1: none or several."""
        wanted = {w.lower() for w in words}
        found = [i for i, name in enumerate(self.names) if name.lower() in wanted]
        return found[0] if len(found) == 1 else -1

    def decimal_comma(self, positions: Sequence[int]) -> bool:
        """Tell whether the numbers in some columns have a decimal comma.

        >>> head = TextHead(";", ("Price",), (("25263,25",), ("25264",)), 1, False)
        >>> head.decimal_comma([0])
        True
        """
        texts = [text for position in positions if position >= 0 for text in self.column(position)]
        comma = sum(bool(_NUMBER_WITH_COMMA.fullmatch(t)) for t in texts)
        point = sum(bool(_NUMBER_WITH_POINT.fullmatch(t)) for t in texts)
        return comma > point and self.delimiter != ","


def split_fields(line: str, delimiter: str, *, quoted: bool) -> tuple[str, ...]:
    """Return the stripped fields of a line.

    >>> split_fields('2024/3/18, 00:00:00, "5,195"', ",", quoted=True)
    ('2024/3/18', '00:00:00', '5,195')
    """
    if quoted and '"' in line:
        parts = re.findall(rf'(?:^|{re.escape(delimiter)})\s*("(?:[^"]|"")*"|[^{re.escape(delimiter)}]*)', line)
        return tuple(p.strip().strip('"') for p in parts)
    return tuple(field.strip().strip('"') for field in line.split(delimiter))


def text_head(head: Head, *, header_lines: int = 1, delimiter: str = "") -> TextHead | None:
    r"""Take the head of a text file apart; None where it is no delimited text.

    Parameters
    ----------
    head
        The head of the file.
    header_lines
        Lines before the first row, the last of them the column names; 0 for a file without names.
    delimiter
        Where known; else the one that parts the first line into most fields.

    Examples
    --------
    >>> from pathlib import Path
    >>> found = text_head(Head(Path("f.txt"), 9, "", b"Date; Time\n2022-01-24;13:30\n"))
    >>> found.delimiter, found.names, found.rows
    (';', ('Date', 'Time'), (('2022-01-24', '13:30'),))
    """
    lines = head.lines
    if len(lines) < max(header_lines, 1) or "\0" in lines[0]:
        return None
    first = lines[header_lines - 1] if header_lines else lines[0]
    if not delimiter:
        counts = {d: first.count(d) for d in DELIMITERS}
        if not header_lines and counts["\t"] == counts[";"] == 0 and counts[","] > 1:
            delimiter = ","
        else:  # a decimal comma may stand in a row that semicolons part, so the rarer character wins over the comma
            delimiter = next((d for d in ("\t", ";", "|") if counts[d]), ",")
        if not counts[delimiter]:
            return None
    quoted = '"' in first or any('"' in line for line in lines[header_lines : header_lines + 5])
    names = split_fields(first, delimiter, quoted=quoted) if header_lines else ()
    rows = tuple(
        split_fields(x, delimiter, quoted=quoted) for x in lines[header_lines : header_lines + 2000] if x.strip()
    )
    return TextHead(delimiter, names, rows, header_lines, quoted)


def position_of(head: TextHead, column: str, word: str, where: str) -> int:
    """Return the position, from 0, of a column that the user names, by its name or its position from 1.

    Raises
    ------
    ReaderError
        If there is no such column, or several of that name.
    """
    if column.isdecimal() and column not in head.names:
        position = int(column) - 1
        width = len(head.names) or max((len(row) for row in head.rows), default=0)
        if 0 <= position < width:
            return position
    found = [i for i, name in enumerate(head.names) if name.lower() == column.strip().lower()]
    if len(found) == 1:
        return found[0]
    raise ReaderError(
        f"the column for {word!r} is not there" if not found else f"several columns are called {column!r}",
        expected=f"one of: {', '.join(head.names)}" if head.names else "a position, from 1",
        found=column if not found else f"positions {', '.join(str(i + 1) for i in found)}",
        where=where,
        remedy=f"say --column {word}=NAME or --column {word}=POSITION (from 1)",
    )


def unique_names(names: Sequence[str]) -> list[str]:
    """Return names that differ, for the quarantine's messages: repeated and empty ones get their position.

    >>> unique_names(["Low", "Avg", "Low", ""])
    ['Low', 'Avg', 'Low (column 3)', '(column 4)']
    """
    seen: set[str] = set()
    out = []
    for i, name in enumerate(names):
        label = name if name and name not in seen else f"{name} (column {i + 1})".strip()
        seen.add(label)
        out.append(label)
    return out


def renamed(columns: Mapping[int, str]) -> str:
    """Say which columns got which name."""
    return ", ".join(f"{i + 1}: {name}" for i, name in sorted(columns.items()))
