"""Where to quote: Avellaneda-Stoikov for a finite horizon, Guéant-Lehalle-Fernandez-Tapia for a market that goes on.

A quote at distance ``d`` from the mid is hit at the rate ``intensity * exp(-decay * d)``; the mid diffuses with
``volatility``; inventory is counted in quoted sizes. Units: ``volatility`` in price per square root of a second,
``decay`` per price, ``intensity`` per second, ``risk_aversion`` per price (for one quoted size).

    finite      r = mid - q g s^2 (T - t),    half spread = g s^2 (T - t) / 2 + ln(1 + g/k) / g
    stationary  bid at ln(1 + g/k) / g + (2 q + 1)/2 w below the mid, ask with (1 - 2 q)/2 w above it,
                w = sqrt(s^2 g / (2 k A) (1 + g/k)^(1 + k/g))

A drift of the mid shifts both quotes, by ``drift (T - t)`` and by ``drift / (g s^2) w``. A fee per fill moves each
quote out by the fee and makes fills as rare as ``intensity * exp(-decay * fee)``, which is exact for these intensities.
As the aversion to risk goes to 0 the spread goes to ``2 / decay``. ``research.fill_rates`` calibrates intensity and
decay, ``research.hjb`` has the exact solution that the stationary form approximates.

References: Avellaneda, M. and Stoikov, S. (2008), High-frequency trading in a limit order book, Quantitative Finance
8:3. Guéant, O., Lehalle, C.-A. and Fernandez-Tapia, J. (2013), Dealing with the inventory risk, Mathematics and
Financial Economics 7:4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from tapebook.market.errors import ConfigurationError

__all__ = ["MarketMaker", "Quotes"]

# A price that stands on the grid but for rounding errors of its division stays there.
_ON_GRID: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class Quotes:
    """A pair of quotes.

    Attributes
    ----------
    bid, ask
        As the model has them, in price; NaN where the inventory limit takes the side out of the market.
    bid_ticks, ask_ticks
        Rounded outward to the tick grid: the bid down, the ask up. None where the side is out.
    reservation
        The price at which one more and one less are worth the same.
    """

    bid: float
    ask: float
    bid_ticks: int | None
    ask_ticks: int | None
    reservation: float

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers."""
        return {
            "bid": self.bid,
            "ask": self.ask,
            "bid_ticks": self.bid_ticks,
            "ask_ticks": self.ask_ticks,
            "reservation": self.reservation,
        }


@dataclass(frozen=True, kw_only=True)
class MarketMaker:
    """What a market maker knows of a market and of himself.

    Parameters
    ----------
    volatility
        Price per square root of a second.
    intensity
        Fills per second of a quote at the mid.
    decay
        How much rarer fills get with distance, per price.
    risk_aversion
        Per price; zero is a maker who minds no risk.
    tick
        Price step of the grid that quotes are rounded to.
    inventory_max
        At this many quoted sizes long no bid is shown, at as many short no ask.
    fee
        Paid per fill, in price; a rebate is below zero.
    drift
        Expected move of the mid, price per second.

    Examples
    --------
    The numbers of Avellaneda and Stoikov's own simulation:

    >>> maker = MarketMaker(volatility=2.0, intensity=140.0, decay=1.5, risk_aversion=0.1, tick=0.01)
    >>> q = maker.finite(mid=100.0, inventory=1, seconds_left=1.0)
    >>> round(q.reservation, 6), round(q.ask - q.bid, 6)
    (99.6, 1.69077)
    >>> q.bid_ticks, q.ask_ticks
    (9875, 10045)
    """

    volatility: float
    intensity: float
    decay: float
    risk_aversion: float
    tick: float
    inventory_max: int = 10
    fee: float = 0.0
    drift: float = 0.0

    def __post_init__(self) -> None:
        positive = min(self.intensity, self.decay, self.tick, float(self.inventory_max)) > 0
        if not (positive and self.volatility >= 0 and self.risk_aversion >= 0):
            raise ConfigurationError(
                "a parameter of the market maker is out of its range",
                expected="intensity, decay, tick, inventory_max above zero; volatility, risk_aversion zero or above",
                found=repr(self),
            )
        if self.drift and not (self.risk_aversion > 0 and self.volatility > 0):
            raise ConfigurationError(
                "a drift has no bounded answer from a maker who minds no risk",
                expected="risk_aversion and volatility above zero",
                found=f"{self.risk_aversion}, {self.volatility}",
            )

    @property
    def margin(self) -> float:
        """Distance from the reservation price at no risk: ``ln(1 + g/k) / g``, which tends to ``1/k``."""
        if self.risk_aversion < 1e-12 * self.decay:
            return 1.0 / self.decay
        return math.log1p(self.risk_aversion / self.decay) / self.risk_aversion

    @property
    def width(self) -> float:
        """How far one unit of inventory moves the stationary quotes, in price."""
        g, k = self.risk_aversion, self.decay
        if g < 1e-12 * k:
            return 0.0
        power = math.exp((1.0 + k / g) * math.log1p(g / k))
        intensity = self.intensity * math.exp(-k * self.fee)
        return self.volatility * math.sqrt(g * power / (2.0 * k * intensity))

    def finite(self, mid: float, inventory: int, seconds_left: float) -> Quotes:
        """Return the quotes of Avellaneda and Stoikov, who value the inventory at the mid when time is up.

        Below zero ``seconds_left`` counts as zero.
        """
        left = max(seconds_left, 0.0)
        risk = self.risk_aversion * self.volatility**2 * left
        reservation = mid - inventory * risk + self.drift * left
        half = 0.5 * risk + self.margin + self.fee
        return self._quotes(inventory, reservation - half, reservation + half, reservation)

    def stationary(self, mid: float, inventory: int) -> Quotes:
        """Return the quotes of Guéant, Lehalle and Fernandez-Tapia for a horizon far away."""
        width = self.width
        lean = self.drift / (self.risk_aversion * self.volatility**2) if self.drift else 0.0
        reservation = mid + (lean - inventory) * width
        half = self.margin + 0.5 * width + self.fee
        return self._quotes(inventory, reservation - half, reservation + half, reservation)

    def _quotes(self, inventory: int, bid: float, ask: float, reservation: float) -> Quotes:
        shows_bid, shows_ask = inventory < self.inventory_max, inventory > -self.inventory_max
        bid_ticks = math.floor(bid / self.tick + _ON_GRID) if shows_bid else None
        ask_ticks = math.ceil(ask / self.tick - _ON_GRID) if shows_ask else None
        return Quotes(
            bid=bid if shows_bid else math.nan,
            ask=ask if shows_ask else math.nan,
            bid_ticks=bid_ticks,
            ask_ticks=ask_ticks,
            reservation=reservation,
        )
