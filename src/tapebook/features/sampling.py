"""Many features in one table of rows: at every event, every trade, on a clock, or at whatever moments are wanted.

Rows of a feature come when it has something to tell. A sample says what was known at a moment: of a column that tells
how things stand, the last value at or before it (missing before the first); of a flow (``Column.flow``), the sum since
the sample before.

Which row belongs before which sample is decided by the event that made it, not by its time: a venue stamps many events
with one nanosecond. Three ways, which give the same rows:

* Numbered: folds share one book (:class:`~tapebook.features.touch.Together`) and see a view whose stamps are numbers of
  its events, so that each row names its event.
* Stamped: a fold that keeps stamps (a column ``ts_…`` beside ``ts_ns``), or an operator with a feed of its own, sees
  the true ones; where those are ambiguous between two samples, the block is cut there.
* Cut: a feature whose rows turn out to be stamped otherwise (with the end of an interval) is run from sample to sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.folds import Alone
from tapebook.features.moments import Moments
from tapebook.features.touch import Fold, FoldOperator, Timed, Together, View
from tapebook.kernels import sampling as kernel
from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.market.events import MISSING, Events, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Operator, Registered, Rows, State, check_state, concat_rows, state_below

__all__ = ["Part", "Sampled", "part_of"]

Ints = NDArray[np.int64]
_TAKEN: Final = frozenset({"feed", "moments", "table"})
_NUMBERED, _STAMPED, _CUT = "numbered", "stamped", "cut"
_FIRST: Final = -(1 << 62)
"""Number of a block's first event: numbers are far from every time that there is."""


@dataclass(frozen=True)
class Part:
    """A feature as a table takes it: a fold over the shared feed, or an operator with a feed of its own.

    Attributes
    ----------
    label
        What tells it from the other parts; prefix of those of its columns whose name another part has too.
    columns
        Of its rows, ``ts_ns`` first.
    make
        What makes its fold or operator, anew each time.
    """

    label: str
    columns: tuple[Column, ...]
    make: Callable[[], Fold | Operator]


def part_of(label: str, entry: Registered, instrument: Instrument, instrument_id: int, **parameters: Any) -> Part:
    """Return a registered feature with its parameters as a part of a table."""

    def make() -> Fold | Operator:
        operator = entry.make(instrument, instrument_id, **parameters)
        if isinstance(operator, FoldOperator) and type(operator).advance is FoldOperator.advance:
            return operator.feature  # its feed is shared here
        return operator

    unit: Any = make()
    if not hasattr(unit, "columns") and isinstance(unit, Alone):  # an operator around one fold of the depth
        unit = unit.feature
    told = getattr(unit, "columns", entry.columns)  # a feature whose columns hang on its parameters tells them
    return Part(label, tuple(told), make)


