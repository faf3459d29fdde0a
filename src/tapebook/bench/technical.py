"""RSI, MACD and Bollinger bands of a million prices, beside libraries of indicators.

TA-Lib (C) and polars take the whole array, as our functions do here. talipp and river take one price at a time from a
Python loop, as their users drive them. Bollinger is measured twice. Our function gives mean, bands, %b and bandwidth:
in the first rows the peers give these five as well, TA-Lib with what its users write in numpy for the last two. In the
second they give what they have of themselves: mean and bands, river (which knows no bands) the mean and deviation that
they are made of; ours is then still the time of all five.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapebook.bench._figures import ask, best_s, figures_beside
from tapebook.features import technical

__all__ = ["run"]

_PRICES: Final = 1_000_000


def run(data: Path | None) -> list[dict[str, Any]]:
    """Measure the indicators; recordings are not needed."""
    _ = data
    x = 5_000.0 + 0.25 * np.cumsum(np.random.default_rng(1).integers(-2, 3, _PRICES))
    peers = ask("technical", x=x)
    ours: dict[str, tuple[str, Callable[[], Any]]] = {
        "rsi": ("RSI", lambda: technical.rsi(x, 14)),
        "macd": ("MACD", lambda: technical.macd(x)),
        "bollinger": ("Bollinger bands, %b and bandwidth", lambda: technical.bollinger(x, 20)),
        "bands": ("Bollinger bands (all five; peers three)", lambda: technical.bollinger(x, 20)),
    }
    rows = []
    for name, (what, work) in ours.items():
        speed = _PRICES / best_s(work)
        beside = [(peer, _PRICES / told[name]) for peer, told in peers.items() if name in told]
        rows += figures_beside(
            f"technical_{name}", what=f"{what} of an array", ours=speed, unit="prices/s", n=_PRICES, peers=beside
        )
    return rows
