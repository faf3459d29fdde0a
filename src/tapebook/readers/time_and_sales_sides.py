"""Words for the side of a trade: who was the aggressor.

``BID`` in a time & sales window means that the trade was made **at the bid**: somebody sold. ``BUY`` means that
somebody bought. Single letters mean different things to different programs (``B`` is bought beside ``S``, and bid
beside ``A``; and Databento's ``A`` is a seller where another file's ``A`` was bought at the ask), so a letter is
understood only together with its partner, and ``A``/``B`` never: the user says it, with ``side_buy`` and ``side_sell``.

Where the file has bid and ask too, the words are held against them: if most trades called "bid" were made at the ask,
the words do not mean what they say here, and the file is refused until the user says what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ReaderError

__all__ = ["NEUTRAL", "check_against_quotes", "side_words"]

NEUTRAL: Final = frozenset(
    {"", "between", "mid", "inside", "unknown", "none", "na", "n/a", "no aggressor", "0", "neutral"}
)
"""Words that say that no side is known."""

_FAMILIES: Final = (
    (
        ("ask", "at ask", "above ask", "ask or above", "offer", "at offer", "above"),
        ("bid", "at bid", "below bid", "bid or below", "below"),
        False,
    ),
    (("buy", "buyer", "bought", "long", "buy aggressor"), ("sell", "seller", "sold", "short", "sell aggressor"), False),
    (("compra", "comprador", "comprado"), ("venta", "venda", "vendedor", "vendido"), False),
    (("b",), ("s",), True),
    (("c",), ("v",), True),
    (("1", "+1"), ("-1",), True),
    (("+",), ("-",), True),
)
"""Words of a buyer, words of a seller, and whether they are understood only when both are seen."""


def side_words(seen: Iterable[str], said: Mapping[str, str], where: str) -> dict[str, int]:
    """Return +1 or -1 for words (lower case) of the family that a file uses.

    Parameters
    ----------
    seen
        Words of the first rows.
    said
        The user's map, of which ``side_buy`` and ``side_sell`` count.
    where
        For the error.

    Raises
    ------
    ReaderError
        If the words are not understood.

    Examples
    --------
    >>> words = side_words(["BID", "ASK", "BETWEEN"], {}, "f.csv")
    >>> words["bid"], words["ask"]
    (-1, 1)
    """
    told = {
        word.strip().lower(): sign
        for key, sign in (("side_buy", 1), ("side_sell", -1))
        for word in said.get(key, "").split("|")
    }
    told.pop("", None)
    if told:
        return told
    words = {w.strip().lower() for w in seen} - NEUTRAL
    if not words:  # nothing but neutral ones so far: only words that mean one thing are taken later
        return {w: s for buy, sell, paired in _FAMILIES if not paired for w, s in _signs(buy, sell).items()}
    for buy, sell, paired in _FAMILIES:
        if words <= {*buy, *sell} and (not paired or (words & set(buy) and words & set(sell))):
            return _signs(buy, sell)
    raise ReaderError(
        "the words for the side of a trade are not understood",
        expected="BID and ASK, BUY and SELL, B and S, or 1 and -1",
        found=", ".join(sorted(words)[:8]),
        where=where,
        remedy="say what they mean: --column side_buy=WORD --column side_sell=WORD",
    )


def check_against_quotes(
    side: NDArray[np.int8], price: NDArray[np.int64], bid: NDArray[np.int64], ask: NDArray[np.int64], where: str
) -> None:
    """Raise where most trades of the first rows stand on the other side of the quote than their words say.

    Quotes beside prints are late or early, so single contradictions are normal; four fifths of twenty are not.
    """
    against = int((((side > 0) & (price <= bid)) | ((side < 0) & (price >= ask))).sum())
    with_it = int((((side > 0) & (price >= ask)) | ((side < 0) & (price <= bid))).sum())
    if against >= 20 and against > 4 * with_it:
        raise ReaderError(
            "the words for the side contradict bid and ask",
            expected="purchases at the ask and sales at the bid",
            found=f"{against} of the first {against + with_it} trades at a quote are the other way round",
            where=where,
            remedy="say what the words mean: --column side_buy=WORD --column side_sell=WORD",
        )


def _signs(buy: Sequence[str], sell: Sequence[str]) -> dict[str, int]:
    return dict.fromkeys(buy, 1) | dict.fromkeys(sell, -1)
