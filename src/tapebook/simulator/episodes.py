"""Planted episodes: what can be put into a simulated market, with every number a caller can choose.

Each is a frozen value with ``at_s``, seconds after the tape starts. Sizes of 0 mean "as fits the preset": the value
then comes from the preset's own queues, sizes and volatility (:mod:`tapebook.simulator.planting`, which also reads the
short form of the command line, ``iceberg@120:side=sell:lots=600``). kernels/sim_episodes.py carries them out.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import ClassVar, Final

import msgspec

__all__ = [
    "EPISODES",
    "Episode",
    "FlashCrash",
    "Iceberg",
    "InformedFlow",
    "Layering",
    "LiquidityEvaporation",
    "QuoteStuffing",
    "Sweep",
    "WashTrades",
]


class _Meta(msgspec.StructMeta, ABCMeta):
    """Of structs that may be abstract."""


class Episode(msgspec.Struct, metaclass=_Meta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every episode has; use one of its kinds.

    Attributes
    ----------
    at_s
        Seconds after the tape starts.
    side
        +1 or -1, what it means says each kind; 0 for both.
    """

    name: ClassVar[str] = ""
    code: ClassVar[int] = 0  # as kernels/sim_episodes.py numbers them

    at_s: float
    side: int = 1

    @abstractmethod
    def meaning(self) -> str:
        """Return one line that says what happens."""

    @abstractmethod
    def span_s(self) -> float:
        """Return the longest time that it takes."""


class FlashCrash(Episode, frozen=True, kw_only=True):
    """The price falls (``side`` -1) or spikes (+1) through a book that empties, and comes back.

    Attributes
    ----------
    ticks
        How far, in ticks; 0: as fits the preset.
    fall_s, hold_s, recover_s
        How long each part takes.
    recovered_share
        Share of the move that is taken back.
    depth_share, band_ticks
        Share of the orders within so many ticks (0: as fits the preset) of the touch that is left during the fall.
    aggressors_per_s, lots
        The sellers sent: how many a second, and lots on top of an ordinary size; 0: as fits the preset.
    """

    name: ClassVar[str] = "flash_crash"
    code: ClassVar[int] = 1

    side: int = -1
    ticks: float = 0.0
    fall_s: float = 12.0
    hold_s: float = 2.0
    recover_s: float = 30.0
    recovered_share: float = 0.8
    depth_share: float = 0.15
    band_ticks: int = 0
    aggressors_per_s: float = 0.0
    lots: int = 0

    def meaning(self) -> str:
        """Return one line that says what happens."""
        way = "falls" if self.side < 0 else "spikes"
        return (
            f"the price {way} {self.ticks:g} ticks within {self.fall_s:g} s while {1 - self.depth_share:.0%} of the "
            f"depth is withdrawn, then takes back {self.recovered_share:.0%} within {self.hold_s + self.recover_s:g} s"
        )

    def span_s(self) -> float:
        """Return the longest time that it takes."""
        return self.fall_s + self.hold_s + self.recover_s


class LiquidityEvaporation(Episode, frozen=True, kw_only=True):
    """Resting orders on both sides are cancelled within a moment and stay away for a while, without news.

    Attributes
    ----------
    fade_s, hold_s, recover_s
        How fast they go, how long they stay away, and how long they take to come back (at most).
    depth_share, band_ticks
        Share of the orders within so many ticks (0: as fits the preset) of the touch that is left.
    """

    name: ClassVar[str] = "liquidity_evaporation"
    code: ClassVar[int] = 2

    side: int = 0
    fade_s: float = 0.6
    hold_s: float = 8.0
    recover_s: float = 15.0
    depth_share: float = 0.15
    band_ticks: int = 0

    def meaning(self) -> str:
        """Return one line that says what happens."""
        return (
            f"{1 - self.depth_share:.0%} of the orders within {self.band_ticks} ticks of the touch are cancelled "
            f"within {self.fade_s:g} s and stay away for {self.hold_s:g} s; trades do not explain it"
        )

    def span_s(self) -> float:
        """Return the longest time that it takes."""
        return self.fade_s + self.hold_s + self.recover_s


class QuoteStuffing(Episode, frozen=True, kw_only=True):
    """One order is added and cancelled again and again at one price of ``side``, thousands of times a second.

    Attributes
    ----------
    duration_s
        How long.
    messages_per_s
        Adds and cancels together.
    life_s
        How long each order rests, on average.
    offset_ticks
        Distance from the touch.
    lots
        Lots of each order.
    """

    name: ClassVar[str] = "quote_stuffing"
    code: ClassVar[int] = 3

    duration_s: float = 1.5
    messages_per_s: float = 8_000.0
    life_s: float = 0.0001
    offset_ticks: int = 2
    lots: int = 1

    def meaning(self) -> str:
        """Return one line that says what happens."""
        return (
            f"{self.messages_per_s:g} adds and cancels a second at one {_book_side(self.side)} price, "
            f"each order resting about {self.life_s * 1e6:g} µs, for {self.duration_s:g} s"
        )

    def span_s(self) -> float:
        """Return the longest time that it takes."""
        return self.duration_s + 0.01


