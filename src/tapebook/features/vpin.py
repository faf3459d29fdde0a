"""VPIN: how one-sided the last buckets of traded volume were (Easley, Lopez de Prado and O'Hara 2012).

Its level follows from the size of the bucket and of the prints: independent signs alone give 0.08 with ten buckets a
day and 0.70 with two thousand, on the same tape. So every row carries the level that independent signs would give, and
where the value stands among those before it. Read it beside volume and volatility, over which it was shown to foretell
little (Andersen and Bondarenko 2014); it is no probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tapebook.features.classification import rule_of, source_of, tick_memory
from tapebook.features.touch import FoldOperator, View
from tapebook.kernels import vpin as kernel
from tapebook.kernels.classification import B_N
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "Vpin", "VpinBuckets", "make", "vpin"]

COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that closed the bucket"),
    Column("buckets", "", "how many it closed", flow=True),
    Column("imbalance_lots", "lots", "bought less sold in the last of them"),
    Column("vpin", "0..1", "mean absolute imbalance of the last buckets over their size; NaN before there are enough"),
    Column("vpin_cdf", "0..1", "share of the trailing values, this one included, that are not above it; NaN below 100"),
    Column("vpin_null", "0..1", "the level that independent signs of the same prints would give; NaN for bulk"),
    Column("vpin_excess", "ratio", "vpin over vpin_null: 1 for independent signs"),
    Column("unknown_share", "0..1", "share of the volume of those buckets without a side: in no imbalance"),
    Column("volume_lots", "lots", "traded in those buckets"),
    Column("span_s", "s", "from the first print of those buckets to the last"),
    Column("side_source", "code", "who says which side the aggressor was on (see SideSource)"),
)


class Vpin:
    """VPIN over exact volume buckets, a row for each event that closes one or more.

    Prints are split over bucket boundaries; a print of a hundred buckets closes a hundred, and makes one row. The open
    bucket is never counted. Buckets run on from session to session.

    Parameters
    ----------
    bucket_lots
        Size of a bucket. 0 takes a share of the average daily volume *known by then*: of the sessions that have ended,
        weighted by recency. It has no rows before the first session has ended, so give a size for a tape of one day.
    n
        Buckets in a VPIN.
    side
        Whose side a print has: ``venue``; ``tick``, ``quote``, ``lee_ready``, ``emo``, ``clnv``; or ``bulk``, which
        splits the volume of time bars by their change of price.
    buckets_per_day
        Buckets of an average day, where ``bucket_lots`` is 0.
    half_life_sessions
        Recency weight of that average.
    window
        Values of VPIN among which one is ranked (fewer, but at least 100, while there are no more).
    bar_s, df, half_life_bars
        Of ``bulk``: length of a bar, degrees of freedom of Student's t (0: normal), half-life of the scale of changes.

    References
    ----------
    Easley, D., Lopez de Prado, M. and O'Hara, M. (2012), Flow toxicity and liquidity in a high-frequency world, Review
    of Financial Studies 25:5.
    Andersen, T. and Bondarenko, O. (2014), VPIN and the flash crash, Journal of Financial Markets 17.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> from tapebook.market.events import Kind
    >>> view = view_of([(100, 5, 102, 5)] * 3)
    >>> view.events["kind"], view.events["price"] = Kind.TRADE, 101
    >>> view.events["qty_lots"], view.events["side"] = [6, 6, 30], [1, -1, 1]
    >>> rows = Vpin(bucket_lots=10, n=2).fold(view)
    >>> rows["buckets"].tolist(), rows["imbalance_lots"].tolist(), rows["vpin"].tolist()
    ([1, 3], [2, 10], [nan, 1.0])
    """

    def __init__(
        self,
        bucket_lots: int = 0,
        n: int = 50,
        *,
        side: str = "venue",
        buckets_per_day: float = 50.0,
        half_life_sessions: float = 5.0,
        window: int = 1000,
        bar_s: float = 60.0,
        df: float = 0.0,
        half_life_bars: float = 390.0,
    ) -> None:
        smallest = min(buckets_per_day, half_life_sessions, bar_s, half_life_bars)
        if bucket_lots < 0 or n < 1 or window < 1 or smallest <= 0 or df < 0:
            raise ConfigurationError(
                "bad parameters of VPIN",
                expected="bucket_lots and df at least 0, n and window at least 1, the others above 0",
                found=f"bucket_lots {bucket_lots}, n {n}, window {window}, df {df}, others from {smallest}",
            )
        self._rule = kernel.BULK if side == "bulk" else rule_of(side, "bulk")
        self._source = source_of(side)
        self._fixed = bucket_lots > 0
        per_bar, per_session = 0.5 ** (1 / half_life_bars), 0.5 ** (1 / half_life_sessions)
        self._par = np.array([buckets_per_day, per_session, max(round(bar_s * 1e9), 1), df, per_bar])
        self._memory = _memory(bucket_lots, n, window)
        self._memory |= {"tick": tick_memory(), "scale": np.zeros(B_N)}

    def fold(self, view: View) -> Rows:
        """Return a row for each event that closed a bucket."""
        at, out = np.empty(view.n, np.int64), np.empty((view.n, kernel.O_N))
        m = self._memory
        rows = kernel.advance_vpin(
            view.events,
            view.clock_ns,
            view.session,
            view.trading,
            view.bid_px,
            view.ask_px,
            view.thread,
            self._rule,
            self._fixed,
            self._par,
            m["tick"],
            m["scale"],
            m["ints"],
            m["floats"],
            m["ring"],
            m["sums"],
            m["history"],
            at,
            out,
        )
        out = out[:rows]
        return {
            "ts_ns": view.ts_ns[at[:rows]],
            "buckets": out[:, kernel.O_CLOSED].astype(np.int64),
            "imbalance_lots": out[:, kernel.O_IMBALANCE].astype(np.int64),
            "vpin": out[:, kernel.O_VPIN].copy(),
            "vpin_cdf": out[:, kernel.O_CDF].copy(),
            "vpin_null": out[:, kernel.O_NULL].copy(),
            "vpin_excess": out[:, kernel.O_VPIN] / out[:, kernel.O_NULL],
            "unknown_share": out[:, kernel.O_UNKNOWN].copy(),
            "volume_lots": out[:, kernel.O_LOTS].copy(),
            "span_s": out[:, kernel.O_SPAN_NS] * 1e-9,
            "side_source": np.full(rows, self._source, np.uint8),
        }

    def save(self) -> State:
        """Return a copy of the memory."""
        return {name: array.copy() for name, array in self._memory.items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, self._memory, "vpin")
        for name, array in self._memory.items():
            if state[name].shape != array.shape:
                raise ConfigurationError(
                    "vpin: other parameters",
                    expected=f"{name} of shape {array.shape}",
                    found=str(state[name].shape),
                    remedy="restore with the n and window it was saved with",
                )
        self._memory = {name: state[name].copy() for name in self._memory}


def _memory(bucket_lots: int, n: int, window: int) -> State:
    ints = np.zeros(kernel.I_N, np.int64)
    ints[[kernel.SESSION, kernel.BAR_PRICE_BEFORE]] = MISSING
    ints[[kernel.SIZE, kernel.NEXT_SIZE]] = bucket_lots
    return {
        "ints": ints,
        "floats": np.zeros(kernel.F_N),
        "ring": np.zeros((n, kernel.R_N), np.int64),
        "sums": np.zeros((n, 2)),
        "history": np.zeros(window),
    }


@dataclass(frozen=True)
class VpinBuckets:
    """The buckets of an array of prints.

    Attributes
    ----------
    imbalance_lots
        Bought less sold in each bucket.
    vpin
        At the close of each bucket; NaN for the first n - 1.
    closed_by
        Which print closed it.
    """

    imbalance_lots: NDArray[np.int64]
    vpin: NDArray[np.float64]
    closed_by: NDArray[np.int64]


_BUCKETS_MAX: Final = 100_000_000


def vpin(qty_lots: ArrayLike, side: ArrayLike, bucket_lots: int, n: int = 50) -> VpinBuckets:
    """Return the buckets of whole arrays of prints, one entry a bucket: the same fold as :class:`Vpin`.

    Parameters
    ----------
    qty_lots, side
        Lots of each print, and its aggressor (+1, -1; 0 counts as volume and in no imbalance).
    bucket_lots, n
        Lots in a bucket; buckets in a VPIN.

    Examples
    --------
    >>> buckets = vpin([3, 10, 1, 7], [1, 1, -1, 1], bucket_lots=10, n=2)
    >>> buckets.imbalance_lots.tolist(), buckets.vpin.tolist(), buckets.closed_by.tolist()
    ([10, 8], [nan, 0.9], [1, 3])
    """
    lots, q = np.ascontiguousarray(qty_lots, np.int64), np.ascontiguousarray(side, np.int64)
    buckets = int(lots[lots > 0].sum()) // bucket_lots if bucket_lots > 0 else 0
    if bucket_lots < 1 or n < 1 or lots.shape != q.shape or np.abs(q).max(initial=0) > 1 or buckets > _BUCKETS_MAX:
        raise ConfigurationError(
            "VPIN cannot be made of these",
            expected=f"sides of +1, -1 and 0 as long as the lots, bucket_lots and n at least 1, {_BUCKETS_MAX} buckets",
            found=f"{lots.size} lots, {q.size} sides, bucket_lots {bucket_lots}, n {n}, {buckets} buckets",
        )
    m = _memory(bucket_lots, max(buckets, 1), 1)
    kernel.pour_all(lots, q, m["ints"], m["floats"], m["ring"], m["sums"], m["history"])
    ring = m["ring"][:buckets]
    total = np.r_[0, np.cumsum(np.abs(ring[:, kernel.R_IMBALANCE]))]
    values = np.full(buckets, np.nan)
    if buckets >= n:
        values[n - 1 :] = (total[n:] - total[:-n]) / (n * bucket_lots)
    return VpinBuckets(ring[:, kernel.R_IMBALANCE].copy(), values, ring[:, kernel.R_END].copy())


def make(
    instrument: Instrument,
    instrument_id: int,
    *,
    bucket_lots: int = 0,
    n: int = 50,
    side: str = "venue",
    buckets_per_day: float = 50.0,
    half_life_sessions: float = 5.0,
    window: int = 1000,
    bar_s: float = 60.0,
    df: float = 0.0,
    half_life_bars: float = 390.0,
) -> FoldOperator:
    """Return the feature as an operator of its own; the parameters are those of :class:`Vpin`."""
    fold = Vpin(
        bucket_lots,
        n,
        side=side,
        buckets_per_day=buckets_per_day,
        half_life_sessions=half_life_sessions,
        window=window,
        bar_s=bar_s,
        df=df,
        half_life_bars=half_life_bars,
    )
    return FoldOperator(instrument, instrument_id, fold)


register("vpin", make, columns=COLUMNS, needs=frozenset({"trades"}))
