"""How fast to trade a large order: the schedules of Almgren and Chriss, and of Obizhaeva and Wang.

Almgren and Chriss weigh the expected cost of trading fast against the risk of trading slowly. Impact is linear: each
lot moves the price for good by ``permanent``, and a rate of ``v`` lots per unit of time costs ``temporary * v`` on top.
``volatility`` is in price per square root of time (not a return), and time in any one unit throughout::

    holdings   x(t) = X sinh(k (T - t)) / sinh(k T)
    in steps   k = arccosh(1 + risk_aversion volatility^2 tau^2 / (2 eta)) / tau,   eta = temporary - permanent tau / 2
    continuous k = sqrt(risk_aversion volatility^2 / temporary)

As ``k T`` goes to 0 the schedule is a straight line (TWAP). Below 1e-4 a series takes over, whose error is beyond
double precision there.

Obizhaeva and Wang give the book a shape instead: a block of constant depth that refills at the rate ``resilience``.
Then a block at the start, a constant rate, and a block at the end are best.

References: Almgren, R. and Chriss, N. (2000), Optimal execution of portfolio transactions, Journal of Risk 3:2.
Obizhaeva, A. and Wang, J. (2013), Optimal trading strategy and supply/demand dynamics, Journal of Financial Markets
16:1. Not every kernel of impact has an optimum without price manipulation: Gatheral (2010), Alfonsi, Fruth and Schied
(2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError

__all__ = ["AlmgrenChriss", "Blocks", "ObizhaevaWang", "Schedule"]

Floats = NDArray[np.float64]

_SERIES_BELOW: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When to hold what.

    Attributes
    ----------
    times
        The N + 1 edges of the N slices, from 0 to the horizon.
    holdings_lots
        Still to be traded at each edge; the last is 0.
    trades_lots
        Of each slice, N of them; they add up to the order.
    expected_cost, variance
        Of the implementation shortfall, in price times lots (and its square).
    """

    times: Floats
    holdings_lots: Floats
    trades_lots: Floats
    expected_cost: float
    variance: float

    def table(self) -> list[dict[str, float]]:
        """Return a row for each slice: when it starts, what is held then, what is traded in it."""
        rows = zip(self.times.tolist(), self.holdings_lots.tolist(), self.trades_lots.tolist(), strict=False)
        return [{"time": t, "holdings_lots": x, "trades_lots": n} for t, x, n in rows]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers and lists."""
        return {
            "times": self.times.tolist(),
            "holdings_lots": self.holdings_lots.tolist(),
            "trades_lots": self.trades_lots.tolist(),
            "expected_cost": self.expected_cost,
            "variance": self.variance,
        }


@dataclass(frozen=True, kw_only=True)
class AlmgrenChriss:
    """Linear impact, constant volatility, constant absolute aversion to risk.

    Parameters
    ----------
    volatility
        Price per square root of a unit of time.
    temporary
        What trading at one lot per unit of time costs, in price.
    permanent
        What one lot moves the price for good, in price.
    risk_aversion
        Weight of variance against cost, per (price times lot); 0 asks for the cheapest schedule whatever its risk.
    half_spread
        Paid on every lot, in price. Costs, but changes no schedule.

    Raises
    ------
    ConfigurationError
        If a parameter is out of its range, or the slices are so long that ``temporary - permanent tau / 2`` is not
        above zero: then the model has no best schedule.

    Examples
    --------
    The five days of the paper's own example, a million shares:

    >>> model = AlmgrenChriss(volatility=0.95, temporary=2.5e-6, permanent=2.5e-7, risk_aversion=1e-6)
    >>> best = model.schedule(1_000_000, horizon=5.0, slices=5)
    >>> round(model.urgency(1.0), 2), [round(x / 1000) for x in best.holdings_lots]
    (0.61, [1000, 542, 290, 148, 62, 0])
    """

    volatility: float
    temporary: float
    permanent: float = 0.0
    risk_aversion: float = 0.0
    half_spread: float = 0.0

    def __post_init__(self) -> None:
        low = min(self.volatility, self.permanent, self.risk_aversion, self.half_spread)
        if not (low >= 0 and self.temporary > 0 and np.isfinite(self.risk_aversion)):
            raise ConfigurationError(
                "a parameter of the execution model is out of its range",
                expected="temporary above zero, the others zero or above",
                found=repr(self),
            )

    def urgency(self, tau: float = 0.0) -> float:
        """Return ``k``, per unit of time, for slices of length ``tau`` (0: continuous trading)."""
        pull = self.risk_aversion * self.volatility**2 / self._eta(tau)
        if tau == 0.0:
            return float(np.sqrt(pull))
        # arccosh(1 + u) = 2 arcsinh(sqrt(u / 2)), which keeps its digits where u is small.
        return float(2.0 * np.arcsinh(0.5 * tau * np.sqrt(pull)) / tau)

    def schedule(self, order_lots: float, horizon: float, slices: int) -> Schedule:
        """Return the best schedule in ``slices`` equal slices. A sell order and a buy order are traded alike."""
        _check_order(horizon, slices)
        times = np.linspace(0.0, horizon, slices + 1)
        held = order_lots * decay(self.urgency(horizon / slices), times, horizon)
        return self.of_holdings(times, held)

    def of_holdings(self, times: Floats, holdings_lots: Floats) -> Schedule:
        """Return any schedule in equal slices with its cost and variance."""
        tau = float(times[1] - times[0])
        trades = -np.diff(holdings_lots)
        order = float(holdings_lots[0])
        cost = (
            0.5 * self.permanent * order**2
            + self.half_spread * float(np.abs(trades).sum())
            + self._eta(tau) / tau * float(trades @ trades)
        )
        variance = self.volatility**2 * tau * float(holdings_lots[1:] @ holdings_lots[1:])
        return Schedule(
            times=times, holdings_lots=holdings_lots, trades_lots=trades, expected_cost=cost, variance=variance
        )

    def continuous(self, order_lots: float, horizon: float) -> tuple[float, float]:
        """Return expected cost and variance of the best schedule without slices (closed form)."""
        _check_order(horizon, 1)
        k = self.urgency()
        z = k * horizon
        if z < _SERIES_BELOW:
            trading, risk = 1.0 + z**4 / 45.0, (1.0 - 2.0 * z**2 / 15.0) / 3.0
        else:
            fade = np.exp(-2.0 * z)  # over e^{2z}: nothing overflows
            square = (1.0 - fade) ** 2
            trading = z * (1.0 - fade**2 + 4.0 * z * fade) / (2.0 * square)
            risk = (1.0 - fade**2 - 4.0 * z * fade) / (2.0 * z * square) if z > 0.05 else _risk_series(z)
        size = order_lots**2
        cost = 0.5 * self.permanent * size + self.half_spread * abs(order_lots)
        cost += self.temporary * size / horizon * float(trading)
        return cost, self.volatility**2 * size * horizon * float(risk)

    def frontier(
        self, order_lots: float, horizon: float, slices: int, risk_aversions: Sequence[float]
    ) -> tuple[Floats, Floats]:
        """Return expected cost and variance of the best schedule for each aversion to risk: the efficient frontier."""
        points = []
        for aversion in risk_aversions:
            best = replace(self, risk_aversion=aversion).schedule(order_lots, horizon, slices)
            points.append((best.expected_cost, best.variance))
        cost, variance = np.array(points, np.float64).reshape(-1, 2).T
        return cost, variance

    def _eta(self, tau: float) -> float:
        eta = self.temporary - 0.5 * self.permanent * tau
        if eta <= 0:
            raise ConfigurationError(
                "slices too long for this impact",
                expected=f"below {2 * self.temporary / self.permanent:g} units of time",
                found=f"{tau:g}",
                remedy="trade in more slices",
            )
        return eta


def decay(urgency: float, times: Floats, horizon: float) -> Floats:
    """Return ``sinh(k (T - t)) / sinh(k T)``: the share still held; a straight line as k goes to 0, no overflow."""
    left = np.maximum(horizon - times, 0.0)
    if urgency * horizon < _SERIES_BELOW:
        line: Floats = left / horizon * (1.0 + urgency**2 * (left**2 - horizon**2) / 6.0)
        return line
    share: Floats = np.exp(-urgency * times) * np.expm1(-2 * urgency * left) / np.expm1(-2 * urgency * horizon)
    return share


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """A block, a constant rate, a block.

    Attributes
    ----------
    first_lots, last_lots
        Traded at once at the start and at the end.
    rate
        Lots per unit of time between.
    expected_cost
        In price times lots, above the mid at the start.
    """

    first_lots: float
    last_lots: float
    rate: float
    horizon: float
    expected_cost: float

    def traded(self, time: float) -> float:
        """Return how many lots have been traded after ``time`` (the first block is at 0, the last at the horizon)."""
        if time < 0:
            return 0.0
        done = self.first_lots + self.rate * min(time, self.horizon)
        return done + self.last_lots if time >= self.horizon else done


@dataclass(frozen=True, kw_only=True)
class ObizhaevaWang:
    """A book of constant depth that refills.

    Parameters
    ----------
    depth
        Lots per unit of price on the side that is traded.
    resilience
        Rate at which the gap that a trade left closes again, per unit of time.
    permanent
        What one lot moves the price for good, in price; at most ``1 / depth``.
    half_spread
        Paid on every lot, in price.

    Examples
    --------
    >>> plan = ObizhaevaWang(depth=500.0, resilience=0.1).plan(1000.0, horizon=60.0)
    >>> plan.first_lots, plan.rate
    (125.0, 12.5)
    """

    depth: float
    resilience: float
    permanent: float = 0.0
    half_spread: float = 0.0

    def __post_init__(self) -> None:
        if not (self.depth > 0 and self.resilience >= 0 and 0 <= self.permanent * self.depth <= 1):
            raise ConfigurationError(
                "a parameter of the book is out of its range",
                expected="depth above zero, resilience zero or above, permanent from 0 to 1 / depth",
                found=repr(self),
            )

    def plan(self, order_lots: float, horizon: float) -> Blocks:
        """Return the best plan for an order of a risk-neutral trader."""
        _check_order(horizon, 1)
        block = order_lots / (self.resilience * horizon + 2.0)
        passing = 1.0 / self.depth - self.permanent
        cost = 0.5 * self.permanent * order_lots**2 + passing * order_lots * block
        return Blocks(
            first_lots=block,
            last_lots=block,
            rate=self.resilience * block,
            horizon=horizon,
            expected_cost=cost + self.half_spread * abs(order_lots),
        )


def _risk_series(z: float) -> float:
    """Return ``(sinh 2z - 2z) / (4 z sinh^2 z)`` for small z, where the closed form loses its digits."""
    u = z * z
    top = 1 / 3 + u * (1 / 15 + u * (2 / 315 + u / 2835))  # (sinh 2z - 2z) / (4 z^3)
    return top / float(np.sinh(z) / z) ** 2


def _check_order(horizon: float, slices: int) -> None:
    if not (horizon > 0 and slices >= 1):
        raise ConfigurationError(
            "bad schedule", expected="a horizon above zero and at least one slice", found=f"{horizon}, {slices}"
        )
