"""The propagator: a price as the sum of what is left of the impact of every past order (Bouchaud et al. 2004).

    p_t = sum over past orders s of G(t - s) side_s qty_s^concavity

``G(l)`` is what is left of an order's impact when ``l`` orders have begun since, itself included: ``G(1)`` is its first
effect. A power law fits, and a sum of exponentials (and a constant, for what stays) stands for it here, so that an
order costs a few multiplications whatever the past::

    G(l) = stays + sum over k of weights_k exp(-(l - 1) / decays_k)

``research.propagator`` measures G and makes the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError
from tapebook.market.operators import State, check_state

__all__ = ["Kernel", "Propagator"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A propagator as a sum of exponentials.

    Parameters
    ----------
    weights
        In price.
    decays
        In orders, above zero.
    stays
        What never decays, in price.
    concavity
        Power of an order's size: 0 counts every order alike, 1 is linear.

    Examples
    --------
    >>> Kernel(weights=np.array([0.5]), decays=np.array([10.0]), stays=0.5).at(np.array([1, 11])).round(4).tolist()
    [1.0, 0.6839]
    """

    weights: Floats
    decays: Floats
    stays: float = 0.0
    concavity: float = 0.0

    def __post_init__(self) -> None:
        if self.weights.shape != self.decays.shape or self.weights.ndim != 1 or not (self.decays > 0).all():
            raise ConfigurationError(
                "no kernel", expected="as many weights as decays, decays above zero", found=repr(self)
            )

    def at(self, lags: Ints) -> Floats:
        """Return G at lags of 1 or more."""
        parts: Floats = np.exp(-(lags[:, None] - 1) / self.decays[None, :]) @ self.weights
        return self.stays + parts

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers."""
        return {
            "weights": self.weights.tolist(),
            "decays": self.decays.tolist(),
            "stays": self.stays,
            "concavity": self.concavity,
        }


class Propagator:
    """What past orders are worth now: a running sum, an entry for each order.

    ``advance(a + b)`` gives what ``advance(a)`` and ``advance(b)`` give, to the last bit.

    Examples
    --------
    >>> p = Propagator(Kernel(weights=np.array([1.0]), decays=np.array([1 / np.log(2)])))
    >>> p.advance(np.array([1, 1, -1]), np.ones(3)).tolist()
    [1.0, 1.5, -0.25]
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._keep = np.append(np.exp(-1.0 / kernel.decays), 1.0)  # the last never decays
        self._weights = np.append(kernel.weights, kernel.stays)
        self._sums = np.zeros(self._keep.size)

    def advance(self, side: Ints, qty_lots: Floats) -> Floats:
        """Fold orders in; return the displacement of the price right after each, in price."""
        from scipy.signal import lfilter

        kick = side * qty_lots**self.kernel.concavity
        out = np.zeros(kick.size)
        if kick.size == 0:
            return out
        for k in range(self._keep.size):
            # y_t = keep y_{t-1} + kick_t, one multiplication and one addition an order: no cut changes a bit.
            sums, _ = lfilter([1.0], [1.0, -self._keep[k]], kick, zi=[self._keep[k] * self._sums[k]])
            out += self._weights[k] * sums
            self._sums[k] = sums[-1]
        return out

    def expected_move(self) -> float:
        """Return how far the price moves until the next order, if nothing but decay happens, in price."""
        return float(self._weights @ ((self._keep - 1.0) * self._sums))

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"sums": self._sums.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"sums": self._sums}, "propagator")
        if state["sums"].shape != self._sums.shape:
            raise ConfigurationError(
                "propagator: saved with another kernel",
                expected=f"{self._sums.size} sums",
                found=str(state["sums"].size),
            )
        self._sums = state["sums"].copy()
