"""What the price does after a trade: response, signature and markout curves, with bands.

Windows that overlap share their moves, so that the trades of a stretch of time are far from independent: the bands come
from a bootstrap of whole blocks of successive trades (Kuensch 1989), never of single ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tapebook.market.errors import ConfigurationError
from tapebook.market.operators import Rows

__all__ = ["Curve", "markout_curve", "response", "signature"]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A mean at each of some lags or horizons, with its band.

    Attributes
    ----------
    at
        Lags in trades, or horizons in seconds.
    mean, low, high
        The mean and the ends of the band.
    n
        How many trades each mean stands on.
    """

    at: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n: NDArray[np.int64]


def response(
    mid: ArrayLike,
    side: ArrayLike,
    lags: Sequence[int],
    *,
    session: ArrayLike | None = None,
    block: int = 500,
    draws: int = 400,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> Curve:
    """Return the response ``R(l) = mean of side_t (m_{t+l} - m_t)``, m the mid before a trade, lags in trades.

    Parameters
    ----------
    mid, side
        Mid before each trade (NaN where there was none) and its aggressor (0: not told, left out).
    lags
        At least 1 each.
    session
        A number for each trade: no move reaches over two of them.
    block, draws, level
        Trades in a block of the bootstrap (much longer than the lags of interest), how often it is drawn, and what
        share of the draws lies in the band.
    rng
        Where chance comes from; seed 0 by default.

    References
    ----------
    Bouchaud, J.-P., Gefen, Y., Potters, M. and Wyart, M. (2004), Fluctuations and response in financial markets,
    Quantitative Finance 4:2.

    Examples
    --------
    >>> curve = response([1.0, 2.0, 3.0, 2.0], [1, 1, -1, -1], [1, 2])
    >>> curve.mean.tolist(), curve.n.tolist()
    ([1.0, 1.0], [3, 2])
    """
    q = np.asarray(side, np.float64)
    signs = np.where(q == 0, np.nan, q)
    return _over_lags(np.asarray(mid, np.float64), signs, lags, session, block, draws, level, rng, square=False)


def signature(
    mid: ArrayLike,
    lags: Sequence[int],
    *,
    session: ArrayLike | None = None,
    block: int = 500,
    draws: int = 400,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> Curve:
    """Return the signature ``D(l) = mean of (m_{t+l} - m_t)^2 / l``: flat for a diffusion, falling where prices revert.

    The parameters are those of :func:`response`.
    """
    px = np.asarray(mid, np.float64)
    return _over_lags(px, np.ones(px.size), lags, session, block, draws, level, rng, square=True)


def markout_curve(
    rows: Rows,
    *,
    weight: str = "",
    column: str = "markout",
    block: int = 500,
    draws: int = 400,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> Curve:
    """Return the mean markout over its horizons from rows of the operator ``markout``.

    Parameters
    ----------
    weight
        A column to weigh by (``qty_lots``); empty counts every trade once.
    column
        What to take the mean of: ``markout``, ``markout_ticks``, ``markout_0``, ``adverse``.
    block, draws, level, rng
        As of :func:`response`.
    """
    horizons = np.unique(rows["horizon_ns"])
    groups = []
    for horizon in horizons:
        of = np.flatnonzero(rows["horizon_ns"] == horizon)
        of = of[np.argsort(rows["ts_trade_ns"][of], kind="stable")]
        value = rows[column][of]
        groups.append((value, rows[weight][of].astype(np.float64) if weight else np.ones(value.size)))
    return _curve(horizons / 1e9, groups, block, draws, level, rng)


def _over_lags(
    mid: NDArray[np.float64],
    sign: NDArray[np.float64],
    lags: Sequence[int],
    session: ArrayLike | None,
    block: int,
    draws: int,
    level: float,
    rng: np.random.Generator | None,
    *,
    square: bool,
) -> Curve:
    if mid.shape != sign.shape or not len(lags) or min(lags) < 1:
        raise ConfigurationError(
            "no response of these",
            expected="as many sides as mids, lags of at least 1",
            found=f"{mid.size} mids, {sign.size} sides, lags {list(lags)[:5]}",
        )
    days = np.zeros(mid.size, np.int64) if session is None else np.asarray(session)
    groups = []
    for lag in lags:
        reach = max(mid.size - lag, 0)
        move = np.where(days[lag:] == days[:reach], mid[lag:] - mid[:reach], np.nan)
        value = move * move / lag if square else sign[:reach] * move
        groups.append((value, np.ones(reach)))
    return _curve(np.asarray(lags, np.float64), groups, block, draws, level, rng)


def _curve(
    at: NDArray[np.float64],
    groups: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
    block: int,
    draws: int,
    level: float,
    rng: np.random.Generator | None,
) -> Curve:
    if block < 1 or draws < 1 or not 0 < level < 1:
        raise ConfigurationError(
            "bad bootstrap", expected="block and draws at least 1, level in (0, 1)", found=f"{block}, {draws}, {level}"
        )
    chance = np.random.default_rng(0) if rng is None else rng
    mean, low, high = (np.full(len(groups), np.nan) for _ in range(3))
    counts = np.zeros(len(groups), np.int64)
    for k, (value, weight) in enumerate(groups):
        good = np.isfinite(value)
        counts[k] = good.sum()
        if not counts[k]:
            continue
        edges = np.arange(0, value.size, block)
        above = np.add.reduceat(np.where(good, value * weight, 0.0), edges)
        below = np.add.reduceat(np.where(good, weight, 0.0), edges)
        mean[k] = above.sum() / below.sum()
        picks = chance.integers(0, edges.size, (draws, edges.size))
        with np.errstate(invalid="ignore", divide="ignore"):  # a draw of empty blocks alone has no mean
            means = above[picks].sum(axis=1) / below[picks].sum(axis=1)
        low[k], high[k] = np.nanquantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Curve(at=at, mean=mean, low=low, high=high, n=counts)
