"""Trade-side classification: who was the aggressor, by each of the published rules, print by print.

Where the venue says who it was, believe the venue; the rules are for tapes that do not say, and for asking how far a
rule can be trusted (:mod:`tapebook.research.classification`). Every rule looks at the quote that stood *before* the
message of the print: with the one after it, Lee-Ready errs on a tenth of all prints.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tapebook.features.touch import QUOTED, FoldOperator, View, in_price
from tapebook.kernels import classification as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, SideSource
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "RULES", "TradeSide", "bulk_volume", "classify", "make", "rule_of", "source_of", "tick_memory"]

RULES: Final = {
    "tick": kernel.TICK,
    "quote": kernel.QUOTE,
    "lee_ready": kernel.LEE_READY,
    "emo": kernel.EMO,
    "clnv": kernel.CLNV,
}
"""The rules by name."""

_SOURCES: Final = {"venue": SideSource.VENUE, "tick": SideSource.TICK_RULE, "quote": SideSource.QUOTE_RULE}

COLUMNS = (
    Column("ts_ns", "ns", "clock of the trade"),
    Column("price", "price", "of the trade"),
    Column("qty_lots", "lots", "of the trade"),
    Column("side", "+1/-1/0", "the aggressor as the tape says: bought, sold, not told"),
    Column("side_source", "code", "who says so (see SideSource)"),
    Column("detail", "code", "kind of print (see TradeCondition): 1 hidden, 2 cross, 3 off-book, 4 derived"),
    Column("tick_side", "+1/-1/0", "by the tick test; 0 before the first change of price"),
    Column("quote_side", "+1/-1/0", "by the quote rule; 0 at the mid, or with a crossed or one-sided quote"),
    Column("lee_ready_side", "+1/-1/0", "by the quote rule, else the tick test"),
    Column("emo_side", "+1/-1/0", "by the quote rule at the bid or ask, else the tick test"),
    Column("clnv_side", "+1/-1/0", "by the quote rule within 30 % of the spread from a side, else the tick test"),
)


class TradeSide:
    """Aggressor of each print by every rule, beside what the venue says; int8, 0 where a rule cannot tell.

    Crosses, off-book prints and prints outside continuous trading met no quote: every rule says 0, and the tick test
    passes over them. The tick test starts again with a session, and after a gap, a snapshot or a stop of trading.

    References
    ----------
    Lee, C. and Ready, M. (1991), Inferring trade direction from intraday data, Journal of Finance 46:2.
    Ellis, K., Michaely, R. and O'Hara, M. (2000), The accuracy of trade classification rules: evidence from Nasdaq,
    Journal of Financial and Quantitative Analysis 35:4.
    Chakrabarty, B., Li, B., Nguyen, V. and Van Ness, R. (2007), Trade classification algorithms for electronic
    communications network trades, Journal of Banking and Finance 31:12.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> from tapebook.market.events import Kind
    >>> view = view_of([(100, 5, 102, 5), (100, 5, 102, 5), (100, 5, 102, 5)])
    >>> view.events["kind"][1:] = Kind.TRADE
    >>> view.events["price"], view.events["qty_lots"] = [0, 102, 101], 1
    >>> rows = TradeSide().fold(view)
    >>> rows["quote_side"].tolist(), rows["lee_ready_side"].tolist()
    ([1, 0], [1, -1])
    """

    def __init__(self) -> None:
        self._memory = tick_memory()

    def fold(self, view: View) -> Rows:
        """Return the sides of each print."""
        at, sides = np.empty(view.n, np.int64), np.empty((view.n, len(RULES)), np.int8)
        n = kernel.advance_trade_side(
            view.events, view.session, view.trading, view.bid_px, view.ask_px, view.thread, self._memory, at, sides
        )
        at = at[:n]
        rows: Rows = {"ts_ns": view.ts_ns[at], "price": in_price(view.events["price"][at])}
        rows |= {name: view.events[name][at] for name in ("qty_lots", "side", "side_source", "detail")}
        return rows | {f"{name}_side": sides[:n, rule - 1].copy() for name, rule in RULES.items()}

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"tick": self._memory.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"tick": self._memory}, "trade side")
        self._memory = state["tick"].copy()


def tick_memory() -> NDArray[np.int64]:
    """Return the memory of a tick test that has seen nothing."""
    memory = np.zeros(kernel.T_N, np.int64)
    memory[[kernel.T_PRICE, kernel.T_SESSION]] = MISSING
    return memory


def rule_of(name: str, *others: str) -> int:
    """Return the number of a rule by its name, ``venue`` (what the tape says) included; ``others`` are told of too."""
    if name == "venue":
        return kernel.VENUE
    if name not in RULES:
        expected = ", ".join(["venue", *RULES, *others])
        raise ConfigurationError("no such side rule", expected=expected, found=name, remedy="name one of them")
    return RULES[name]


def source_of(name: str) -> SideSource:
    """Return what results that stand on a rule tell as their source.

    >>> source_of("emo").name, source_of("bulk").name
    ('LEE_READY', 'BULK')
    """
    # The three rules that join a quote and a tick test are one source: docs/trades.md says so.
    return SideSource.BULK if name == "bulk" else _SOURCES.get(name, SideSource.LEE_READY)


def classify(
    price: ArrayLike,
    bid: ArrayLike | None = None,
    ask: ArrayLike | None = None,
    *,
    rule: str = "lee_ready",
    reverse: bool = False,
) -> NDArray[np.int8]:
    """Return the side of each print by a rule, from whole arrays.

    Parameters
    ----------
    price
        Integers: ticks, or 1e-9; MISSING for no price. Floats are refused: two prices are equal or they are not.
    bid, ask
        The quote that stood before each print, in the same units, MISSING for an empty side; the tick test needs none.
    rule
        One of :data:`RULES`.
    reverse
        Take the *next* different price for the tick test. It looks ahead: for studies only.

    Examples
    --------
    >>> classify([101, 101, 100], [99, 99, 99], [101, 102, 101]).tolist()
    [1, 1, -1]
    >>> classify([101, 101, 100], rule="tick").tolist()
    [0, 0, -1]
    """
    px = _integers("price", price)
    if rule not in RULES:
        raise ConfigurationError("no such side rule", expected=", ".join(RULES), found=rule)
    if (bid is None or ask is None) and rule != "tick":
        raise ConfigurationError("no quote given", expected=f"bid and ask for {rule}", found="none", remedy="rule=tick")
    b = px if bid is None else _integers("bid", bid)
    a = px if ask is None else _integers("ask", ask)
    if not px.shape == b.shape == a.shape:
        raise ConfigurationError("arrays differ in length", expected=str(px.shape), found=f"{b.shape}, {a.shape}")
    if reverse:
        px, b, a = (np.ascontiguousarray(x[::-1]) for x in (px, b, a))
    out = np.empty(px.size, np.int8)
    kernel.classify(RULES[rule], px, b, a, tick_memory(), out)
    return out[::-1].copy() if reverse else out


def _integers(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array: NDArray[Any] = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise ConfigurationError(f"{name} is not exact", expected="integers: ticks or 1e-9", found=str(array.dtype))
    return np.ascontiguousarray(array, np.int64)


def bulk_volume(
    close: ArrayLike,
    volume: ArrayLike,
    *,
    df: float = 0.0,
    half_life_bars: float = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split the volume of bars into bought and sold (bulk volume classification): V Z(dP / sigma).

    It splits volumes; it gives no print a side. The first bar has no change and so no split: NaN.

    Parameters
    ----------
    close, volume
        Last price and volume of each bar.
    df
        Degrees of freedom of Student's t (0.25 in the paper of 2016); 0 takes the normal distribution.
    half_life_bars
        Half-life of the scale sigma, which then knows only the bars before (NaN until there was a change); 0 takes the
        standard deviation of all changes, which looks ahead: for studies only.

    References
    ----------
    Easley, D., Lopez de Prado, M. and O'Hara, M. (2016), Discerning information from trade data, Journal of Financial
    Economics 120:2.

    Examples
    --------
    >>> bought, sold = bulk_volume([10.0, 11.0, 11.0, 10.0], [100, 100, 100, 100])
    >>> bought.round(1).tolist()
    [nan, 84.1, 50.0, 15.9]
    """
    px, lots = np.asarray(close, np.float64), np.asarray(volume, np.float64)
    if df < 0 or half_life_bars < 0:
        raise ConfigurationError(
            "bad parameters of bulk volume",
            expected="df and half_life_bars at least 0",
            found=f"{df}, {half_life_bars}",
        )
    share = np.full(px.size, np.nan)
    change = np.diff(px)
    if half_life_bars:
        kernel.bought_shares(change, df, 0.5 ** (1 / half_life_bars), np.zeros(kernel.B_N), share[1:])
    elif change.size > 1 and change.std(ddof=1) > 0:
        kernel.shares_on_scale(change, float(change.std(ddof=1)), df, share[1:])
    return lots * share, lots * (1.0 - share)


def make(instrument: Instrument, instrument_id: int) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, TradeSide())


register("trade_side", make, columns=COLUMNS, needs=frozenset({"trades"}), also_needs=QUOTED)
