"""Covariance of two prices that move at different times (Hayashi and Yoshida 2005), in one sweep.

Every move of one price is multiplied with every move of the other whose interval it meets::

    HY(theta) = sum over i, j of dX_i dY_j 1{ (s_{i-1}, s_i] meets (t_{j-1} + theta, t_j + theta] }

No grid, so no bias towards zero (Epps) and no choice of step. Two pointers go along both tapes: after each look the
interval that ends first is done, so the cost is O(n + m), not O(n m).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel


@kernel
def hayashi_yoshida(
    s_ns: NDArray[np.int64],
    x: NDArray[np.float64],
    t_ns: NDArray[np.int64],
    y: NDArray[np.float64],
    shift_ns: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Write the covariance for each shift of the second tape's stamps; stamps strictly ascend within a tape."""
    for k in range(shift_ns.size):
        theta = shift_ns[k]
        total = 0.0
        i, j = 1, 1
        while i < s_ns.size and j < t_ns.size:
            end_x = s_ns[i]
            end_y = t_ns[j] + theta
            if max(s_ns[i - 1], t_ns[j - 1] + theta) < min(end_x, end_y):
                total += (x[i] - x[i - 1]) * (y[j] - y[j - 1])
            if end_x <= end_y:
                i += 1
            if end_y <= end_x:
                j += 1
        out[k] = total
