"""VPIN of a million prints, beside the obvious Python loop: no library that is kept up could be found."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.bench._figures import best_s, figure
from tapebook.features.vpin import make, vpin
from tapebook.market.events import Events, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.tape import BLOCK_EVENTS

_PRINTS: Final = 1_000_000
_BUCKETS: Final = 5_000
_N: Final = 50
_PLAIN: Final = Instrument(symbol="X", venue="Y", tick_e9=250_000_000)


def run(data: Path | None) -> list[dict[str, Any]]:
    """Measure the batch function and the operator; recordings are not needed."""
    _ = data
    lots, side = random_prints(_PRINTS)
    bucket = int(lots.sum()) // _BUCKETS
    events = _events(lots, side)
    plain = lots.tolist(), side.tolist()
    peer = _PRINTS / best_s(lambda: python_loop(*plain, bucket, _N), 1)
    figures = []
    for name, what, beside, work in (
        ("vpin", "VPIN of arrays of prints", peer, lambda: vpin(lots, side, bucket, _N)),
        ("vpin_operator", "VPIN as an operator, feed and book included", None, lambda: _fold(events, bucket)),
    ):
        speed = _PRINTS / best_s(work)
        figures.append(
            figure(name, what=what, ours=speed, unit="prints/s", n=_PRINTS, peer=beside, peer_name="a Python loop")
        )
    return figures


def random_prints(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return lots and sides of prints: many small ones, a few large ones."""
    rng = np.random.default_rng(1)
    return rng.geometric(0.2, n) + (rng.random(n) < 0.001) * 500, rng.choice(np.array([-1, 1]), n)


def python_loop(lots: list[int], side: list[int], bucket: int, n: int) -> list[float]:
    """Return VPIN bucket by bucket, as one would write it by hand."""
    last: deque[int] = deque(maxlen=n)
    values = []
    fill = imbalance = 0
    for q, s in zip(lots, side, strict=True):
        left = q
        while left:
            take = min(bucket - fill, left)
            fill += take
            imbalance += s * take
            left -= take
            if fill == bucket:
                last.append(abs(imbalance))
                if len(last) == n:
                    values.append(sum(last) / (n * bucket))
                fill = imbalance = 0
    return values


def _events(lots: NDArray[np.int64], side: NDArray[np.int64]) -> Events:
    events = empty_events(lots.size)
    events["instrument_id"], events["kind"], events["price"] = 1, Kind.TRADE, 4_000 * 10**9
    events["ts_event_ns"] = 1_704_204_000 * 10**9 + np.arange(lots.size) * 20_000_000
    events["qty_lots"], events["side"] = lots, side
    return events


def _fold(events: Events, bucket: int) -> int:
    operator = make(_PLAIN, 1, bucket_lots=bucket, n=_N)
    blocks = range(0, events.size, BLOCK_EVENTS)
    return sum(operator.advance(events[i : i + BLOCK_EVENTS])["ts_ns"].size for i in blocks)
