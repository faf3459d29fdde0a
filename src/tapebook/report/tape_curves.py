"""The volatility signature, the response to a trade, its impact by size, and the memory of signs, of a whole tape.

References
----------
Andersen, T. et al. (2000), Great realizations, Risk 13 (the signature plot); Bouchaud, J.-P., Gefen, Y., Potters, M.
and Wyart, M. (2004), Fluctuations and response in financial markets, Quantitative Finance 4; Lillo, F. and Farmer,
J. D. (2004), The long memory of the efficient market, Studies in Nonlinear Dynamics & Econometrics 8:3.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import tape_curves as kernel
from tapebook.market.events import MISSING, PRICE_SCALE, Events

__all__ = ["LAGS", "TapeCurves"]

LAGS: Final = (1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70, 100, 140, 200, 300, 500, 700, 1000)
"""How many prints apart."""

_IMPACT_LAG: Final = 10
_N_MIN: Final = 100  # pairs that a figure needs


class TapeCurves:
    """Folds prints into the four curves.

    Examples
    --------
    >>> curves = TapeCurves()
    >>> curves.document()["signature"]
    []
    """

    def __init__(self) -> None:
        self._lags = np.array(LAGS, np.int64)
        self._ring = np.zeros((kernel.N_KEPT, LAGS[-1] + 1), np.int64)
        self._state = np.zeros(kernel.N_STATE, np.int64)
        self._sums = np.zeros((kernel.N_SUMS, len(LAGS)))
        self._by_size = np.zeros((2, kernel.SIZE_BINS))

    def see(
        self,
        trades: Events,
        bid_px: NDArray[np.int64],
        ask_px: NDArray[np.int64],
        trading: NDArray[np.bool_],
        session: NDArray[np.int64],
    ) -> None:
        """Take in prints with the touch that stood before each of them."""
        two_sided = (bid_px != MISSING) & (ask_px != MISSING) & (bid_px < ask_px) & trading
        mid2 = np.where(two_sided, np.where(two_sided, bid_px, 0) + np.where(two_sided, ask_px, 0), MISSING)
        kernel.advance_tape_curves(
            np.ascontiguousarray(trades["price"]),
            mid2,
            trades["side"].astype(np.int64),
            np.ascontiguousarray(trades["qty_lots"]),
            np.ascontiguousarray(session),
            self._lags,
            _IMPACT_LAG,
            self._ring,
            self._state,
            self._sums,
            self._by_size,
        )

    def document(self, lot: float = 1.0) -> dict[str, Any]:
        """Return the curves, in the quoted currency and units of ``lot``, where they rest on 100 pairs at least."""
        lags = self._lags.astype(np.float64)
        price = np.sqrt(_mean(self._sums, kernel.PRICE_SQUARES, kernel.PRICE_N) / lags) / PRICE_SCALE
        mid = np.sqrt(_mean(self._sums, kernel.MID_SQUARES, kernel.MID_N) / lags) / PRICE_SCALE
        response = _mean(self._sums, kernel.RESPONSE, kernel.RESPONSE_N) / PRICE_SCALE
        signs = _mean(self._sums, kernel.SIGNS, kernel.SIGNS_N)
        n = self._sums[[kernel.PRICE_N, kernel.RESPONSE_N, kernel.SIGNS_N]].astype(np.int64)
        by_size = np.flatnonzero(self._by_size[1] >= _N_MIN)
        return {
            "signature": [
                {"lag_prints": lag, "price_per_print": price[k], "mid_per_print": mid[k], "n": int(n[0, k])}
                for k, lag in enumerate(LAGS)
                if n[0, k] >= _N_MIN
            ],
            "response": [
                {"lag_prints": lag, "move": response[k], "n": int(n[1, k])}
                for k, lag in enumerate(LAGS)
                if n[1, k] >= _N_MIN
            ],
            "sign_memory": [
                {"lag_prints": lag, "correlation": signs[k], "n": int(n[2, k])}
                for k, lag in enumerate(LAGS)
                if n[2, k] >= _N_MIN
            ],
            "impact_by_size": [
                {
                    "quantity_from": (1 << b) * lot,
                    "quantity_to": ((2 << b) - 1) * lot,
                    "move": float(self._by_size[0, b] / self._by_size[1, b]) / PRICE_SCALE,
                    "n": int(self._by_size[1, b]),
                }
                for b in by_size.tolist()
            ],
            "impact_lag_prints": _IMPACT_LAG,
        }


def _mean(sums: NDArray[np.float64], total: int, n: int) -> NDArray[np.float64]:
    means = np.full(sums.shape[1], np.nan)
    np.divide(sums[total], sums[n], out=means, where=sums[n] > 0)
    return means
