"""What a reader is: a name, a test of the content, and a way to open it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Table, Tape
from tapebook.readers.files import Head


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a user can tell about a file that the file does not tell itself; each reader takes what it needs."""

    symbol: str = ""  # where the file does not name its instrument
    venue: str = ""
    zone: ZoneInfo | None = None  # where the clock of naive times hung
    date: str = ""  # YYYY-MM-DD, for files that hold only times of day
    decimal_comma: bool | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # our word -> the file's column (or its position, "3")
    strict: bool = False
    quarantine_path: Path | None = None
    book_path: Path | None = None  # the file with this one's book: LOBSTER's order-book file, Sierra Chart's .depth
    price_multiplier: Decimal | None = None  # what prices of a file that holds them in other units are multiplied by
    mapping_path: Path | None = None  # TOML file that names columns by position (Sierra Chart's study columns)

    def quarantine(self) -> Quarantine:
        """Return a fresh quarantine as asked for."""
        return Quarantine(strict=self.strict, path=self.quarantine_path)


@dataclass(frozen=True)
class Format:
    """A file format that can be read.

    ``sniff`` looks at content (the name only breaks ties) and returns how sure it is: 0 not mine, 50 plausible,
    100 certain (magic bytes, exact header).
    """

    name: str
    title: str
    sniff: Callable[[Head], int]
    open: Callable[[Path, Head, ReadOptions], Tape | Table]
    example: str = ""  # how a file of it is usually called
