"""What a book counted: events by what they did, states it was seen in, and everything that was not as it should be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BookStatistics:
    """Counts since the start (saved and restored with the book). None of these ever stops a run.

    Attributes
    ----------
    events, observed
        Events folded; those with LAST, after which the book may be looked at.
    trades, levels_set, quotes, adds, cancels, modifies, executions, clears
        Events by kind, as far as they were well formed. A quote that says "this side is empty" is a quote.
    told_only
        Book records with INFO: another record makes the change, so they were passed over.
    crossed, locked
        Observed states with the best bid above, or at, the best ask. The book keeps both sides as told.
    bad_kinds, bad_sides, bad_prices, bad_quantities
        Records passed over: unknown kind; book record without a side; price missing where one is needed; quantity
        negative, missing, zero where something must change, or so large that sums would leave int64.
    orphan_cancels, orphan_executions
        Of an id that is not known, where the level's anonymous quantity does not suffice: the book is left alone.
        In a ladder: at a price where nothing rests.
    over_cancels, over_executions
        More than the order (in a ladder: the level) had: all of it was taken.
    anonymous_takes
        Of an id that is not known, taken from the level's anonymous quantity.
    repeated_adds, restated_adds
        ADD of an id that rests already: the new one replaces the old, at the back of the queue. Restated: the ADD was
        part of a snapshot.
    unknown_modifies
        MODIFY of an id that is not known: taken as an ADD, as Databento documents.
    modifies_to_nothing
        MODIFY to quantity 0: taken as a cancel of all.
    skipped_modifies
        Ladder only: a MODIFY does not say what it replaces, so a ladder cannot follow it; use the book by orders.
    misplaced
        CANCEL or EXECUTE whose side or price is not where the order rests; the order's own place counts.
    forgotten_orders
        Known orders that had to go because an event about their level left no room for them (the newest go first).
    n_bid_levels, n_ask_levels, n_orders
        Size of the book now.
    """

    events: int
    observed: int
    trades: int
    levels_set: int
    quotes: int
    adds: int
    cancels: int
    modifies: int
    executions: int
    clears: int
    told_only: int
    crossed: int
    locked: int
    bad_kinds: int
    bad_sides: int
    bad_prices: int
    bad_quantities: int
    orphan_cancels: int
    orphan_executions: int
    over_cancels: int
    over_executions: int
    anonymous_takes: int
    repeated_adds: int
    restated_adds: int
    unknown_modifies: int
    modifies_to_nothing: int
    skipped_modifies: int
    misplaced: int
    forgotten_orders: int
    n_bid_levels: int
    n_ask_levels: int
    n_orders: int

    def anomalies(self) -> dict[str, int]:
        """Return the counts above zero of what a sound feed does not contain, by name."""
        return {name: value for name in _ANOMALIES if (value := getattr(self, name))}


_ANOMALIES = (
    "bad_kinds",
    "bad_sides",
    "bad_prices",
    "bad_quantities",
    "orphan_cancels",
    "orphan_executions",
    "over_cancels",
    "over_executions",
    "repeated_adds",
    "unknown_modifies",
    "modifies_to_nothing",
    "skipped_modifies",
    "misplaced",
    "crossed",
)
