"""The market maker's control problem, solved exactly on a grid of inventories, in two independent ways.

With exponential utility the value is ``-exp(-g (cash + q mid)) w(t, q)``, and the Hamilton-Jacobi-Bellman equation is::

    w_t + (g^2 s^2 q^2 / 2 - g mu q) w + min over d of A e^{-k d} (e^{-g d} w(q +- 1) - w(q)), both sides   = 0
    w(T, q) = 1                                                          (inventory is valued at the mid at the end)

:func:`by_exponential`: Guéant, Lehalle and Fernandez-Tapia's ``v = w^(-k/g)`` turns it into the linear system
``v' = M v`` with a symmetric tridiagonal matrix, ``v(t) = exp(-M (T - t)) 1``. The quotes are logarithms of ratios of
neighbours; far from the end they come from the lowest eigenvector of M.

:func:`by_policy`: the equation as it stands, backwards in implicit steps. Each step is Howard's policy iteration: for
given quotes a linear system whose matrix is an M-matrix (monotone, so the scheme converges to the viscosity solution),
for given values the best quote of each side *searched on a grid of distances*, without using what the optimum is known
to look like. It shares no formula with the first.

References: Guéant, Lehalle and Fernandez-Tapia 2013; Barles and Souganidis 1991 (monotone schemes); Forsyth and Labahn
2007 (policy iteration in finance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError
from tapebook.models.market_making import MarketMaker

__all__ = ["QuoteTable", "by_exponential", "by_policy", "far_from_the_end"]

Floats = NDArray[np.float64]

_SWEEPS_MAX: Final = 100
_TERMS: Final = 24  # of the exponential of a matrix whose norm is at most 1


@dataclass(frozen=True, kw_only=True)
class QuoteTable:
    """Distances from the mid by inventory.

    Attributes
    ----------
    inventory
        From ``-inventory_max`` to ``inventory_max`` quoted sizes.
    bid_distance, ask_distance
        In price, fee included; NaN where the limit takes the side out.
    """

    inventory: NDArray[np.int64]
    bid_distance: Floats
    ask_distance: Floats

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each inventory."""
        rows = zip(self.inventory.tolist(), self.bid_distance.tolist(), self.ask_distance.tolist(), strict=True)
        return [{"inventory": q, "bid_distance": b, "ask_distance": a} for q, b, a in rows]


def by_exponential(maker: MarketMaker, seconds_left: float) -> QuoteTable:
    """Return the exact quotes ``seconds_left`` before the end.

    Examples
    --------
    At the end nothing is left to fear, and both quotes stand at the margin:

    >>> maker = MarketMaker(volatility=0.3, intensity=0.9, decay=0.3, risk_aversion=0.01, tick=0.01, inventory_max=2)
    >>> by_exponential(maker, 0.0).bid_distance.round(4).tolist()
    [3.279, 3.279, 3.279, 3.279, nan]
    """
    _check(maker, seconds_left)
    diagonal, off = _matrix(maker)
    # The quotes need each v to its last digits, also those that are 1e-30 of the largest: eigenvectors lose them.
    # c - M has no element below zero for c the largest of the diagonal, so its powers only ever add.
    positive = np.diag(diagonal.max() - diagonal) - np.diag(off, 1) - np.diag(off, -1)
    halvings = max(int(np.ceil(np.log2(max(positive.sum(axis=1).max() * seconds_left, 1.0)))), 0)
    step = positive * (seconds_left / 2.0**halvings)
    term = power = np.eye(diagonal.size)
    for i in range(1, _TERMS):
        term = term @ step / i
        power = power + term
    for _ in range(halvings):
        power = power @ power
        power = power / power.max()  # a common factor cancels in the quotes
    return _quotes_of(maker, power.sum(axis=1))


def far_from_the_end(maker: MarketMaker) -> QuoteTable:
    """Return the quotes to which those of :func:`by_exponential` tend when the end is far away."""
    from scipy.linalg import eigh_tridiagonal

    _check(maker, 0.0)
    diagonal, off = _matrix(maker)
    lowest = eigh_tridiagonal(diagonal, off, eigvals_only=True, select="i", select_range=(0, 0))[0]
    # Ratios of neighbours from both edges to the middle, where each step is stable; the vector itself would lose the
    # digits of what is small in it.
    n, middle = diagonal.size, int(diagonal.argmin())
    eta, up, down = -off[0], np.empty(n), np.empty(n)  # v(q + 1) / v(q) and v(q - 1) / v(q)
    for i in range(middle):
        up[i] = (diagonal[i] - lowest) / eta - (1.0 / up[i - 1] if i else 0.0)
    for i in range(n - 1, middle, -1):
        down[i] = (diagonal[i] - lowest) / eta - (1.0 / down[i + 1] if i < n - 1 else 0.0)
    lean = np.log(np.concatenate([up[:middle], 1.0 / down[middle + 1 :]])) / maker.decay
    return _table(maker, lean)


