"""Trade-side rules over a million prints, beside tclf on the same frame where it is installed.

tclf wants the previous different price from its caller; what it takes to make that column is not counted against it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.bench._figures import best_s, figure
from tapebook.features.classification import RULES, classify

_PRINTS: Final = 1_000_000
_PEER_NAMES: Final = {"lee_ready": "lr"}


def run(data: Path | None) -> list[dict[str, Any]]:
    """Measure every rule; recordings are not needed."""
    _ = data
    prints = random_prints(_PRINTS)
    figures = []
    for rule in RULES:
        seconds = best_s(lambda rule=rule: classify(*prints, rule=rule))  # type: ignore[misc] # bound in the loop
        peer = _tclf(rule, *prints)
        figures.append(
            figure(
                f"trade_side_{rule}",
                what=f"aggressor of a print by the rule {rule}",
                ours=_PRINTS / seconds,
                unit="prints/s",
                n=_PRINTS,
                peer=_PRINTS / best_s(peer) if peer else None,
                peer_name="tclf",
            )
        )
    return figures


def random_prints(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return prices, bids and asks in ticks: a random walk, prints at, inside and outside the quote."""
    rng = np.random.default_rng(1)
    bid = 20_000 + np.cumsum(rng.choice([-1, 0, 0, 0, 1], n))
    ask = bid + rng.integers(1, 5, n)
    price = np.where(rng.random(n) < 0.5, bid, ask) + (rng.random(n) < 0.2) * rng.integers(-2, 3, n)
    return price, bid, ask


def _tclf(
    rule: str, price: NDArray[np.int64], bid: NDArray[np.int64], ask: NDArray[np.int64]
) -> Callable[[], Any] | None:
    try:
        import pandas as pd
        from tclf.classical_classifier import ClassicalClassifier
    except ImportError:
        return None
    before = np.r_[np.nan, price[:-1]]
    changed = np.where(before != price, before, np.nan)
    frame = pd.DataFrame({"trade_price": price, "bid_ex": bid, "ask_ex": ask, "price_ex_lag": changed}).astype(float)
    frame["price_ex_lag"] = frame["price_ex_lag"].ffill()
    peer = ClassicalClassifier([(_PEER_NAMES.get(rule, rule), "ex")], strategy="const").fit(frame)
    return lambda: peer.predict(frame)
