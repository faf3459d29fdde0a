"""Fractional differencing (order 0.4) of a million values, windows of 282 and 1,458 weights, beside libraries.

``fracdiff`` is numpy and a transform; mlfinpy loops in Python and is measured on a part. ``exact`` is the sum that a
live program takes, the same to the last bit; ``fft`` is for whole arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from tapebook.bench._figures import ask, best_s, figures_beside
from tapebook.features.fracdiff import fracdiff, fracdiff_weights

__all__ = ["run"]

_VALUES: Final = 1_000_000
_ORDER: Final = 0.4
_THRESHOLDS: Final = (1e-4, 1e-5)


def run(data: Path | None) -> list[dict[str, Any]]:
    """Measure both windows; recordings are not needed."""
    _ = data
    x = np.cumsum(np.random.default_rng(1).standard_normal(_VALUES)) * 1e-4
    windows = [fracdiff_weights(_ORDER, threshold).size for threshold in _THRESHOLDS]
    peers = ask(
        "fracdiff", x=x, order=np.array(_ORDER), window=np.array(windows), threshold=np.array(_THRESHOLDS, np.float64)
    )
    rows = []
    for window, threshold in zip(windows, _THRESHOLDS, strict=True):
        beside = [(peer, _VALUES / told[f"K{window}"]) for peer, told in peers.items() if f"K{window}" in told]
        for method in ("exact", "fft"):
            seconds = best_s(lambda m=method, t=threshold: fracdiff(x, _ORDER, threshold=t, method=m))  # type: ignore[misc] # bound in the loop
            rows += figures_beside(
                f"fracdiff_{window}_{method}",
                what=f"fractional differences, {window:,} weights, {method}",
                ours=_VALUES / seconds,
                unit="values/s",
                n=_VALUES,
                peers=beside,
            )
    return rows