def by_policy(
    maker: MarketMaker, seconds_left: float, *, steps: int = 200, distances: int = 2_000, distance_max: float = 0.0
) -> QuoteTable:
    """Return the quotes by finite differences and policy iteration.

    Parameters
    ----------
    steps
        Implicit steps in time: the error falls with their number.
    distances
        Grid of the search for the best distance: its error is one step of the grid.
    distance_max
        How far out it searches on either side of the mid; 0 takes five times the margin.

    Raises
    ------
    ConfigurationError
        If the time step is so long that the scheme is not monotone.
    """
    from scipy.linalg import solve_banded

    _check(maker, seconds_left)
    g, k, a = maker.risk_aversion, maker.decay, maker.intensity
    q = _inventory(maker)
    dt = seconds_left / steps
    cost = 0.5 * (g * maker.volatility * q) ** 2 - g * maker.drift * q
    if dt * cost.max() >= 1:
        need = int(np.ceil(seconds_left * cost.max())) + 1
        raise ConfigurationError(
            "steps too long for a monotone scheme", expected=f"steps of at least {need}", found=f"{steps}"
        )
    reach = distance_max or 5.0 * (maker.margin + abs(maker.fee))
    grid = np.linspace(-reach, reach, distances)
    fills, gains = a * np.exp(-k * grid), np.exp(-g * (grid - maker.fee))
    n = q.size
    w = np.ones(n)
    bid, ask = _search(w, fills, gains)
    for _ in range(steps):
        before = w
        for _sweep in range(_SWEEPS_MAX):
            bands = np.zeros((3, n))
            bands[1] = 1.0 - dt * cost
            bands[1, :-1] += dt * fills[bid]  # a bid that is hit leads from q to q + 1
            bands[1, 1:] += dt * fills[ask]
            bands[0, 1:] = -dt * fills[bid] * gains[bid]
            bands[2, :-1] = -dt * fills[ask] * gains[ask]
            w = solve_banded((1, 1), bands, before)
            new_bid, new_ask = _search(w, fills, gains)
            if (new_bid == bid).all() and (new_ask == ask).all():
                break
            bid, ask = new_bid, new_ask
        w = w / w.max()  # only ratios matter
    return QuoteTable(
        inventory=q, bid_distance=np.append(grid[bid], np.nan), ask_distance=np.insert(grid[ask], 0, np.nan)
    )


def _search(w: Floats, fills: Floats, gains: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return places of the best distances: of bids at all inventories but the last, of asks at all but the first."""
    buy = fills[:, None] * (gains[:, None] * w[1:] - w[:-1])
    sell = fills[:, None] * (gains[:, None] * w[:-1] - w[1:])
    return buy.argmin(axis=0), sell.argmin(axis=0)


def _inventory(maker: MarketMaker) -> NDArray[np.int64]:
    return np.arange(-maker.inventory_max, maker.inventory_max + 1)


def _matrix(maker: MarketMaker) -> tuple[Floats, Floats]:
    """Return diagonal and off-diagonal of M."""
    g, k = maker.risk_aversion, maker.decay
    q = _inventory(maker)
    eta = maker.intensity * np.exp(-k * maker.fee - (1.0 + k / g) * np.log1p(g / k))
    diagonal = 0.5 * k * g * (maker.volatility * q) ** 2 - k * maker.drift * q
    return diagonal, np.full(q.size - 1, -eta)


def _quotes_of(maker: MarketMaker, v: Floats) -> QuoteTable:
    if not v.min() > 0:
        raise ConfigurationError(
            "some inventories are so bad that no number holds them",
            expected="a smaller inventory_max",
            found=str(maker.inventory_max),
        )
    return _table(maker, np.diff(np.log(v)) / maker.decay)


def _table(maker: MarketMaker, lean: Floats) -> QuoteTable:
    """Return quotes for ``ln(v(q + 1) / v(q)) / k``."""
    base = maker.margin + maker.fee
    return QuoteTable(
        inventory=_inventory(maker),
        bid_distance=np.append(base - lean, np.nan),
        ask_distance=np.insert(base + lean, 0, np.nan),
    )


def _check(maker: MarketMaker, seconds_left: float) -> None:
    if not (maker.risk_aversion > 0 and seconds_left >= 0):
        raise ConfigurationError(
            "the control problem needs an aversion to risk and a time to the end",
            expected="risk_aversion above zero, seconds_left zero or above",
            found=f"{maker.risk_aversion}, {seconds_left}",
        )
