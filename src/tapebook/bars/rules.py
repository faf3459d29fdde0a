"""Closing rules: what makes a bar, as values that a user writes in one word: ``time:1m``, ``range:8``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import bar_state as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import PRICE_SCALE
from tapebook.market.instruments import Instrument

Kind = Literal["time", "tick", "volume", "dollar", "range", "reversal", "renko", "delta", "imbalance", "runs"]
Unit = Literal["tick", "volume", "dollar"]

_KINDS: Final[dict[str, int]] = {
    "time": kernel.TIME,
    "tick": kernel.TICK,
    "volume": kernel.VOLUME,
    "dollar": kernel.DOLLAR,
    "range": kernel.RANGE,
    "reversal": kernel.REVERSAL,
    "renko": kernel.RENKO,
    "delta": kernel.DELTA,
    "imbalance": kernel.IMBALANCE,
    "runs": kernel.RUNS,
}
_UNITS: Final = {"tick": kernel.BY_TICK, "volume": kernel.BY_VOLUME, "dollar": kernel.BY_DOLLAR}
_SPANS_NS: Final = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}


class BarRule(msgspec.Struct, frozen=True, kw_only=True):
    """When a bar closes.

    Attributes
    ----------
    kind
        ``time``: half-open intervals ``[k n, (k+1) n)`` of venue time from the start of the session. ``tick``,
        ``volume``, ``dollar``: with the trade that reaches ``size`` (trades; base units; currency). ``range``: holds
        prices while high - low <= ``size`` ticks; the trade that would exceed it opens the next bar. ``reversal``:
        with the trade that stands ``size`` ticks back from the bar's extreme. ``renko``: bricks of ``size`` ticks by
        trade price, a turn takes two. ``delta``: when |bought - sold| reaches ``size``. ``imbalance``, ``runs``: Lopez
        de Prado's information-driven bars.
    size
        In the unit of the kind; ns for ``time``. For imbalance and run bars the expected trades of a bar to begin with.
    unit
        What imbalance and run bars sum.
    split
        Volume bars only: divide the trade that overfills a bar (VPIN needs it), instead of closing on it.
    empty
        Time bars only: also tell intervals without a trade (open = high = low = close = the last price, volume 0).
    trades_min, trades_max
        Limits of the expected and of the actual length of imbalance and run bars; 0 takes a tenth and ten times
        ``size``.
    span_bars, span_trades
        Spans of the exponential averages (alpha = 2 / (span + 1)).

    Examples
    --------
    >>> BarRule.parse("time:5m").size
    300000000000.0
    >>> BarRule.parse("range:8").kind, BarRule.parse("volume-imbalance:500").unit
    ('range', 'volume')
    """

    kind: Kind
    size: float
    unit: Unit = "tick"
    split: bool = False
    empty: bool = True
    trades_min: float = 0.0
    trades_max: float = 0.0
    span_bars: float = 10.0
    span_trades: float = 1000.0

    def __post_init__(self) -> None:
        if not self.size > 0 or (self.kind in ("tick", "range", "reversal", "renko") and self.size != int(self.size)):
            raise ConfigurationError(
                "a bar needs a size", expected="a whole number above 0", found=str(self.size), where=f"{self.kind} bars"
            )
        if self.split and self.kind != "volume":
            raise ConfigurationError("only volume bars split trades", expected="volume", found=self.kind, where="split")

    @staticmethod
    def parse(text: str) -> BarRule:
        """Read a rule as a command line has it: ``KIND:SIZE``.

        Raises
        ------
        ConfigurationError
            If it is none.
        """
        kind, _, size = text.strip().partition(":")
        unit: Unit = "tick"
        match = re.fullmatch(r"(tick|volume|dollar)-(imbalance|runs)", kind)
        if match:
            unit = match[1]  # type: ignore[assignment] # the pattern admits the three units only
            kind = match[2]
        if kind not in _KINDS:
            raise ConfigurationError(
                "no such bar",
                expected=", ".join(_KINDS),
                found=repr(text),
                remedy="write for example time:1m or range:8",
            )
        number = re.fullmatch(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h|d)?", size)
        timed = kind == "time"
        if number is None or timed != bool(number[2]):
            raise ConfigurationError(
                "a bar needs a size",
                expected="a time such as 100ms, 1m, 1h" if timed else "a number",
                found=repr(size),
                where=text,
            )
        value = Decimal(number[1]) * (_SPANS_NS[number[2]] if timed else 1)
        return BarRule(kind=kind, size=float(value), unit=unit)  # type: ignore[arg-type] # looked up in _KINDS above

    def parameters(self, instrument: Instrument, *, cells: bool) -> NDArray[np.float64]:
        """Return the kernel's parameter vector for an instrument.

        Raises
        ------
        ConfigurationError
            If the rule counts ticks and the instrument has none.
        """
        size = self.size
        if self.kind in ("range", "reversal", "renko"):
            if not instrument.tick_e9:
                raise ConfigurationError(
                    f"{self.kind} bars count ticks",
                    expected="an instrument with a tick",
                    found="none",
                    where=instrument.symbol,
                    remedy="name the tick in the catalogue",
                )
            size *= instrument.tick_e9
        if self.kind in ("volume", "delta"):
            size = size * PRICE_SCALE / instrument.lot_e9
        par = np.zeros(kernel.N_PARAMETERS)
        par[kernel.P_KIND] = _KINDS[self.kind]
        par[kernel.P_SIZE] = size
        par[kernel.P_UNIT] = _UNITS[self.unit]
        par[kernel.P_SPLIT] = self.split
        par[kernel.P_EMPTY] = self.empty
        par[kernel.P_T_MIN] = max(1.0, self.trades_min or self.size / 10)
        par[kernel.P_T_MAX] = self.trades_max or self.size * 10
        par[kernel.P_A_BARS] = 2 / (self.span_bars + 1)
        par[kernel.P_A_TRADES] = 2 / (self.span_trades + 1)
        par[kernel.P_DOLLARS_PER] = float(instrument.multiplier) * instrument.lot_e9 / PRICE_SCALE / PRICE_SCALE
        par[kernel.P_CELLS] = cells
        return par
