"""What to read from a lake: which instruments, when, which sources; and whether that can be one tape.

Two sources *overlap* if both hold trades, or levels, or quotes, or orders of one instrument in one stretch of time: the
same day as MBO and as MBP-10, or a file under two names. Merged, each print would be there twice. So reading refuses,
names the sources, and lets the user choose. Sources that complement each other (trades here, quotes there) are merged.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
import numpy as np

from tapebook.market.errors import ConfigurationError, StoreError
from tapebook.market.events import MISSING
from tapebook.store.manifest import Source, StoredFile

Moment: TypeAlias = int | str | dt.date | None
"""A bound: int, ns on the clock; a date (or ``YYYY-MM-DD``), a trade date; None, no bound."""

Words: TypeAlias = str | Collection[str] | None

_ALIKE: Final[Mapping[str, str]] = {
    "TRADE": "trades",
    "LEVEL": "levels",
    "QUOTE": "quotes",
    "ADD": "orders",
    "CANCEL": "orders",
    "MODIFY": "orders",
    "EXECUTE": "orders",
}
"""Kinds that would be told twice; CLEAR and STATUS do no harm."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A choice of instruments, time and sources; make one with :func:`select`."""

    venues: frozenset[str] | None
    symbols: frozenset[str] | None
    dates: tuple[str, str]  # first and last, "" for none
    clock: tuple[int | None, int | None]  # start_ns <= clock < end_ns
    sources: frozenset[str] | None

    def takes(self, f: StoredFile) -> bool:
        """Return whether any event of ``f`` may be wanted."""
        if self.venues is not None and f.venue not in self.venues:
            return False
        if self.symbols is not None and f.symbol not in self.symbols:
            return False
        first, last = self.dates
        if (first and f.date < first) or (last and (not f.date or f.date > last)):
            return False
        return (f.untimed > 0 and self.clock[0] is None) or self.takes_clock(f.clock_ns)

    def takes_clock(self, span: tuple[int, int] | None) -> bool:
        """Return whether ``span`` shares a moment with the range (no span: only if there is no start)."""
        start, end = self.clock
        if span is None:
            return start is None
        return (start is None or span[1] >= start) and (end is None or span[0] < end)

    @property
    def by_clock(self) -> bool:
        """Whether events have to be looked at one by one."""
        return self.clock != (None, None)


def select(venue: Words, symbol: Words, start: Moment, end: Moment, sources: Words) -> Selection:
    """Make a selection of a user's words.

    >>> select("CME", "ESH4", "2023-12-26", None, None).dates
    ('2023-12-26', '')

    Raises
    ------
    ConfigurationError
        If a bound is neither ns nor a date, or the range is empty.
    """
    (first, start_ns), (last, end_ns) = _moment(start, "start"), _moment(end, "end")
    if (first and last and first > last) or (start_ns is not None and end_ns is not None and start_ns >= end_ns):
        raise ConfigurationError(
            "an empty range of time", expected="start before end", found=f"{start} to {end}", remedy="swap them"
        )
    return Selection(
        venues=_words(venue),
        symbols=_words(symbol),
        dates=(first, last),
        clock=(start_ns, end_ns),
        sources=_words(sources),
    )


def chosen(selection: Selection, sources: Mapping[str, Source]) -> dict[str, Source]:
    """Return the sources of events with only the selected files, those that begin first first.

    Raises
    ------
    StoreError
        If the selection names a source that is not there.
    """
    named = selection.sources
    if named is not None:
        for word in sorted(named):
            if not any(i.startswith(word) for i in sources):
                raise StoreError(
                    "no such source in the lake",
                    expected=f"one of {', '.join(sorted(sources)) or 'none'}",
                    found=word,
                    remedy="see tapebook lake ls --sources",
                )
    found: dict[str, Source] = {}
    for source in sources.values():
        if source.table or (named is not None and not source.id.startswith(tuple(named))):
            continue
        files = tuple(f for f in source.files if selection.takes(f))
        if files:
            found[source.id] = msgspec.structs.replace(source, files=files)
    return dict(sorted(found.items(), key=lambda item: (first_clock(item[1].files), item[0])))


def first_clock(files: Iterable[StoredFile]) -> int:
    """Return a bound that no clock of ``files`` is below (MISSING, the smallest of all, if one has no time)."""
    return min((MISSING if f.untimed or f.clock_ns is None else f.clock_ns[0] for f in files), default=MISSING)


def overlaps(sources: Iterable[Source], selection: Selection | None = None) -> list[str]:
    """Say for each two sources that tell one thing twice which, what and when; empty if there are none."""
    clock = (None, None) if selection is None else selection.clock
    by_instrument: dict[tuple[str, str], list[tuple[str, StoredFile]]] = defaultdict(list)
    for source in sources:
        for f in source.files:
            if f.clock_ns is not None:
                by_instrument[f.venue, f.symbol].append((source.id, f))
    told: dict[tuple[str, str, str, str], str] = {}
    for (venue, symbol), files in by_instrument.items():
        under_way: list[tuple[str, StoredFile]] = []
        for i, a in sorted(files, key=lambda item: (_span(item[1]), item[0])):
            under_way = [(j, b) for j, b in under_way if _span(b)[1] > _span(a)[0]]
            for j, b in under_way:
                since = _common(_span(a), _span(b), clock)
                alike = _told(a) & _told(b)
                if i != j and since is not None and alike:
                    when = np.datetime64(since, "ns")
                    text = f"{' and '.join(sorted(alike))} of {symbol} ({venue}) from {when}Z in both {i} and {j}"
                    told.setdefault((venue, symbol, min(i, j), max(i, j)), text)
            under_way.append((i, a))
    return list(told.values())


def _span(f: StoredFile) -> tuple[int, int]:
    assert f.clock_ns is not None
    return f.clock_ns


def _told(f: StoredFile) -> set[str]:
    return {_ALIKE[kind] for kind in f.kinds if kind in _ALIKE}


def _common(a: tuple[int, int], b: tuple[int, int], clock: tuple[int | None, int | None]) -> int | None:
    """Return where the two spans and the wanted range begin to overlap; one moment in common is no overlap."""
    start = max(a[0], b[0], MISSING if clock[0] is None else clock[0])
    end = min(a[1], b[1]) if clock[1] is None else min(a[1], b[1], clock[1])
    return start if start < end else None


def _words(words: Words) -> frozenset[str] | None:
    if words is None or words == "":
        return None
    return frozenset([words] if isinstance(words, str) else words) or None


def _moment(moment: Moment, name: str) -> tuple[str, int | None]:
    """Return a bound as a trade date or as ns."""
    if moment is None or moment == "":
        return "", None
    if isinstance(moment, str):
        try:
            return dt.date.fromisoformat(moment).isoformat(), None
        except ValueError:
            raise _no_moment(moment, name) from None
    if isinstance(moment, dt.datetime):  # a subclass of date, whose zone nobody knows
        raise _no_moment(moment, name)
    if isinstance(moment, dt.date):
        return moment.isoformat(), None
    return "", int(moment)


def _no_moment(moment: object, name: str) -> ConfigurationError:
    return ConfigurationError(
        "not a bound of time",
        expected="a trade date YYYY-MM-DD, or int ns since 1970 UTC",
        found=repr(moment),
        where=name,
        remedy="give one of those",
    )
