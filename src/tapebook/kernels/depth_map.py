"""Resting and traded quantity by price row, for a picture of the book over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel


@kernel
def add_levels(
    price: NDArray[np.int64], lots: NDArray[np.int64], row_e9: int, base: int, column: NDArray[np.float32]
) -> None:
    """Add the lots of each level to the row its price lies in; levels beyond the rows are left out."""
    for i in range(price.size):
        row = price[i] // row_e9 - base
        if 0 <= row < column.size:
            column[row] += np.float32(lots[i])
