"""Operators: folds over the tape, the same code on a recorded day and on three events that just arrived.

An operator takes blocks of events and gives back rows. Its whole memory is plain arrays, so that it can be saved at any
block boundary and go on elsewhere. Registering one enrols it in the shared tests of the laws
(``tests/contracts/test_operators.py``): chunk, causality, restart, and "the input stays untouched".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.market.events import Events

Rows: TypeAlias = dict[str, NDArray[Any]]
"""Equally long columns. ``ts_ns`` (int64, required) stamps each row with the clock of the event that made it
(:func:`~tapebook.market.events.clock_ns`)."""

State: TypeAlias = dict[str, NDArray[Any]]
"""An operator's whole memory."""


class Operator(Protocol):
    """A fold over the tape of one instrument; events of other instruments in a block are passed over."""

    def advance(self, events: Events) -> Rows:
        """Fold ``events`` into the memory and return the rows they make (possibly none). Never changes ``events``."""
        ...

    def save(self) -> State:
        """Return a copy of the whole memory."""
        ...

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned, of an operator with the same parameters."""
        ...


@dataclass(frozen=True)
class Column:
    """What a column of rows means.

    Attributes
    ----------
    flow
        Whether it counts what happened since the row before (lots of order flow), so that rows put together add up;
        else it tells how things stand, and the last row holds.
    """

    name: str
    unit: str
    meaning: str
    flow: bool = False


@dataclass(frozen=True)
class Registered:
    """An operator as the registry knows it.

    Attributes
    ----------
    make
        Makes the operator from an instrument and its id on the tape; further parameters are named and have defaults.
    needs, also_needs
        What a tape must hold, of "trades", "quotes", "levels", "orders": any one of ``needs`` and any one of
        ``also_needs``, each where it names something.
    home
        The module that registered it.
    """

    name: str
    make: Callable[..., Operator]
    columns: tuple[Column, ...]
    needs: frozenset[str] = field(default_factory=frozenset)
    also_needs: frozenset[str] = field(default_factory=frozenset)
    home: str = ""


_REGISTRY: dict[str, Registered] = {}


def register(
    name: str,
    make: Callable[..., Operator],
    *,
    columns: tuple[Column, ...],
    needs: frozenset[str] = frozenset(),
    also_needs: frozenset[str] = frozenset(),
) -> Registered:
    """Enrol an operator under ``name``: the command line finds it, and the laws are tested on it.

    Raises
    ------
    ConfigurationError
        If another operator has the name.
    """
    home = getattr(make, "__module__", "")
    known = _REGISTRY.get(name)
    if known is not None and known.home != home:
        raise ConfigurationError(
            "operator name taken", expected="a free name", found=name, where=f"{known.home}, {home}"
        )
    entry = Registered(name, make, columns, needs, also_needs, home)
    _REGISTRY[name] = entry
    return entry


def registered() -> Mapping[str, Registered]:
    """All operators of the modules imported so far, by name."""
    return dict(sorted(_REGISTRY.items()))


def concat_rows(parts: list[Rows]) -> Rows:
    """Put the rows of successive blocks together.

    >>> concat_rows([{"ts_ns": np.array([1])}, {"ts_ns": np.array([2, 3])}])["ts_ns"].tolist()
    [1, 2, 3]
    """
    if not parts:
        return {}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def state_below(prefix: str, state: State) -> State:
    """Return the part of a state whose names begin with a prefix, without it.

    >>> state_below("feed.", {"feed.seen": np.zeros(1), "fold.sum": np.zeros(2)})
    {'seen': array([0.])}
    """
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def check_state(state: State, like: State, who: str) -> None:
    """Raise :class:`OperatorError` unless ``state`` has the names and dtypes of ``like``."""
    for name, array in like.items():
        got = state.get(name)
        if got is None or got.dtype != array.dtype or got.ndim != array.ndim:
            found = "nothing" if got is None else f"{got.dtype}, {got.ndim} dimensions"
            raise OperatorError(
                f"{who}: saved state does not fit",
                expected=f"{name}: {array.dtype}, {array.ndim} dimensions",
                found=found,
                remedy="restore what save() of the same operator with the same parameters returned",
            )
