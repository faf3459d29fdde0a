"""Fractional differencing with a fixed window: as stationary as needed, with as much memory as possible.

``y_t = sum_{k<K} w_k x_{t-k}``, ``w_0 = 1``, ``w_k = -w_{k-1} (d - k + 1) / k``; the window ends where weights fall
below a threshold. Order 1 is the plain difference, order 0 the series itself.

The weights do not sum to zero: about ``K**-d / Gamma(1 - d)`` of the level remains, 7 % at ``d = 0.4``, ``K = 282``.
Of a log price of 8.5 that is 0.6, beside moves of 0.001, and a model would learn the price level. Subtract a fixed
reference first; the operator takes the session's first mid.

Which order makes a series stationary is a question to that series: :mod:`tapebook.research.fracdiff`.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tapebook.features.bar_clock import BarFold, ClockBars
from tapebook.features.touch import QUOTED, FoldOperator
from tapebook.kernels import fracdiff as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, register

__all__ = ["COLUMNS", "MOST", "Fracdiff", "fracdiff", "fracdiff_weights", "make"]

MOST: Final = 10_000
"""Weights at most, whatever the threshold."""

COLUMNS = (
    Column("ts_ns", "ns", "end of the bar; of bars by trades the clock of the print that closed it"),
    Column("fracdiff_log_price", "log", "differenced log of the mid over the session's first; NaN before K bars"),
    Column("fracdiff_volume_lots", "lots", "differenced volume of the bars; NaN before K bars after the first print"),
)

_FFT_WEIGHTS_MIN: Final = 512  # below, the plain sum is as fast


def fracdiff_weights(order: float, threshold: float = 1e-4, most: int = MOST) -> NDArray[np.float64]:
    """Return the weights of fractional differencing, newest first, as far as they are no smaller than ``threshold``.

    Parameters
    ----------
    order
        ``d``, from 0 up to 10.
    threshold
        Where the window ends: at the first weight below it in size; 0 for ``most`` weights.
    most
        Weights at most.

    References
    ----------
    Hosking, J. (1981), Fractional differencing, Biometrika 68:1. Lopez de Prado, M. (2018), Advances in Financial
    Machine Learning, chapter 5.

    Examples
    --------
    >>> fracdiff_weights(0.4).size, fracdiff_weights(0.4, 1e-5).size
    (282, 1458)
    >>> fracdiff_weights(1.0).tolist()
    [1.0, -1.0]
    """
    if not 0.0 <= order <= 10.0:
        raise ConfigurationError("order cannot be so", expected="0 to 10", found=repr(order), where="order")
    if not 0.0 <= threshold < 1.0:
        raise ConfigurationError(
            "threshold cannot be so", expected="from 0 to below 1", found=repr(threshold), where="threshold"
        )
    if most < 1:
        raise ConfigurationError("no weights", expected="at least 1", found=repr(most), where="most")
    k = np.arange(1, most, dtype=np.float64)
    w = np.concatenate([[1.0], np.cumprod((k - 1.0 - order) / k)]) + 0.0  # no minus zero
    small = np.flatnonzero(np.abs(w) < threshold) if threshold > 0.0 else np.flatnonzero(w == 0.0)
    return w[: small[0]].copy() if small.size else w


def fracdiff(
    values: ArrayLike,
    order: float,
    *,
    threshold: float = 1e-4,
    most: int = MOST,
    method: Literal["auto", "exact", "fft"] = "auto",
) -> NDArray[np.float64]:
    """Return the fractionally differenced series: NaN for the first ``K - 1`` values, and again after a gap (a NaN).

    Parameters
    ----------
    values
        The series: log prices, less a reference level (see the module).
    order, threshold, most
        As in :func:`fracdiff_weights`.
    method
        ``exact`` is the sum a live program takes, to the last bit, at a cost that grows with the window. ``fft``
        (overlap-add) costs the same for any window, and differs by rounding: at most some 2e-15 of the largest
        value. ``auto`` takes it for long series and more than 512 weights.

    Examples
    --------
    >>> fracdiff([1.0, 2.0, 4.0, 7.0], 1.0).tolist()
    [nan, 1.0, 2.0, 3.0]
    """
    x = np.ascontiguousarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ConfigurationError("values of a strange shape", expected="one dimension", found=str(x.shape))
    w = fracdiff_weights(order, threshold, most)
    if method == "auto":
        method = "fft" if w.size > _FFT_WEIGHTS_MIN and x.size > 4 * w.size else "exact"
    if method == "exact":
        out = np.empty(x.size)
        kernel.fracdiff_run(x, w, np.zeros(2 * w.size), np.zeros(kernel.FRACDIFF_N, np.int64), out)
        return out
    out = np.full(x.size, np.nan)
    finite = np.concatenate([[False], np.isfinite(x), [False]])
    edges = np.flatnonzero(finite[1:] != finite[:-1]).reshape(-1, 2)
    for start, stop in edges.tolist():
        if stop - start >= w.size:
            out[start + w.size - 1 : stop] = _filter(x[start:stop], w)
    return out


def _filter(x: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.signal import oaconvolve

    level = 0.5 * (x.min() + x.max())  # what is smaller loses less in a transform
    y: NDArray[np.float64] = oaconvolve(x - level, w, mode="valid") + level * w.sum()
    return y


class Fracdiff(BarFold):
    """Fractionally differenced log mid and volume, a row for each bar.

    The log mid is taken over the session's first mid, so that no price level leaks into the feature. Volume is
    stationary as it is in most markets; its column is for those who must compare.

    Parameters
    ----------
    order
        ``d``: 0 keeps the series, 1 is its difference.
    threshold
        The window ends at the first weight below it: 282 bars at 0.0001 and order 0.4.
    bar_s
        Seconds of a bar.
    bar_trades
        Close bars by this number of prints instead; 0: by time.

    References
    ----------
    Lopez de Prado, M. (2018), Advances in Financial Machine Learning, chapter 5.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> euro = 1_000_000_000
    >>> view = view_of([(m * euro, 1, (m + 2) * euro, 1) for m in (9, 9, 9)])
    >>> Fracdiff(order=1.0).fold(view)["fracdiff_log_price"].tolist()
    [nan, 0.0]
    """

    def __init__(self, *, order: float = 0.4, threshold: float = 1e-4, bar_s: float = 1.0, bar_trades: int = 0) -> None:
        self._weights = fracdiff_weights(order, threshold)
        room = 2 * self._weights.size
        memory = {
            "price_ring": np.zeros(room),
            "price": np.zeros(kernel.FRACDIFF_N, np.int64),
            "volume_ring": np.zeros(room),
            "volume": np.zeros(kernel.FRACDIFF_N, np.int64),
        }
        super().__init__(COLUMNS, bar_s=bar_s, bar_trades=bar_trades, memory=memory)

    def fold_spell(self, bars: ClockBars, out: dict[str, NDArray[np.float64]]) -> None:
        """Write the columns of bars that belong together."""
        m = self.memory
        log_price, volume = out["fracdiff_log_price"], out["fracdiff_volume_lots"]
        kernel.fracdiff_log_run(bars.close, bars.reference, self._weights, m["price_ring"], m["price"], log_price)
        kernel.fracdiff_run(bars.volume, self._weights, m["volume_ring"], m["volume"], volume)


def make(
    instrument: Instrument,
    instrument_id: int,
    *,
    order: float = 0.4,
    threshold: float = 1e-4,
    bar_s: float = 1.0,
    bar_trades: int = 0,
) -> FoldOperator:
    """Return the feature as an operator of its own."""
    fold = Fracdiff(order=order, threshold=threshold, bar_s=bar_s, bar_trades=bar_trades)
    return FoldOperator(instrument, instrument_id, fold)


register("fracdiff", make, columns=COLUMNS, needs=QUOTED)
