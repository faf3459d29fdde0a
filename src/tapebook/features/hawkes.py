"""Hawkes intensities, live: how fast buyers and sellers arrive just now, and how much of it is the flow feeding itself.

Each aggressive order (its fills counted once) raises the expected rate of the orders to come, most for its own side,
and the rise dies away. The intensity of a side is its baseline plus what is left of all rises; keeping it costs O(D K)
a trade, whatever the past.

Rules
-----
* A row for each aggressive order, after it, stamped with its first print. Later fills of the order (same side, venue
  stamp at most ``merge_ns`` later than the print before) make no row. Prints without an aggressor, crosses and off-book
  prints are passed over and counted in the memory.
* Time is the steady clock of the feed. The memory starts again with each session.
* Without fitted parameters the baseline follows the market: a share of each side's mean rate over the last while
  (``baseline_half_life_s``), the share that the children leave. NaN until one such half-life of the session has passed;
  with fitted baselines, until one half-life of the slowest exponential has.

The default is a stated prior, not a fit: half of a side's orders are caused by its own within seconds, a tenth by the
other's. Fit your instrument with ``tapebook hawkes FILE --to DIR`` and load what it wrote
(:meth:`HawkesIntensity.of_fit`); fit on the clock you trade on (``--clock receive``).

References: Hawkes 1971; Bowsher 2007; Bacry, Mastromatteo & Muzy 2015.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.touch import FoldOperator, View
from tapebook.kernels import hawkes as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "TRADED", "HawkesIntensity", "make"]

Floats = NDArray[np.float64]

TRADED: Final = frozenset({"trades"})
"""What a tape must hold; the prints need aggressors."""

COLUMNS = (
    Column("ts_ns", "ns", "clock of the aggressive order's first print"),
    Column("hawkes_buy_per_s", "orders/s", "intensity of aggressive buys just after it"),
    Column("hawkes_sell_per_s", "orders/s", "intensity of aggressive sells just after it"),
    Column("hawkes_ratio", "1", "buy over sell intensity, neither taken below the floor"),
    Column("hawkes_imbalance", "-1 to 1", "buy less sell intensity over their sum"),
    Column("hawkes_self_excitation", "0 to 1", "share of both intensities that past orders caused"),
)


class HawkesIntensity:
    """Intensities of aggressive buys and sells, a row for each order.

    Parameters
    ----------
    half_life_s
        How long a rise takes to fall by half; several numbers make a sum of exponentials.
    self_children, cross_children
        Orders of its own and of the other side that one order causes; one number, or one per half-life. Together they
        are the branching ratio and must stay below 1.
    baseline_per_s
        Baseline rates of buys and sells; None lets them follow the market.
    baseline_half_life_s
        How long the mean rates remember, where the baseline follows the market.
    rate_floor_per_s
        Least intensity in the ratio.
    merge_ns
        How much later the next fill of one order may be stamped.

    Raises
    ------
    ConfigurationError
        If a parameter is out of its range or the process would explode.

    Examples
    --------
    >>> h = HawkesIntensity(half_life_s=(0.05, 5.0), self_children=(0.3, 0.3), cross_children=0.05)
    >>> round(h.branching_ratio, 12)
    0.7
    """

    def __init__(
        self,
        *,
        half_life_s: float | Sequence[float] = 2.0,
        self_children: float | Sequence[float] = 0.5,
        cross_children: float | Sequence[float] = 0.1,
        baseline_per_s: tuple[float, float] | None = None,
        baseline_half_life_s: float = 300.0,
        rate_floor_per_s: float = 1e-3,
        merge_ns: int = 0,
    ) -> None:
        half_lives = np.atleast_1d(np.asarray(half_life_s, np.float64))
        own, other = (
            np.broadcast_to(np.asarray(x, np.float64), half_lives.shape) for x in (self_children, cross_children)
        )
        if not (half_lives > 0).all():
            raise ConfigurationError("a half-life is wrong", expected="seconds above zero", found=repr(half_life_s))
        beta = np.log(2) / half_lives
        self._set(
            None if baseline_per_s is None else np.array(baseline_per_s, np.float64),
            np.array([[own, other], [other, own]]),
            np.array([beta, beta]),
        )
        if not (baseline_half_life_s > 0 and rate_floor_per_s > 0 and merge_ns >= 0):
            raise ConfigurationError(
                "a parameter is out of its range",
                expected="baseline_half_life_s and rate_floor_per_s above zero, merge_ns not below",
                found=f"{baseline_half_life_s}, {rate_floor_per_s}, {merge_ns}",
            )
        self._fading = float(np.log(2) / baseline_half_life_s) if baseline_per_s is None else 0.0
        slowest_s = baseline_half_life_s if baseline_per_s is None else float(half_lives.max())
        self._warm_ns = int(slowest_s * 1e9)
        self._floor = rate_floor_per_s
        self._merge_ns = merge_ns

    @classmethod
    def of_fit(cls, fitted: Mapping[str, Any], *, rate_floor_per_s: float = 1e-3, merge_ns: int = 0) -> HawkesIntensity:
        """Return the feature with fitted parameters: ``mu``, ``eta``, ``beta`` per second, type 0 buys, type 1 sells.

        What ``tapebook hawkes --by side --to DIR`` writes under ``"fit"`` has them.

        Raises
        ------
        ConfigurationError
            If they are not those of two types, or the process would explode.
        """
        arrays = {name: np.array(fitted.get(name, np.nan), np.float64) for name in ("mu", "eta", "beta")}
        mu, eta, beta = arrays["mu"], arrays["eta"], arrays["beta"]
        fits = mu.shape == (2,) and eta.ndim == 3 and eta.shape[:2] == (2, 2) and beta.shape == (2, eta.shape[2])
        if not fits or not (beta > 0).all():
            raise ConfigurationError(
                "these are no parameters of buys and sells",
                expected="mu (2), eta (2, 2, K), beta (2, K) above zero",
                found=", ".join(f"{k} {v.shape}" for k, v in arrays.items()),
                remedy="fit with --by side",
            )
        feature = cls(baseline_per_s=(1.0, 1.0), rate_floor_per_s=rate_floor_per_s, merge_ns=merge_ns)
        feature._set(mu, eta, beta)
        feature._warm_ns = int(np.log(2) / beta.min() * 1e9)
        return feature

    def _set(self, mu: Floats | None, eta: Floats, beta: Floats) -> None:
        self._mu = np.zeros(2) if mu is None else mu
        self._eta, self._beta = np.ascontiguousarray(eta), np.ascontiguousarray(beta)
        right = (self._eta >= 0).all() and (mu is None or (mu > 0).all()) and self.branching_ratio < 1
        if not right:
            raise ConfigurationError(
                "these parameters make no stationary Hawkes process",
                expected="children not below zero and a branching ratio below 1, baselines above zero",
                found=f"branching ratio {self.branching_ratio:.4g}, baselines {mu}",
            )
        self._fading = 0.0
        self._excited = np.zeros(beta.shape)
        self._seen = np.zeros(2)
        self._live = np.full(kernel.LIVE_N, MISSING, np.int64)
        self._order = np.zeros(kernel.ORDER_N, np.int64)
        self._order[kernel.ORDER_STAMP] = MISSING

    @property
    def branching_ratio(self) -> float:
        """Spectral radius of the children: the long-run share of orders that orders cause."""
        return float(np.abs(np.linalg.eigvals(self._eta.sum(axis=2))).max())

    def fold(self, view: View) -> Rows:
        """Return the intensities after each aggressive order."""
        places, times_ns = np.empty(view.n, np.int64), np.empty(view.n, np.int64)
        stamp_ns = np.ascontiguousarray(view.events["ts_event_ns"])
        n = kernel.aggressive_orders(
            view.events, stamp_ns, view.clock_ns, self._merge_ns, self._order, places, times_ns
        )
        at = places[:n]
        out = np.empty((n, 4))
        kernel.advance_intensity(
            times_ns[:n],
            np.where(view.events["side"][at] > 0, 0, 1),
            view.session[at],
            self._mu,
            self._eta,
            self._beta,
            self._fading,
            1.0 - self.branching_ratio,
            self._warm_ns,
            self._excited,
            self._seen,
            self._live,
            out,
        )
        base, buy, sell = out[:, 0] + out[:, 1], out[:, 2], out[:, 3]
        return {
            "ts_ns": view.ts_ns[at],
            "hawkes_buy_per_s": buy.copy(),
            "hawkes_sell_per_s": sell.copy(),
            "hawkes_ratio": np.maximum(buy, self._floor) / np.maximum(sell, self._floor),
            "hawkes_imbalance": (buy - sell) / (buy + sell),
            "hawkes_self_excitation": 1.0 - base / (buy + sell),
        }

    def _memory(self) -> State:
        return {"excited": self._excited, "seen": self._seen, "live": self._live, "order": self._order}

    def save(self) -> State:
        """Return a copy of the memory."""
        return {name: array.copy() for name, array in self._memory().items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, self._memory(), "hawkes")
        self._excited, self._seen = state["excited"].copy(), state["seen"].copy()
        self._live, self._order = state["live"].copy(), state["order"].copy()


def make(
    instrument: Instrument,
    instrument_id: int,
    *,
    half_life_s: float = 2.0,
    self_children: float = 0.5,
    cross_children: float = 0.1,
    baseline_half_life_s: float = 300.0,
    rate_floor_per_s: float = 1e-3,
    merge_ns: int = 0,
) -> FoldOperator:
    """Return the feature as an operator of its own, with one exponential."""
    return FoldOperator(
        instrument,
        instrument_id,
        HawkesIntensity(
            half_life_s=half_life_s,
            self_children=self_children,
            cross_children=cross_children,
            baseline_half_life_s=baseline_half_life_s,
            rate_floor_per_s=rate_floor_per_s,
            merge_ns=merge_ns,
        ),
    )


register("hawkes", make, columns=COLUMNS, needs=TRADED)
