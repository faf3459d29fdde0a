"""Tables of features from a tape: which, sampled where, written as they come, and what the tape could not give.

Here meet what may not know of each other below: features, and bars whose closes sample them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.bars.bars import Bars
from tapebook.bars.rules import BarRule
from tapebook.features.moments import Moments, Places, parse_every
from tapebook.features.sampling import Sampled, part_of
from tapebook.features.touch import FoldOperator, Timed, Together
from tapebook.kernels import bar_state
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, Events, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Operator, Registered, Rows, State, concat_rows
from tapebook.market.tape import Tape
from tapebook.research.feature_sets import Chosen, needs_of
from tapebook.store.rows import write_rows

__all__ = ["BarCloses", "FeatureTable", "Holdings", "Request", "feature_table", "table_of", "write_features"]

_BAR: Final = "time:1m"
_GROUP_ROWS: Final = 1 << 16
_ORDERS: Final = (Kind.ADD, Kind.CANCEL, Kind.MODIFY, Kind.EXECUTE)
_BEFORE: Final = ("time", "range")
"""Bars that are closed by an event that is not theirs any more."""


class BarCloses:
    """A row at each bar's close: for what was known with the last event of the bar.

    Time and range bars, and any bar at the end of a session, are closed by an event that belongs to the next one: that
    event is left out. Every other bar ends with the print that closes it. Rows are stamped with the clock of the
    closing event in both cases: not before it was the bar known.

    Parameters
    ----------
    instrument, instrument_id
        Whose trades.
    rule
        When a bar closes.
    """

    columns = (Column("bar", "", "number of the bar, as tapebook bars counts"),)

    def __init__(self, instrument: Instrument, instrument_id: int, rule: BarRule) -> None:
        self._bars = Bars(instrument, instrument_id, rule)
        self._before = rule.kind in _BEFORE

    def find(self, timed: Timed) -> Places:
        """Return the closes that a block makes."""
        numbered = timed.events.copy()
        numbered["ts_recv_ns"] = np.arange(numbered.size)  # a bar is stamped with the event that closed it
        bars, _ = self._bars.fold(numbered)
        closer: NDArray[np.int64] = np.ascontiguousarray(bars["ts_ns"])
        by_rule = bars["cause"] == bar_state.FULL
        at = closer + (by_rule & (not self._before))
        number = np.ascontiguousarray(bars["bar"]).astype(np.int64)
        return Places(at, timed.ts_ns[closer], {"bar": number})

    def save(self) -> State:
        """Return a copy of the memory."""
        return self._bars.save()

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        self._bars.restore(state)


@dataclass(frozen=True)
class Request:
    """What to make.

    Attributes
    ----------
    chosen
        The features, with their parameters.
    every
        ``event``, ``trade``, a duration, ``bar`` or ``bar=KIND:SIZE``; empty: the own rows of one feature.
    hours
        Whether the calendar's timetable says when the market trades.
    """

    chosen: tuple[Chosen, ...]
    every: str = ""
    hours: bool = True


@dataclass
class Holdings:
    """What a tape was seen to hold of one instrument."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    sided: int = 0

    def see(self, events: Events) -> None:
        """Count a block."""
        self.counts += np.bincount(events["kind"], minlength=256)
        self.sided += int(np.count_nonzero((events["kind"] == Kind.TRADE) & (events["side"] != 0)))

    def words(self) -> frozenset[str]:
        """Return what there is, in the words of :class:`~tapebook.market.operators.Registered`."""
        kinds = {"trades": (Kind.TRADE,), "quotes": (Kind.QUOTE,), "levels": (Kind.LEVEL,), "orders": _ORDERS}
        found = {word for word, of in kinds.items() if self.counts[list(of)].any()}
        return frozenset(found | ({"sides"} if self.sided else set()))

    def lacks(self, entry: Registered, *, undefined: bool) -> str:
        """Return what a feature needs and the tape has not, in words; empty if nothing.

        ``undefined``: a column of it never had a value; then prints without aggressors are a reason as well.
        """
        there = self.words()
        gone = [w for w in (entry.needs, entry.also_needs) if w and not w & there]
        if gone:
            wanted = [needs_of(Registered(entry.name, entry.make, (), w)) for w in gone]
            return "; and ".join(wanted)
        traded = "trades" in (entry.needs | entry.also_needs)
        return "prints that name their aggressor" if undefined and traded and "sides" not in there else ""


@dataclass(frozen=True)
class FeatureTable:
    """What was written.

    Attributes
    ----------
    warm_up
        By column: rows before the first value; None where there never was one.
    lacks
        By feature: what it needs and the tape has not.
    """

    path: Path
    rows: int
    symbol: str
    warm_up: dict[str, int | None]
    lacks: dict[str, str]


class _Own:
    """One feature's own rows, with the hours that its feed shall keep."""

    def __init__(self, instrument: Instrument, instrument_id: int, one: Chosen, *, hours: bool) -> None:
        operator = one.entry.make(instrument, instrument_id, **one.parameters)
        part = part_of(one.label, one.entry, instrument, instrument_id, **one.parameters)
        self.columns = part.columns
        self._operator: Any = operator
        self._together = None
        if not hours and isinstance(operator, FoldOperator) and type(operator).advance is FoldOperator.advance:
            fold: Any = part.make()
            self._operator = self._together = Together(instrument, instrument_id, {"fold": fold}, hours=False)

    def advance(self, events: Events) -> Rows:
        rows: Rows = (
            self._operator.advance(events) if self._together is None else self._together.advance(events)["fold"]
        )
        return rows

    def save(self) -> State:
        saved: State = self._operator.save()
        return saved

    def restore(self, state: State) -> None:
        self._operator.restore(state)


