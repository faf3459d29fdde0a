"""Pictures of flow: order-flow imbalance against the mid's move, and where the mid goes from a given imbalance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tapebook.report import words
from tapebook.report.axes import price_steps
from tapebook.report.paint import ACCENT, BUY, INK, MUTED, SELL, bare, new_figure, value_axis

__all__ = ["flow_picture", "frame", "imbalance_picture"]

_DOTS_MAX = 1200
_BOTH_THEMES = "#3d94d1"


def flow_picture(
    points: NDArray[np.float64],
    fit: Mapping[str, float],
    shares: list[tuple[str, float | None, float | None]],
    move_label: str,
) -> Figure:
    """Each interval's flow and move with the fitted line; beside it, how much each kind of flow explains by width.

    ``points`` are (flow in base units, move in ticks or price); ``shares`` are (interval, R² of OFI, R² of trades).
    """

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=[2.2, 1.0])
        x, y = points[:, 0], points[:, 1]
        many = x.size > _DOTS_MAX
        # A bitmap inside the SVG cannot follow the page's theme: its hue is one that both bear.
        colour = _BOTH_THEMES if many else BUY
        left.scatter(x, y, s=6 if many else 9, color=colour, alpha=0.3 if many else 0.45, linewidths=0, rasterized=many)
        ends = np.array([x.min(), x.max()])
        left.plot(ends, fit["intercept"] + fit["slope"] * ends, color=SELL, linewidth=1.5)
        left.axhline(0, color=MUTED, linewidth=0.6)
        left.axvline(0, color=MUTED, linewidth=0.6)
        reach_x, reach_y = frame(x), frame(y)
        left.set_xlim(-reach_x, reach_x)
        left.set_ylim(-reach_y, reach_y)
        left.set_xlabel("order-flow imbalance")
        left.set_ylabel(move_label)
        left.xaxis.set_major_formatter(lambda v, _: words.plain(v))
        left.yaxis.set_major_formatter(lambda v, _: words.plain(v))
        bare(left, grid="both")
        place = np.arange(len(shares))
        for shift, column, colour, name in (
            (-0.19, 1, BUY, "order-flow imbalance"),
            (0.19, 2, ACCENT, "trade imbalance"),
        ):
            values = [float(row[column] or 0.0) for row in shares]
            right.bar(place + shift, values, 0.36, color=colour, linewidth=0, label=name)
            for at, value in zip(place + shift, values, strict=True):
                right.annotate(f"{100 * value:.0f}", (at, value), ha="center", va="bottom", fontsize=8, color=INK)
        right.set_xticks(place, [row[0] for row in shares])
        right.set_ylim(0, 1.12)
        value_axis(right, [0, 0.25, 0.5, 0.75, 1.0], lambda v: f"{100 * v:.0f} %")
        right.set_ylabel("share of variance explained")
        right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), borderaxespad=0.0, ncols=1)
        bare(right)

    return new_figure(3.5, draw)


def frame(values: NDArray[np.float64]) -> float:
    """Return how far an axis reaches so that a few far points do not squeeze the rest: all of them, or 99.5 %."""
    size = np.abs(values)
    most, common = float(size.max()), float(np.quantile(size, 0.995))
    return 1.06 * (most if most <= 3 * common or not common else 1.5 * common)


def imbalance_picture(table: list[dict[str, Any]], unit: float, label: str) -> Figure:
    """Mean move of the mid some seconds later, by the imbalance of the touch now."""
    known = [row for row in table if row["seconds"] > 0]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        x = np.array([(row["imbalance_from"] + row["imbalance_to"]) / 2 for row in known])
        y = np.array([row["move_e9"] / 1e9 / unit for row in known])
        axes.bar(x, y, 0.17, color=[BUY if v >= 0 else SELL for v in y], linewidth=0)
        axes.axhline(0, color=MUTED, linewidth=0.7)
        reach = max(float(np.abs(y).max()), 1e-12)
        axes.set_ylim(-1.25 * reach, 1.25 * reach)
        for at, value, row in zip(x, y, known, strict=True):
            axes.annotate(
                f"n={words.count(row['seconds'])}",
                (at, value),
                xytext=(0, 3 if value >= 0 else -3),
                textcoords="offset points",
                ha="center",
                va="bottom" if value >= 0 else "top",
                fontsize=7.5,
                color=MUTED,
            )
        axes.set_xlim(-1.02, 1.02)
        axes.set_xlabel("imbalance of the touch: -1 only asks, +1 only bids")
        value_axis(axes, price_steps(-1.1 * reach, 1.1 * reach, 0, 5), lambda v: words.plain(v, 2, sign=True))
        axes.set_ylabel(label)
        bare(axes)

    return new_figure(2.7, draw)
