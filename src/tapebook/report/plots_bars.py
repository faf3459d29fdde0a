"""A picture for bars: volume and range by time of day."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tapebook.report import words
from tapebook.report.axes import price_steps
from tapebook.report.paint import ACCENT, BUY, bare, new_figure, value_axis

__all__ = ["clock_picture"]


def clock_picture(table: list[dict[str, Any]]) -> Figure:
    """Mean volume and mean range of a bar by half hour of the day."""
    x = np.arange(len(table))
    every = max(-(-len(table) // 16), 1)

    def draw(figure: Figure) -> None:
        both = figure.subplots(2, 1, sharex=True)
        for axes, name, colour in zip(both, ("mean_volume", "mean_range"), (BUY, ACCENT), strict=True):
            values = [row[name] for row in table]
            axes.bar(x, values, 0.82, color=colour, linewidth=0)
            value_axis(axes, price_steps(0, max(*values, 1e-12), 0, 4), words.plain)
            axes.set_ylabel(name.replace("mean_", "mean "))
            bare(axes)
        both[1].set_xticks(x[::every], [row["from"] for row in table[::every]])

    return new_figure(3.6, draw)