def table_of(request: Request, instrument: Instrument, instrument_id: int) -> Sampled | _Own:
    """Return the operator that makes the rows; its ``columns`` tell what they mean.

    Raises
    ------
    ConfigurationError
        If several features shall be written without being sampled, or there is no such sampling.
    """
    chosen = tuple(_with_hours(one, hours=request.hours) for one in request.chosen)
    if not request.every:
        if len(chosen) != 1:
            raise ConfigurationError(
                "several features have no common rows of their own",
                expected="--every event, trade, a duration such as 100ms, or bar=KIND:SIZE",
                found=", ".join(one.label for one in chosen),
                remedy="say where to sample them, or name one feature",
            )
        return _Own(instrument, instrument_id, chosen[0], hours=request.hours)
    kind, _, rule = request.every.partition("=")
    moments: Moments
    if kind == "bar":
        moments = BarCloses(instrument, instrument_id, BarRule.parse(rule or _BAR))
    else:
        moments = parse_every(request.every)
    parts = [part_of(one.label, one.entry, instrument, instrument_id, **one.parameters) for one in chosen]
    return Sampled(instrument, instrument_id, parts, moments, hours=request.hours)


def _with_hours(one: Chosen, *, hours: bool) -> Chosen:
    """Tell a feature with a feed of its own, where it can be told, that the calendar's hours do not fit."""
    import inspect

    if hours or "hours" in one.parameters or "hours" not in inspect.signature(one.entry.make).parameters:
        return one
    return Chosen(one.label, one.entry, {**one.parameters, "hours": False})


class Making:
    """Rows of an operator on their way into a file, with what is to be told of them."""

    def __init__(self, request: Request, instrument: Instrument, instrument_id: int) -> None:
        self.operator = table_of(request, instrument, instrument_id)
        self.holdings = Holdings()
        self._id = instrument_id
        self._symbol = instrument.symbol
        self._chosen = request.chosen
        empty = self.operator.advance(empty_events(0))
        columns = {c.name: c for c in self.operator.columns}
        self.schema = pa.schema([_field(columns[name], array) for name, array in empty.items()])
        self._first: dict[str, int | None] = dict.fromkeys(empty)
        self._owner = _owners(self.operator, request.chosen)
        self._rows = 0

    def batches(self, blocks: Iterator[Events]) -> Iterator[pa.RecordBatch]:
        """Yield the rows in row groups: those of several blocks where a block makes few."""
        waiting: list[Rows] = []
        for block in blocks:
            mine = block["instrument_id"] == self._id
            events = block if mine.all() else block[mine]
            if not events.size:
                continue
            self.holdings.see(events)
            waiting.append(self.operator.advance(events))
            if sum(rows["ts_ns"].size for rows in waiting) >= _GROUP_ROWS:
                yield self._batch(waiting)
                waiting = []
        if waiting:
            yield self._batch(waiting)

    def _batch(self, waiting: list[Rows]) -> pa.RecordBatch:
        rows = concat_rows(waiting)
        arrays = []
        for name, column in rows.items():
            gone = _missing(column)
            if self._first[name] is None and not gone.all():
                self._first[name] = self._rows + int(np.flatnonzero(~gone)[0])
            arrays.append(pa.array(np.ascontiguousarray(column), mask=gone if gone.any() else None))
        self._rows += rows["ts_ns"].size
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def told(self, path: Path) -> FeatureTable:
        """Return what was written."""
        lacks = {}
        for one in self._chosen:
            own = [name for name, label in self._owner.items() if label == one.label]
            what = self.holdings.lacks(one.entry, undefined=any(self._first[name] is None for name in own))
            if what:
                lacks[one.label] = what
        return FeatureTable(path, self._rows, self._symbol, dict(self._first), lacks)


def _owners(operator: Sampled | _Own, chosen: Sequence[Chosen]) -> dict[str, str]:
    """Return which feature each column is of."""
    if isinstance(operator, Sampled):
        return operator.owners
    return {c.name: chosen[0].label for c in operator.columns}


def _field(column: Column, array: NDArray[Any]) -> pa.Field:
    if array.ndim != 1:
        raise ConfigurationError("a table has one value a column", expected="one dimension", found=column.name)
    words = {"unit": column.unit, "meaning": column.meaning}
    return pa.field(column.name, pa.from_numpy_dtype(array.dtype), metadata=words)


def _missing(column: NDArray[Any]) -> NDArray[np.bool_]:
    if column.dtype.kind == "f":
        gone: NDArray[np.bool_] = np.isnan(column)
        return gone
    return column == MISSING if column.dtype == np.int64 else np.zeros(column.shape, np.bool_)


def feature_table(tape: Tape, request: Request, instrument: Instrument, instrument_id: int) -> Rows:
    """Return the rows of a whole tape, for a notebook."""
    operator: Operator = table_of(request, instrument, instrument_id)
    return concat_rows([operator.advance(block) for block in tape.blocks()] or [operator.advance(empty_events(0))])


def write_features(
    tape: Tape, path: Path, request: Request, instrument: Instrument, instrument_id: int
) -> FeatureTable:
    """Write the rows as they come, in the format that the extension names; the file appears when it is whole.

    Raises
    ------
    ConfigurationError
        If the request cannot be met, or no format has that extension.
    """
    making = Making(request, instrument, instrument_id)
    write_rows(making.batches(tape.blocks()), making.schema, path)
    return making.told(path)
