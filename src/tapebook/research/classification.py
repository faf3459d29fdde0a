"""How far the trade-side rules can be trusted: each of them against what the venue says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.classification import COLUMNS, RULES, make
from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.market.events import SideSource, TradeCondition
from tapebook.market.operators import Rows, concat_rows
from tapebook.market.tape import Tape

__all__ = ["Accuracy", "accuracy", "accuracy_of", "most_traded"]

_GROUPS: Final = ("visible", "hidden")


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """One rule on one kind of print.

    Attributes
    ----------
    rule, prints
        The rule; ``visible`` (prints against displayed orders) or ``hidden``.
    n, lots
        Prints whose aggressor the venue told, and their lots.
    right, wrong, none
        Of those prints: right, wrong, given no side.
    lots_right
        Lots of those that it got right.
    """

    rule: str
    prints: str
    n: int
    lots: int
    right: int
    wrong: int
    none: int
    lots_right: int

    @property
    def share(self) -> float:
        """Share of the prints that it got right; NaN without any."""
        return self.right / self.n if self.n else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-able."""
        return {
            "rule": self.rule,
            "prints": self.prints,
            "n": self.n,
            "lots": self.lots,
            "right": self.right,
            "wrong": self.wrong,
            "none": self.none,
            "share_right": self.share if self.n else None,
            "share_of_lots_right": self.lots_right / self.lots if self.lots else None,
        }


def accuracy(tape: Tape, *, instrument: str = "") -> list[Accuracy]:
    """Compare every rule with the venue's aggressor, on visible and hidden prints apart.

    A hidden print is one against an order that was not displayed: whose aggressor it was, some venues do not say (then
    it is not counted), others do. Crosses and off-book prints do not count.

    Parameters
    ----------
    instrument
        Its symbol; empty takes the one with the most prints.

    Raises
    ------
    ConfigurationError
        If there is no such instrument.
    DataQualityError
        If the venue told no aggressor at all.
    """
    key = most_traded(tape, instrument)
    operator = make(tape.instruments[key], key)
    rows = concat_rows([operator.advance(block) for block in tape.blocks()])
    return accuracy_of(rows or {column.name: np.zeros(0, np.int64) for column in COLUMNS})


def accuracy_of(rows: Rows) -> list[Accuracy]:
    """Compare every rule with the venue's aggressor in rows of the operator ``trade_side``."""
    side, detail = rows["side"], rows["detail"]
    told = (side != 0) & (rows["side_source"] == SideSource.VENUE)
    if not told.any():
        raise DataQualityError(
            "the venue told no aggressor", expected="prints with a side", found=f"{side.size} prints without"
        )
    hidden = detail == TradeCondition.HIDDEN
    regular = np.isin(detail, [TradeCondition.REGULAR, TradeCondition.DERIVED])
    groups = dict(zip(_GROUPS, (told & regular, told & hidden), strict=True))
    return [_of(rows, rule, name, which) for name, which in groups.items() for rule in RULES]


def _of(rows: Rows, rule: str, name: str, which: NDArray[np.bool_]) -> Accuracy:
    said, true, lots = rows[f"{rule}_side"][which], rows["side"][which], rows["qty_lots"][which]
    right = said == true
    return Accuracy(
        rule=rule,
        prints=name,
        n=int(true.size),
        lots=int(lots.sum()),
        right=int(right.sum()),
        wrong=int((~right & (said != 0)).sum()),
        none=int((said == 0).sum()),
        lots_right=int(lots[right].sum()),
    )


def most_traded(tape: Tape, instrument: str = "") -> int:
    """Return the key of an instrument of a tape by its symbol, or of the one with the most prints.

    Raises
    ------
    ConfigurationError
        If there is no such instrument, or no print at all.
    """
    from tapebook.market.events import Kind

    if not instrument and len(tape.instruments) == 1:
        return next(iter(tape.instruments))
    counts: dict[int, int] = {}
    for block in tape.blocks():
        keys, n = np.unique(block["instrument_id"][block["kind"] == Kind.TRADE], return_counts=True)
        for key, more in zip(keys.tolist(), n.tolist(), strict=True):
            counts[key] = counts.get(key, 0) + more
    named = {k: n for k, n in counts.items() if instrument in ("", tape.instruments[k].symbol)}
    if not named:
        raise ConfigurationError(
            "no such instrument with prints",
            expected=", ".join(sorted(tape.instruments[k].symbol for k in counts)) or "prints",
            found=instrument or "a tape without prints",
        )
    return max(named, key=lambda k: named[k])
