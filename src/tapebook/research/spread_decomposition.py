"""What the spread is made of: the maker's costs, what better informed traders take, and inventory.

Four models of how a trade's price follows from its side ``q`` (+1 bought, -1 sold), by least squares and moments that
identify them exactly, with standard errors that allow for the errors' changing size and serial correlation (Newey and
West), carried to the shares by the delta method:

======================  ==============================================================================================
Glosten-Harris 1988     ``dp = c (q_t - q_{t-1}) + z q_t``; both may grow with size, ``c = c0 + c1 v`` and so z
Madhavan-Richardson-    ``dp = (phi + theta) q_t - (phi + rho theta) q_{t-1}``: only the *surprise* in a side informs;
Roomans 1997            ``rho`` is the correlation of successive sides
Huang-Stoll two-way     ``dp = S/2 (q_t - q_{t-1}) + lambda S/2 q_{t-1}``: lambda is adverse selection and inventory
Huang-Stoll three-way   ``dp = S/2 q_t + (alpha + beta - 1) S/2 q_{t-1} - alpha S/2 (1 - 2 pi) q_{t-2}``: parts them by
                        the chance ``pi`` that the side turns (both of Huang and Stoll 1997)
======================  ==============================================================================================

The three-way model needs sides that turn more often than not (pi above one half). Tapes have the opposite, because
large orders come in pieces; how it then parts adverse selection from inventory means nothing. Huang and Stoll merge
successive trades of one side and price for that reason (:func:`merged`); the choice decides the answer, so make both
and say which.

Sides must be true ones: a classifier's errors go straight into these coefficients. Pass aggressive orders, not fills.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.research.newey_west import lags_for, long_run
from tapebook.research.threads import one_thread

__all__ = [
    "Decomposition",
    "glosten_harris",
    "huang_stoll",
    "huang_stoll_three_way",
    "madhavan_richardson_roomans",
    "merged",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Decomposition:
    """Parameters of a model with standard errors.

    Attributes
    ----------
    estimates, errors
        By name. ``spread`` is the implied full spread in price, ``adverse_share`` and the like are parts of it.
    r_squared
        Of the price changes.
    n, lags
        Price changes used, and lags of the Newey-West errors.
    """

    model: str
    estimates: dict[str, float]
    errors: dict[str, float]
    r_squared: float
    n: int
    lags: int

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each parameter."""
        names = self.estimates
        return [{"parameter": k, "estimate": names[k], "standard_error": self.errors[k]} for k in names]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers."""
        return {"model": self.model, "r_squared": self.r_squared, "n": self.n, "lags": self.lags} | {
            "parameters": self.table()
        }


def glosten_harris(side: Ints, price: Floats, size: Floats | None = None, *, lags: int = -1) -> Decomposition:
    """Fit the model of Glosten and Harris.

    Parameters
    ----------
    side, price
        Of successive trades.
    size
        With it, both components may grow with size; ``spread`` and shares are then at the mean size.
    lags
        Of the standard errors; -1 chooses by the number of trades.

    Examples
    --------
    >>> q = np.random.default_rng(1).choice([-1, 1], 20_000)
    >>> p = np.cumsum(0.03 * q) + 0.02 * q
    >>> found = glosten_harris(q, p).estimates
    >>> round(found["transitory"], 6), round(found["adverse"], 6), round(found["spread"], 6)
    (0.02, 0.03, 0.1)
    """
    dp, q = _changes(side, price)
    columns = [q[1:] - q[:-1], q[1:]]
    names = ["transitory", "adverse"]
    mean_size = 0.0
    if size is not None:
        v = q * np.asarray(size, np.float64)
        columns += [v[1:] - v[:-1], v[1:]]
        names += ["transitory_per_lot", "adverse_per_lot"]
        mean_size = float(np.mean(size))

    def derive(b: Floats) -> dict[str, float]:
        c, z = (b[0], b[1]) if size is None else (b[0] + b[2] * mean_size, b[1] + b[3] * mean_size)
        own = dict(zip(names, b.tolist(), strict=False))
        return own | {"spread": 2 * (c + z), "adverse_share": z / (c + z), "transitory_share": c / (c + z)}

    x = np.column_stack([*columns, np.ones(dp.size)])
    return _fit("Glosten-Harris", dp, x, None, derive, lags)


def madhavan_richardson_roomans(side: Ints, price: Floats, *, lags: int = -1) -> Decomposition:
    """Fit the model of Madhavan, Richardson and Roomans. Trades at the mid may have the side 0.

    Examples
    --------
    >>> q = np.random.default_rng(1).choice([-1, 1], 20_000)
    >>> p = np.cumsum(0.03 * q) + 0.02 * q
    >>> round(madhavan_richardson_roomans(q, p).estimates["spread"], 3)
    0.1
    """
    dp, q = _changes(side, price)

    def derive(b: Floats) -> dict[str, float]:
        rho = b[3]
        theta = (b[0] + b[1]) / (1.0 - rho)
        phi = b[0] - theta
        return {
            "theta": theta,
            "phi": phi,
            "rho": rho,
            "spread": 2 * (phi + theta),
            "adverse_share": theta / (phi + theta),
        }

    x = np.column_stack([q[1:], q[:-1], np.ones(dp.size)])
    return _fit("Madhavan-Richardson-Roomans", dp, x, (q[1:], q[:-1]), derive, lags)


def huang_stoll(side: Ints, price: Floats, *, lags: int = -1) -> Decomposition:
    """Fit the two-way model of Huang and Stoll."""
    dp, q = _changes(side, price)

    def derive(b: Floats) -> dict[str, float]:
        share = 1.0 + b[1] / b[0]
        return {"spread": 2 * b[0], "adverse_and_inventory_share": share, "order_processing_share": 1.0 - share}

    x = np.column_stack([q[1:], q[:-1], np.ones(dp.size)])
    return _fit("Huang-Stoll two-way", dp, x, None, derive, lags)


def huang_stoll_three_way(side: Ints, price: Floats, *, lags: int = -1) -> Decomposition:
    """Fit the three-way model of Huang and Stoll; read the module's words on when it means something."""
    dp, q = _changes(side, price)

    def derive(b: Floats) -> dict[str, float]:
        half, both = b[0], 1.0 + b[1] / b[0]
        adverse = -b[2] / (half * b[4])  # b[4] = 1 - 2 pi, the coefficient of a side on the one before
        return {
            "spread": 2 * half,
            "adverse_share": adverse,
            "inventory_share": both - adverse,
            "order_processing_share": 1.0 - both,
            "reversal_chance": (1.0 - b[4]) / 2.0,
        }

    x = np.column_stack([q[2:], q[1:-1], q[:-2], np.ones(dp.size - 1)])
    return _fit("Huang-Stoll three-way", np.asarray(dp[1:], np.float64), x, (q[1:-1], q[:-2]), derive, lags)


