"""Pictures of what later prints tell about earlier ones: response and impact, volatility signature, memory of signs."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tapebook.report import words
from tapebook.report.paint import ACCENT, BUY, INK, MUTED, SELL, bare, new_figure

__all__ = ["impact_picture", "signature_picture"]

_LAGS_LABELLED: Final = (1, 10, 100, 1000)


def impact_picture(tape: Mapping[str, Any], unit: float, in_ticks: str) -> Figure:
    """How far the mid went with the aggressor, by prints since and by size of the print."""
    response, sizes = tape["response"], tape["impact_by_size"]

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        moves = [row["move"] / unit for row in response]
        left.plot([row["lag_prints"] for row in response], moves, color=BUY, marker="o", markersize=3.5)
        left.set_ylim(*_reach(moves))
        left.set_ylabel(f"mid with the aggressor, {in_ticks}")
        _by_lag(left)
        right.plot(
            [row["quantity_from"] for row in sizes],
            [row["move"] / unit for row in sizes],
            color=SELL,
            marker="o",
            markersize=3.5,
        )
        if sizes:
            right.set_xscale("log", base=2)
            right.xaxis.set_minor_locator(NullLocator())
            right.xaxis.set_major_formatter(lambda v, _: words.plain(v))
            right.set_ylim(*_reach([row["move"] / unit for row in sizes]))
        right.set_xlabel("size of the print (doublings)")
        right.set_ylabel(f"{tape['impact_lag_prints']} prints later, {in_ticks}")
        for axes in (left, right):
            axes.axhline(0, color=MUTED, linewidth=0.7)
            axes.yaxis.set_major_formatter(lambda v, _: words.plain(v))
            bare(axes)

    return new_figure(2.8, draw)


def signature_picture(tape: Mapping[str, Any], unit: float, in_ticks: str) -> Figure:
    """Volatility a print by the distance between prints compared, and the autocorrelation of sides."""
    signature, memory = tape["signature"], tape["sign_memory"]

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        shown: list[float] = []
        for key, colour, label in (("price_per_print", INK, "prints"), ("mid_per_print", ACCENT, "mids")):
            known = [(row["lag_prints"], row[key] / unit) for row in signature if isfinite(row[key])]
            if known:
                left.plot(*zip(*known, strict=True), color=colour, marker="o", markersize=3.5, label=label)
                shown += [value for _, value in known]
        left.set_ylim(*_reach(shown))
        left.set_ylabel(f"volatility a print, {in_ticks}")
        left.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.0, ncols=2)
        values = [row["correlation"] for row in memory]
        right.plot([row["lag_prints"] for row in memory], values, color=BUY, marker="o", markersize=3.5)
        if values:
            right.set_ylim(*_reach(values))
        right.axhline(0, color=MUTED, linewidth=0.7)
        right.set_ylabel("correlation of sides")
        for axes in (left, right):
            _by_lag(axes)
            axes.yaxis.set_major_formatter(lambda v, _: words.plain(v))
            bare(axes)

    return new_figure(2.8, draw)


def _by_lag(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xticks(_LAGS_LABELLED, [words.count(lag) for lag in _LAGS_LABELLED])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0.85, 1300)
    axes.set_xlabel("prints later")


def _reach(values: list[float]) -> tuple[float, float]:
    """Return the ends of an axis that shows 0 and all values with a little room."""
    known = np.array([v for v in values if np.isfinite(v)] or [0.0])
    low, high = min(float(known.min()), 0.0), max(float(known.max()), 0.0)
    room = 0.08 * (high - low) or 1e-12
    return (low - room if low < 0 else 0.0), high + room