class Iceberg(Episode, frozen=True, kw_only=True):
    """A large order at the touch of ``side`` shows only its peak and is refilled each time that is executed.

    Attributes
    ----------
    lots, peak_lots
        Total and visible lots; 0: as fits the preset.
    duration_s
        After that the rest is cancelled.
    native
        True: the venue refills under the same id (EXECUTE with INFO, then MODIFY); False: each refill is a new order.
    """

    name: ClassVar[str] = "iceberg"
    code: ClassVar[int] = 4

    lots: int = 0
    peak_lots: int = 0
    duration_s: float = 90.0
    native: bool = False

    def meaning(self) -> str:
        """Return one line that says what happens."""
        how = "under the same id" if self.native else "under new ids"
        return f"one {_book_side(self.side)} order of {self.lots} lots shows {self.peak_lots} and is refilled {how}"

    def span_s(self) -> float:
        """Return the longest time that it takes."""
        return self.duration_s


class Sweep(Episode, frozen=True, kw_only=True):
    """One aggressor of ``side`` trades through several prices at one moment.

    Attributes
    ----------
    levels
        Prices it trades at.
    last_share
        Share of the last level that it takes.
    """

    name: ClassVar[str] = "sweep"
    code: ClassVar[int] = 5

    levels: int = 4
    last_share: float = 0.4

    def meaning(self) -> str:
        """Return one line that says what happens."""
        return f"one {'buyer' if self.side > 0 else 'seller'} trades through {self.levels} prices in one message"

    def span_s(self) -> float:
        """Return the longest time that it takes."""
        return 0.001


class Layering(Episode, frozen=True, kw_only=True):
    """Large orders on ``side`` lean on the market until a small order on the other side is filled; then they go.

    Attributes
    ----------
    layers, lots
        Number of large orders, one tick apart, and lots of each (0: as fits the preset).
    offset_ticks
        Distance of the first from the touch; 0: as fits the preset (out of reach while they rest).
    small_lots
        Lots of the small order at the opposite touch (0: as fits the preset).
    hold_s
        How long they rest before the market gives way.
    duration_s
        After that they go in any case.
    """

    name: ClassVar[str] = "layering"
    code: ClassVar[int] = 6

    side: int = -1
    layers: int = 5
    lots: int = 0
    offset_ticks: int = 0
    small_lots: int = 0
    hold_s: float = 1.0
    duration_s: float = 20.0

    def meaning(self) -> str:
        """Return one line that says what happens."""
        return (
            f"{self.layers} {_book_side(self.side)} orders of {self.lots} lots are laid away from the touch, an order "
            f"of {self.small_lots} lots on the other side is filled, then all of them are cancelled"
        )

    def span_s(self) -> float:
        """Return the longest time that it takes."""
        return self.duration_s + 1.0


class WashTrades(Episode, frozen=True, kw_only=True):
    """Somebody buys from and sells to himself: the same lots at one price inside the spread, which stays as it is.

    Attributes
    ----------
    round_trips
        Pairs of a sale and a purchase; fewer where the spread does not open often enough.
    lots
        Of each trade (0: as fits the preset).
    duration_s
        They wait for an open spread at most so long.
    """

    name: ClassVar[str] = "wash_trades"
    code: ClassVar[int] = 7

    side: int = 0
    round_trips: int = 8
    lots: int = 0
    duration_s: float = 60.0

    def meaning(self) -> str:
        """Return one line that says what happens."""
        return f"up to {self.round_trips} sales, each bought back: {self.lots} lots at one price, quotes unchanged"

    def span_s(self) -> float:
        """Return the longest time that it takes."""
        return self.duration_s


class InformedFlow(Episode, frozen=True, kw_only=True):
    """Aggressors of ``side`` keep coming, then the price jumps their way and stays there.

    Attributes
    ----------
    lead_s
        How long before the jump.
    aggressors_per_s, lots
        How many a second, and their mean lots; 0: as fits the preset.
    ticks
        Size of the jump (0: as fits the preset).
    """

    name: ClassVar[str] = "informed_flow"
    code: ClassVar[int] = 8

    lead_s: float = 20.0
    aggressors_per_s: float = 0.0
    lots: int = 0
    ticks: float = 0.0

    def meaning(self) -> str:
        """Return one line that says what happens."""
        what = "buyers" if self.side > 0 else "sellers"
        return (
            f"{what} at {self.aggressors_per_s:g} a second for {self.lead_s:g} s, then a jump of {self.ticks:g} ticks"
        )

    def span_s(self) -> float:
        """Return the longest time that it takes."""
        return self.lead_s + 3.0


def _book_side(side: int) -> str:
    return "bid" if side > 0 else "ask"


EPISODES: Final[dict[str, type[Episode]]] = {
    kind.name: kind
    for kind in (
        FlashCrash,
        LiquidityEvaporation,
        QuoteStuffing,
        Iceberg,
        Sweep,
        Layering,
        WashTrades,
        InformedFlow,
    )
}
"""The kinds of episodes by name."""