def merged(side: Ints, price: Floats) -> tuple[Ints, Floats]:
    """Return successive trades of one side and one price as one, as Huang and Stoll do.

    >>> merged(np.array([1, 1, -1, -1]), np.array([5.0, 5.0, 4.0, 3.0]))[0].tolist()
    [1, -1, -1]
    """
    kept = np.append(True, (side[1:] != side[:-1]) | (price[1:] != price[:-1]))
    return side[kept], price[kept]


def _changes(side: Ints, price: Floats) -> tuple[Floats, Floats]:
    q, p = np.asarray(side, np.float64), np.asarray(price, np.float64)
    if q.shape != p.shape or q.ndim != 1 or q.size < 50:
        raise ConfigurationError(
            "sides and prices do not fit together",
            expected="two equally long arrays of 50 trades or more",
            found=f"{q.shape}, {p.shape}",
        )
    return np.diff(p), q


@one_thread()
def _fit(
    model: str,
    y: Floats,
    x: Floats,
    chain: tuple[Floats, Floats] | None,
    derive: Callable[[Floats], dict[str, float]],
    lags: int,
) -> Decomposition:
    """Solve ``E[x (y - x b)] = 0``, and for a chain (now, before) ``E[before (now - rho before)] = 0`` beside it."""
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise DataQualityError("the sides never turn, or always do", remedy="more trades, and their true sides")
    solved, *_ = np.linalg.lstsq(x, y, rcond=None)
    b: Floats = np.asarray(solved, np.float64)
    e = y - x @ b
    moments, n = x * e[:, None], y.size
    slope = x.T @ x / n
    if chain is not None:
        now, before = chain
        square = float(before @ before)
        rho = float(now @ before) / square
        b = np.concatenate([b, [rho]])
        moments = np.column_stack([moments, before * (now - rho * before)])
        slope = np.block([[slope, np.zeros((slope.shape[0], 1))], [np.zeros((1, slope.shape[0])), square / n]])
    lags = lags_for(n) if lags < 0 else lags
    inverse = np.linalg.inv(slope)
    covariance = inverse @ long_run(moments, lags) @ inverse.T / n**2
    estimates = derive(b)
    gradient = np.zeros((len(estimates), b.size))
    for i in range(b.size):
        step = np.zeros(b.size)
        step[i] = 1e-6 * max(abs(float(b[i])), 1e-9)
        up, down = derive(b + step), derive(b - step)
        gradient[:, i] = [(up[k] - down[k]) / (2 * step[i]) for k in estimates]
    variance = np.einsum("ka,ab,kb->k", gradient, covariance, gradient)
    errors = np.sqrt(np.maximum(variance, 0.0))
    return Decomposition(
        model=model,
        estimates={k: float(v) for k, v in estimates.items()},
        errors=dict(zip(estimates, errors.tolist(), strict=True)),
        r_squared=1.0 - float(e @ e) / float(((y - y.mean()) ** 2).sum()),
        n=n,
        lags=lags,
    )
