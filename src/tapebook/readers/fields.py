"""What columns of delimited files have in common: prices, quantities in lots, rows that repeat the one before."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tapebook.market.events import MISSING
from tapebook.market.quarantine import Quarantine
from tapebook.readers.columns import BAD, EMPTY, OK, fixed_point
from tapebook.readers.rows import Rows


def lots(
    rows: Rows,
    name: str,
    quarantine: Quarantine,
    keep: NDArray[np.bool_],
    lot_e9: NDArray[np.int64] | int,
    *,
    optional: bool = False,
) -> NDArray[np.int64]:
    """Read a column of quantities in lots.

    Parameters
    ----------
    keep
        Which rows still count; those with a quantity that is no number, negative, or part of a lot are taken out.
    lot_e9
        The lot, or each row's own, in units of 1e-9.
    optional
        Whether the field may be empty: it is MISSING then.
    """
    value, ok = fixed_point(rows[name])
    given = ok == OK
    ok[given & (value < 0)] = BAD
    if optional:
        ok[ok == EMPTY] = OK
    rows.require(quarantine, keep, ok, name)
    uneven = keep & given & (value % lot_e9 != 0)
    if uneven.any():
        wanted = "a multiple of the lot (docs/instruments.md says how to give another)"
        rows.reject(quarantine, uneven, "part of a lot", expected=wanted, name=name)
        keep &= ~uneven
    return np.where(given, value // lot_e9, MISSING)


def prices(
    rows: Rows, name: str, quarantine: Quarantine, keep: NDArray[np.bool_], *, optional: bool = False
) -> NDArray[np.int64]:
    """Read a column of prices in units of 1e-9; ``keep`` and ``optional`` as in :func:`lots`."""
    value, ok = fixed_point(rows[name])
    if optional:
        ok[ok == EMPTY] = OK
    rows.require(quarantine, keep, ok, name)
    return value


def note(notes: dict[str, int], what: str, n: int = 1) -> None:
    """Count something in a tape's notes; nothing is written for 0.

    >>> notes: dict[str, int] = {}
    >>> note(notes, "gaps", 2), note(notes, "gaps"), note(notes, "nothing", 0), notes
    (None, None, None, {'gaps': 3})
    """
    if n:
        notes[what] = notes.get(what, 0) + n


class Repeats:
    """Counts rows that are the same as the row before them, word for word: a file may have been joined badly.

    Some feeds do send a thing twice, so such rows stay; :attr:`Tape.notes` tells how many there are.
    """

    def __init__(self, notes: dict[str, int]) -> None:
        self._notes = notes
        self._before: bytes | None = None

    def see(self, rows: Rows, *times: NDArray[np.int64]) -> None:
        """Look at the next rows; ``times`` are columns that equal rows have equal, so that few have to be compared."""
        if not rows.n:
            return
        near = np.ones(rows.n - 1, np.bool_)
        for column in times:
            near &= column[1:] == column[:-1]
        here = np.flatnonzero(near) + 1
        for text in rows.columns:
            if not here.size:
                break
            same = pc.equal(text.take(pa.array(here)), text.take(pa.array(here - 1)))
            here = here[same.to_numpy(zero_copy_only=False)]
        note(self._notes, "rows that repeat the row before them", here.size + (rows.raw(0) == self._before))
        self._before = rows.raw(rows.n - 1)
