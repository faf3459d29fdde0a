"""RSI, MACD, Bollinger bands, EMA and ATR of the mid on an explicit clock, and the same of any array of prices.

Operators and array functions run the same kernels. All agree with TA-Lib but for one case: RSI where nothing moved is
undefined (NaN), where TA-Lib says 0. MACD stands from the bar on which both averages stand, before its signal does;
TA-Lib withholds it until then.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tapebook.features.bar_clock import BarFold, ClockBars
from tapebook.features.touch import QUOTED, FoldOperator
from tapebook.kernels import technical as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, register

__all__ = ["Atr", "Bands", "Bollinger", "Ema", "Macd", "MacdLines", "Rsi", "atr", "bollinger", "ema", "macd", "rsi"]

_TS = Column("ts_ns", "ns", "end of the bar; of bars by trades the clock of the print that closed it")
RSI_COLUMNS = (_TS, Column("rsi", "0-100", "share of gains in the bars' moves; NaN before length + 1 bars, or no move"))
MACD_COLUMNS = (
    _TS,
    Column("macd", "price", "fast less slow average of the mid; NaN before slow bars"),
    Column("macd_signal", "price", "average of macd; NaN before slow + signal - 1 bars"),
    Column("macd_histogram", "price", "macd less its signal"),
)
BOLLINGER_COLUMNS = (
    _TS,
    Column("bollinger_mid", "price", "mean of the last closes; NaN before length bars"),
    Column("bollinger_upper", "price", "mean plus width deviations"),
    Column("bollinger_lower", "price", "mean less width deviations"),
    Column("bollinger_position", "ratio", "%b: 0 at the lower band, 1 at the upper; NaN where no close differs"),
    Column("bollinger_bandwidth", "ratio", "upper less lower band over the mean; NaN where the mean is 0"),
)
EMA_COLUMNS = (_TS, Column("ema", "price", "exponential average of the mid; NaN before length bars"))
ATR_COLUMNS = (_TS, Column("atr", "price", "Wilder's average true range of the mid; NaN before length + 1 bars"))


class MacdLines(NamedTuple):
    """MACD of each price."""

    macd: NDArray[np.float64]
    signal: NDArray[np.float64]
    histogram: NDArray[np.float64]


class Bands(NamedTuple):
    """Bollinger bands of each price."""

    mid: NDArray[np.float64]
    upper: NDArray[np.float64]
    lower: NDArray[np.float64]
    position: NDArray[np.float64]
    bandwidth: NDArray[np.float64]


def rsi(prices: ArrayLike, length: int = 14) -> NDArray[np.float64]:
    """Return the relative strength index of each price (Wilder 1978).

    NaN for the first ``length`` prices and where nothing has moved since the beginning. A price that is not finite
    starts afresh (here and in all functions of this module).

    >>> rsi([1.0, 2.0, 3.0, 2.0], length=2).tolist()
    [nan, nan, 100.0, 50.0]
    """
    _check(length, 1, "length")
    x = _prices(prices)
    out = np.empty(x.size)
    kernel.rsi_run(x, length, np.zeros(kernel.RSI_N), out)
    return out


def macd(prices: ArrayLike, fast: int = 12, slow: int = 26, signal: int = 9) -> MacdLines:
    """Return MACD, its signal and the histogram of each price (Appel 1979).

    >>> lines = macd(np.arange(8.0), fast=2, slow=4, signal=3)
    >>> lines.macd.tolist()
    [nan, nan, nan, 1.0, 1.0, 1.0, 1.0, 1.0]
    >>> lines.signal.tolist()
    [nan, nan, nan, nan, nan, 1.0, 1.0, 1.0]
    """
    _check_macd(fast, slow, signal)
    x = _prices(prices)
    out = np.empty((2, x.size))
    kernel.macd_run(x, fast, slow, signal, np.zeros(kernel.MACD_N), out)
    return MacdLines(out[0], out[1], out[0] - out[1])


def bollinger(prices: ArrayLike, length: int = 20, width: float = 2.0) -> Bands:
    """Return mean, bands ``width`` population deviations from it, %b and bandwidth of the last ``length`` prices.

    >>> bands = bollinger([1.0, 3.0, 5.0], length=2)
    >>> bands.upper.tolist(), bands.position.tolist()
    ([nan, 4.0, 6.0], [nan, 0.75, 0.75])
    """
    _check_bollinger(length, width)
    x = _prices(prices)
    out = np.empty((5, x.size))
    kernel.bollinger_run(x, length, width, np.zeros(length), np.zeros(kernel.BOLLINGER_N), out)
    return Bands(*out)


def ema(prices: ArrayLike, length: int = 20) -> NDArray[np.float64]:
    """Return the exponential average of each price, weight ``2 / (length + 1)``, begun with the mean of the first ones.

    >>> ema([1.0, 3.0, 5.0], length=2).tolist()
    [nan, 2.0, 4.0]
    """
    _check(length, 1, "length")
    x = _prices(prices)
    out = np.empty(x.size)
    kernel.ema_run(x, length, np.zeros(kernel.EMA_N), out)
    return out


def atr(high: ArrayLike, low: ArrayLike, close: ArrayLike, length: int = 14) -> NDArray[np.float64]:
    """Return the average true range of each bar (Wilder 1978).

    >>> atr([3.0, 4.0, 6.0], [1.0, 2.0, 4.0], [2.0, 3.0, 5.0], length=2).tolist()
    [nan, nan, 2.5]
    """
    _check(length, 1, "length")
    bars = [_prices(column) for column in (high, low, close)]
    if len({column.size for column in bars}) > 1:
        raise ConfigurationError(
            "bars do not fit together", expected="as many highs as lows and closes", found=str([c.size for c in bars])
        )
    out = np.empty(bars[0].size)
    kernel.atr_run(bars[0], bars[1], bars[2], length, np.zeros(kernel.ATR_N), out)
    return out


class Rsi(BarFold):
    """Relative strength index of the mid, a row for each bar: 100 where all moves were gains, 0 where all were losses.

    NaN for the first ``length`` bars after a beginning (:class:`~tapebook.features.bar_clock.BarClock`), and where
    nothing has moved since.

    Parameters
    ----------
    length
        Bars that the first averages are taken over; later ones fade by ``1 / length`` a bar.
    bar_s
        Seconds of a bar.
    bar_trades
        Close bars by this number of prints instead; 0: by time.

    References
    ----------
    Wilder, J. W. (1978), New Concepts in Technical Trading Systems.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> euro = 1_000_000_000
    >>> view = view_of([(m * euro, 1, (m + 2) * euro, 1) for m in (9, 10, 11, 10, 10)])
    >>> Rsi(length=2).fold(view)["rsi"].tolist()
    [nan, nan, 100.0, 50.0]
    """

    def __init__(self, *, length: int = 14, bar_s: float = 1.0, bar_trades: int = 0) -> None:
        _check(length, 1, "length")
        self._length = length
        super().__init__(RSI_COLUMNS, bar_s=bar_s, bar_trades=bar_trades, memory={"rsi": np.zeros(kernel.RSI_N)})

    def fold_spell(self, bars: ClockBars, out: dict[str, NDArray[np.float64]]) -> None:
        """Write the columns of bars that belong together."""
        kernel.rsi_run(bars.close, self._length, self.memory["rsi"], out["rsi"])


class Macd(BarFold):
    """Difference of a fast and a slow exponential average of the mid, and the average of it, a row for each bar.

    Parameters
    ----------
    fast, slow, signal
        Bars of the averages: each price has the weight ``2 / (bars + 1)``.
    bar_s
        Seconds of a bar.
    bar_trades
        Close bars by this number of prints instead; 0: by time.

    References
    ----------
    Appel, G. (2005), Technical Analysis: Power Tools for Active Investors.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> euro = 1_000_000_000
    >>> view = view_of([(m * euro, 1, (m + 2) * euro, 1) for m in range(8)])
    >>> Macd(fast=2, slow=4, signal=3).fold(view)["macd_signal"].tolist()
    [nan, nan, nan, nan, nan, 1.0, 1.0]
    """

    def __init__(
        self, *, fast: int = 12, slow: int = 26, signal: int = 9, bar_s: float = 1.0, bar_trades: int = 0
    ) -> None:
        _check_macd(fast, slow, signal)
        self._lengths = (fast, slow, signal)
        super().__init__(MACD_COLUMNS, bar_s=bar_s, bar_trades=bar_trades, memory={"macd": np.zeros(kernel.MACD_N)})

    def fold_spell(self, bars: ClockBars, out: dict[str, NDArray[np.float64]]) -> None:
        """Write the columns of bars that belong together."""
        lines = np.empty((2, bars.close.size))
        kernel.macd_run(bars.close, *self._lengths, self.memory["macd"], lines)
        out["macd"][:], out["macd_signal"][:], out["macd_histogram"][:] = lines[0], lines[1], lines[0] - lines[1]


class Bollinger(BarFold):
    """Bollinger bands of the mid, a row for each bar: mean, bands, %b and bandwidth.

    Parameters
    ----------
    length
        Bars that mean and population deviation are taken over.
    width
        Deviations from the mean to each band.
    bar_s
        Seconds of a bar.
    bar_trades
        Close bars by this number of prints instead; 0: by time.

    References
    ----------
    Bollinger, J. (2001), Bollinger on Bollinger Bands.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> euro = 1_000_000_000
    >>> view = view_of([(m * euro, 1, (m + 2) * euro, 1) for m in (0, 2, 4, 4)])
    >>> Bollinger(length=2).fold(view)["bollinger_position"].tolist()
    [nan, 0.75, 0.75]
    """

    def __init__(self, *, length: int = 20, width: float = 2.0, bar_s: float = 1.0, bar_trades: int = 0) -> None:
        _check_bollinger(length, width)
        self._length, self._width = length, width
        memory = {"bollinger": np.zeros(kernel.BOLLINGER_N), "ring": np.zeros(length)}
        super().__init__(BOLLINGER_COLUMNS, bar_s=bar_s, bar_trades=bar_trades, memory=memory)

    def fold_spell(self, bars: ClockBars, out: dict[str, NDArray[np.float64]]) -> None:
        """Write the columns of bars that belong together."""
        found = np.empty((5, bars.close.size))
        kernel.bollinger_run(
            bars.close, self._length, self._width, self.memory["ring"], self.memory["bollinger"], found
        )
        for name, column in zip(self.names, found, strict=True):
            out[name][:] = column


class Ema(BarFold):
    """Exponential average of the mid, a row for each bar, begun with the mean of the first ``length``.

    Parameters
    ----------
    length
        Bars: each price has the weight ``2 / (length + 1)``.
    bar_s
        Seconds of a bar.
    bar_trades
        Close bars by this number of prints instead; 0: by time.
    """

    def __init__(self, *, length: int = 20, bar_s: float = 1.0, bar_trades: int = 0) -> None:
        _check(length, 1, "length")
        self._length = length
        super().__init__(EMA_COLUMNS, bar_s=bar_s, bar_trades=bar_trades, memory={"ema": np.zeros(kernel.EMA_N)})

    def fold_spell(self, bars: ClockBars, out: dict[str, NDArray[np.float64]]) -> None:
        """Write the columns of bars that belong together."""
        kernel.ema_run(bars.close, self._length, self.memory["ema"], out["ema"])


class Atr(BarFold):
    """Average true range of the mid, a row for each bar.

    The range of a bar is that of the observable mid, not of the prints: bid-ask bounce is no range.

    Parameters
    ----------
    length
        Bars that the first average is taken over; later ones fade by ``1 / length`` a bar.
    bar_s
        Seconds of a bar.
    bar_trades
        Close bars by this number of prints instead; 0: by time.

    References
    ----------
    Wilder, J. W. (1978), New Concepts in Technical Trading Systems.
    """

    def __init__(self, *, length: int = 14, bar_s: float = 1.0, bar_trades: int = 0) -> None:
        _check(length, 1, "length")
        self._length = length
        super().__init__(ATR_COLUMNS, bar_s=bar_s, bar_trades=bar_trades, memory={"atr": np.zeros(kernel.ATR_N)})

    def fold_spell(self, bars: ClockBars, out: dict[str, NDArray[np.float64]]) -> None:
        """Write the columns of bars that belong together."""
        kernel.atr_run(bars.high, bars.low, bars.close, self._length, self.memory["atr"], out["atr"])


def _prices(values: ArrayLike) -> NDArray[np.float64]:
    x = np.ascontiguousarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ConfigurationError("prices of a strange shape", expected="one dimension", found=str(x.shape))
    return x


def _check(value: int, least: int, name: str) -> None:
    if value < least:
        raise ConfigurationError(f"{name} cannot be so", expected=f"at least {least}", found=repr(value), where=name)


def _check_macd(fast: int, slow: int, signal: int) -> None:
    _check(signal, 1, "signal")
    if not 1 <= fast < slow:
        raise ConfigurationError(
            "averages cannot be so", expected="1 <= fast < slow", found=f"{fast}, {slow}", where="fast, slow"
        )


def _check_bollinger(length: int, width: float) -> None:
    _check(length, 2, "length")
    if not 0.0 < width < np.inf:
        raise ConfigurationError("width cannot be so", expected="above 0", found=repr(width), where="width")


def _make_rsi(
    instrument: Instrument, instrument_id: int, *, length: int = 14, bar_s: float = 1.0, bar_trades: int = 0
) -> FoldOperator:
    return FoldOperator(instrument, instrument_id, Rsi(length=length, bar_s=bar_s, bar_trades=bar_trades))


def _make_macd(
    instrument: Instrument,
    instrument_id: int,
    *,
    fast: int = 12,
    slow: int = 26,
    signal: int = 9,
    bar_s: float = 1.0,
    bar_trades: int = 0,
) -> FoldOperator:
    fold = Macd(fast=fast, slow=slow, signal=signal, bar_s=bar_s, bar_trades=bar_trades)
    return FoldOperator(instrument, instrument_id, fold)


def _make_bollinger(
    instrument: Instrument,
    instrument_id: int,
    *,
    length: int = 20,
    width: float = 2.0,
    bar_s: float = 1.0,
    bar_trades: int = 0,
) -> FoldOperator:
    fold = Bollinger(length=length, width=width, bar_s=bar_s, bar_trades=bar_trades)
    return FoldOperator(instrument, instrument_id, fold)


def _make_ema(
    instrument: Instrument, instrument_id: int, *, length: int = 20, bar_s: float = 1.0, bar_trades: int = 0
) -> FoldOperator:
    return FoldOperator(instrument, instrument_id, Ema(length=length, bar_s=bar_s, bar_trades=bar_trades))


def _make_atr(
    instrument: Instrument, instrument_id: int, *, length: int = 14, bar_s: float = 1.0, bar_trades: int = 0
) -> FoldOperator:
    return FoldOperator(instrument, instrument_id, Atr(length=length, bar_s=bar_s, bar_trades=bar_trades))


register("rsi", _make_rsi, columns=RSI_COLUMNS, needs=QUOTED)
register("macd", _make_macd, columns=MACD_COLUMNS, needs=QUOTED)
register("bollinger", _make_bollinger, columns=BOLLINGER_COLUMNS, needs=QUOTED)
register("ema", _make_ema, columns=EMA_COLUMNS, needs=QUOTED)
register("atr", _make_atr, columns=ATR_COLUMNS, needs=QUOTED)
