"""Folds over a feed: what features of the touch and features of the depth have in common.

A *feed* turns blocks of a tape into views and builds the book on the way. A *fold* turns views into rows. Many folds
share one feed, so that the book is built once (:class:`Folds`); alone, a fold and its feed are an operator
(:class:`Alone`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from tapebook.market.events import Events
from tapebook.market.operators import Rows, State, state_below

__all__ = ["Alone", "FeedOf", "FoldOf", "Folds"]

V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
V_contra = TypeVar("V_contra", contravariant=True)


class FoldOf(Protocol[V_contra]):
    """A feature without its feed: views in, rows out, with its memory in plain arrays."""

    def fold(self, view: V_contra) -> Rows:
        """Fold a view into the memory and return the rows it makes."""
        ...

    def save(self) -> State:
        """Return a copy of the memory."""
        ...

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        ...


class FeedOf(Protocol[V_co]):
    """Turns blocks of a tape into views."""

    def see(self, events: Events) -> V_co:
        """Fold a block into the book and return the view of it."""
        ...

    def save(self) -> State:
        """Return a copy of the whole memory, the book's included."""
        ...

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        ...


class Folds(Generic[V]):
    """Many folds over one feed: the book is built once."""

    def __init__(self, feed: FeedOf[V], folds: Mapping[str, FoldOf[V]]) -> None:
        self._feed = feed
        self.folds = dict(folds)

    def advance(self, events: Events) -> dict[str, Rows]:
        """Fold a block and return the rows of each fold."""
        return self.fold(self._feed.see(events))

    def fold(self, view: V) -> dict[str, Rows]:
        """Return the rows of each fold for a view that the feed has made."""
        return {name: fold.fold(view) for name, fold in self.folds.items()}

    def save(self) -> State:
        """Return a copy of the whole memory."""
        state = {f"feed.{name}": array for name, array in self._feed.save().items()}
        for name, fold in self.folds.items():
            state |= {f"{name}.{key}": array for key, array in fold.save().items()}
        return state

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        self._feed.restore(state_below("feed.", state))
        for name, fold in self.folds.items():
            fold.restore(state_below(f"{name}.", state))


class Alone(Generic[V]):
    """A feature as an operator of its own: a feed and a fold."""

    def __init__(self, feed: FeedOf[V], fold: FoldOf[V]) -> None:
        self._folds = Folds(feed, {"fold": fold})

    @property
    def feature(self) -> FoldOf[V]:
        """The fold, to be put over another feed."""
        return self._folds.folds["fold"]

    def advance(self, events: Events) -> Rows:
        """Fold a block and return the rows it makes."""
        return self._folds.advance(events)["fold"]

    def save(self) -> State:
        """Return a copy of the whole memory."""
        return self._folds.save()

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        self._folds.restore(state)