class Sampled:
    """One table of several features, sampled at chosen moments.

    Columns of int64 stay so, missing is MISSING; all others become float64, missing is NaN. Flows are float64: NaN
    until a first increment was defined; an undefined increment adds nothing to a sum, but a sum of such alone is NaN.

    Parameters
    ----------
    instrument, instrument_id
        Whose events to look at.
    parts
        The features (:func:`part_of`).
    moments
        Where the rows fall (:mod:`tapebook.features.moments`).
    hours
        Whether the calendar's timetable says when the market trades (for the shared feed).

    Examples
    --------
    >>> from tapebook.features import ofi
    >>> from tapebook.features.moments import EveryEvent
    >>> from tapebook.market.events import Flag, Kind
    >>> from tapebook.market.operators import registered
    >>> x = Instrument(symbol="X", venue="Y")
    >>> e = empty_events(6)
    >>> e["kind"], e["flags"], e["side"], e["instrument_id"] = Kind.QUOTE, [0, Flag.LAST] * 3, [1, -1] * 3, 1
    >>> e["price"], e["qty_lots"], e["ts_event_ns"] = [99, 101] * 3, [5, 7, 9, 7, 6, 7], [1, 1, 2, 2, 2, 2]
    >>> table = Sampled(x, 1, [part_of("ofi", registered()["ofi"], x, 1)], EveryEvent()).advance(e)
    >>> table["ts_ns"].tolist(), table["ofi_lots"].tolist()
    ([1, 2, 2], [nan, 4.0, -3.0])
    """

    def __init__(
        self,
        instrument: Instrument,
        instrument_id: int,
        parts: Sequence[Part],
        moments: Moments,
        *,
        hours: bool = True,
    ) -> None:
        labels = [part.label for part in parts]
        if len({*labels, *_TAKEN}) < len(labels) + len(_TAKEN):
            raise ConfigurationError("each part needs a name of its own", expected="different ones", found=f"{labels}")
        self._moments = moments
        made = {part.label: part.make() for part in parts}
        folds = {label: unit for label, unit in made.items() if hasattr(unit, "fold")}
        self._together = Together(instrument, instrument_id, folds, hours=hours)  # type: ignore[arg-type] # have fold
        self._operators: dict[str, Any] = {label: unit for label, unit in made.items() if label not in folds}
        self._way = {
            p.label: _STAMPED if p.label not in folds or _keeps_stamps(p.columns) else _NUMBERED for p in parts
        }
        self._sure: set[str] = set()  # parts whose rows were seen to be stamped as their way wants it
        fixed = {column.name for column in moments.columns}
        self._hands = [_Hand(part, _names(part, parts, fixed), self._empty_rows(part)) for part in parts]
        self.columns = (
            Column("ts_ns", "ns", "when the row stands: the clock of its event, or the sampled boundary"),
            *moments.columns,
            *(column for hand in self._hands for column in hand.columns),
        )

    @property
    def owners(self) -> dict[str, str]:
        """The label of the part that each column is of."""
        return {column.name: hand.label for hand in self._hands for column in hand.columns}

    def advance(self, events: Events) -> Rows:
        """Fold a block and return the samples it makes."""
        feed = self._together.feed
        timed = feed.time(events)
        places = self._moments.find(timed)
        rows: Rows = {"ts_ns": places.ts_ns, **places.more}
        made = self._folded(timed, places.at)
        for label, operator in self._operators.items():
            if getattr(operator, "row_for_each_event", False):
                made[label] = (operator.advance(timed.events), np.arange(timed.events.size))
            else:
                made[label] = self._run(label, operator, operator.advance, timed.events, timed.ts_ns, places.at)
        for hand in self._hands:
            rows |= hand.sample(*made[hand.label], places.at)
        return rows

    def _folded(self, timed: Timed, at: Ints) -> dict[str, tuple[Rows, Ints]]:
        """Return each fold's rows and the place of the event that made each."""
        folds = self._together.folds
        if not folds:
            return {}
        view = self._together.feed.view(timed, 0, timed.events.size)
        return {label: self._run(label, fold, fold.fold, view, view.ts_ns, at) for label, fold in folds.items()}

    def _run(
        self, label: str, unit: Fold | Operator, advance: Callable[[Any], Rows], block: Any, ts_ns: Ints, at: Ints
    ) -> tuple[Rows, Ints]:
        """Return a part's rows and the place of the event that made each, or of one on its side of all samples."""
        way = self._way[label]
        if way == _CUT:
            return _cut(block, ts_ns.size, at, advance)
        before = None if label in self._sure else unit.save()
        if way == _NUMBERED:
            rows = advance(replace(block, ts_ns=np.arange(_FIRST, _FIRST + ts_ns.size)))
            places: Ints | None = _in_order(rows["ts_ns"] - _FIRST, ts_ns.size)
        else:
            rows, places = _located(block, ts_ns, at, advance)
        if places is not None:
            if places.size:
                self._sure.add(label)
            return rows, places
        if before is None:
            raise OperatorError(
                f"{label}: rows cannot be put in order",
                expected="all rows stamped alike: with the clocks of their events, or otherwise",
                found="some of each",
                remedy="stamp rows with view.ts_ns[place of the event]",
            )
        unit.restore(before)
        self._way[label] = _CUT
        return _cut(block, ts_ns.size, at, advance)

    def _empty_rows(self, part: Part) -> Rows:
        unit: Any = self._together.folds.get(part.label)
        if unit is None:
            return dict(self._operators[part.label].advance(empty_events(0)))
        feed = self._together.feed
        rows: Rows = unit.fold(feed.view(feed.time(empty_events(0)), 0, 0))
        return rows

    def save(self) -> State:
        """Return a copy of the whole memory."""
        state = self._together.save()
        for label, operator in self._operators.items():
            state |= {f"{label}.{name}": array for name, array in operator.save().items()}
        state |= {f"moments.{name}": array for name, array in self._moments.save().items()}
        return state | {f"table.{h.label}.{name}": array for h in self._hands for name, array in h.save().items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        self._together.restore(state)
        for label, operator in self._operators.items():
            operator.restore(state_below(f"{label}.", state))
        self._moments.restore(state_below("moments.", state))
        for hand in self._hands:
            hand.restore(state_below(f"table.{hand.label}.", state))


class _Hand:
    """The last values and the sums of one part's columns."""

    def __init__(self, part: Part, names: dict[str, str], empty: Rows) -> None:
        self.label = part.label
        told = {column.name: column for column in part.columns}
        if list(empty) != list(told):
            raise ConfigurationError(
                "a feature does not keep its word",
                expected=f"the columns {', '.join(told)}",
                found=", ".join(empty),
                where=part.label,
                remedy="register the columns that its rows have, in their order",
            )
        self._levels: dict[str, NDArray[Any]] = {}  # the last value of each
        self._flows: dict[str, NDArray[np.float64]] = {}
        self._names = names
        self.columns: list[Column] = []
        for name, array in empty.items():
            if name == "ts_ns":
                continue
            if array.ndim != 1:
                raise ConfigurationError(
                    "a table has one value a column",
                    expected="columns of one dimension",
                    found=f"{name} of {array.ndim}",
                    where=part.label,
                    remedy="leave out this feature, or write its own rows (one NAME, no --every)",
                )
            if told[name].flow:
                self._flows[name] = np.zeros(kernel.N_FLOW)
            else:
                whole = array.dtype == np.int64
                self._levels[name] = np.full(1, MISSING, np.int64) if whole else np.full(1, np.nan)
            self.columns.append(replace(told[name], name=names[name]))

    def sample(self, rows: Rows, row_at: Ints, at: Ints) -> Rows:
        """Return the columns at the samples and keep what comes after the last of them."""
        seen = np.searchsorted(row_at, at, side="left")
        sampled: Rows = {}
        for name, public in self._names.items():
            last = self._levels.get(name)
            if last is None:
                out = np.empty(at.size)
                kernel.flow_between(row_at, rows[name].astype(np.float64), at, self._flows[name], out)
                sampled[public] = out
                continue
            history = np.concatenate([last, rows[name]], dtype=last.dtype)
            sampled[public] = history[seen]
            last[0] = history[-1]
        return sampled

    def _own(self) -> State:
        return self._levels | self._flows

    def save(self) -> State:
        return {name: array.copy() for name, array in self._own().items()}

    def restore(self, state: State) -> None:
        check_state(state, self._own(), f"sampled {self.label}")
        for name, array in self._own().items():
            array[:] = state[name]


def _names(part: Part, parts: Sequence[Part], fixed: set[str]) -> dict[str, str]:
    """Return the public name of each column: with the part's label where another part, or the rows, have the same."""
    others = fixed | {c.name for other in parts if other.label != part.label for c in other.columns}
    own = [c.name for c in part.columns if c.name != "ts_ns"]
    return {name: f"{part.label}_{name}" if name in others else name for name in own}


def _keeps_stamps(columns: tuple[Column, ...]) -> bool:
    return any(column.name.startswith("ts_") for column in columns[1:])


def _in_order(places: Ints, n: int) -> Ints | None:
    """Return the places that rows name if they can be: of the block, and never falling."""
    if places.size and (places.min() < 0 or places.max() >= n or (np.diff(places) < 0).any()):
        return None
    return places


def _pieces(block: Any, n: int, cuts: Ints, advance: Callable[[Any], Rows]) -> list[tuple[int, int, Rows]]:
    """Advance over the pieces of a block; return where each lies, and its rows."""
    edges = [0, *cuts.tolist(), n]
    return [(a, b, advance(_slice(block, a, b))) for a, b in pairwise(edges) if b > a or n == 0]


def _cut(block: Any, n: int, at: Ints, advance: Callable[[Any], Rows]) -> tuple[Rows, Ints]:
    """Advance from sample to sample."""
    done = _pieces(block, n, np.unique(at[(at > 0) & (at < n)]), advance)
    places = [np.full(rows["ts_ns"].size, a, np.int64) for a, _, rows in done]
    return concat_rows([rows for _, _, rows in done]), np.concatenate(places)


def _located(block: Any, ts_ns: Ints, at: Ints, advance: Callable[[Any], Rows]) -> tuple[Rows, Ints | None]:
    """Advance over a block that is cut where stamps would not tell on which side of a sample a row's event stands."""
    done = _pieces(block, ts_ns.size, _ambiguous(ts_ns, at), advance)
    places = []
    for a, b, rows in done:
        own = ts_ns[a:b]
        # The last event with that stamp: no sample stands between it and the one that made the row.
        place = np.searchsorted(own, rows["ts_ns"], side="right") - 1
        if place.size and (_in_order(place, own.size) is None or (own[place] != rows["ts_ns"]).any()):
            return {}, None
        places.append(place + a)
    return concat_rows([rows for _, _, rows in done]), np.concatenate(places)


def _ambiguous(ts_ns: Ints, at: Ints) -> Ints:
    """Return where to cut so that within a piece stamps never fall, and none is the same on both sides of a sample."""
    if ts_ns.size < 2:
        return np.empty(0, np.int64)
    falls = np.flatnonzero(ts_ns[1:] < ts_ns[:-1]) + 1
    inside = at[(at > 0) & (at < ts_ns.size)]
    same = inside[ts_ns[inside] == ts_ns[inside - 1]]
    return np.unique(np.concatenate([falls, same]))


def _slice(block: Any, a: int, b: int) -> Any:
    """Return a part of a view, or of events."""
    if not isinstance(block, View):
        return block[a:b]
    touch = {name: getattr(block, name)[a : b + 1] for name in ("bid_px", "bid_sz", "ask_px", "ask_sz", "thread")}
    events = {name: getattr(block, name)[a:b] for name in ("events", "ts_ns", "clock_ns", "session", "trading")}
    return View(**events, **touch)
