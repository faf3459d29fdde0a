"""The picture of how lively and how one-sided a tape was over time: volatility, intensities, Kyle's lambda, VPIN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tapebook.report import words
from tapebook.report.axes import price_steps
from tapebook.report.paint import ACCENT, BUY, INK, MUTED, SELL, bare, new_figure, time_axis, value_axis
from tapebook.report.scene import Scene

__all__ = ["activity_picture"]

_LEVELS: Final = (0.005, 0.995)  # of the values that a panel shows whole


def activity_picture(scene: Scene, document: Mapping[str, Any], unit: float, in_ticks: str) -> Figure:
    """One panel each of what this tape can give, over the time of the tape."""
    over, toxicity = document["over_time"], document["toxicity"]
    panels: list[tuple[str, Callable[[Axes], None]]] = []
    volatility = _line(scene, over["ts_ns"], over["realised_volatility_bp"])
    if volatility is not None:
        panels.append(("volatility, bp per √s", lambda axes: _draw(axes, [(volatility, INK, "")])))
    buys, sells = (_line(scene, over["ts_ns"], over[f"hawkes_{side}_per_s"]) for side in ("buy", "sell"))
    if buys is not None and sells is not None:
        both = [(buys, BUY, "buys"), (sells, SELL, "sells")]
        panels.append(("orders a second", lambda axes: _draw(axes, both)))
    slope = _line(scene, over["ts_ns"], [value / unit for value in over["kyle_lambda"]])
    if slope is not None:
        panels.append((f"Kyle's lambda, {in_ticks}/lot", lambda axes: _draw(axes, [(slope, ACCENT, "")])))
    vpin = _line(scene, toxicity["ts_ns"], toxicity["vpin"])
    if vpin is not None:
        panels.append(("VPIN", lambda axes: _vpin(axes, vpin, toxicity["null"])))

    def draw(figure: Figure) -> None:
        grid = figure.subplots(max(len(panels), 1), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, fill) in zip(grid, panels, strict=False):
            fill(axes)
            axes.set_ylabel(label, fontsize=8)
            bare(axes)
        time_axis(grid[-1], scene.axis)

    return new_figure(0.7 + 1.35 * max(len(panels), 1), draw)


Line = tuple[NDArray[np.float64], NDArray[np.float64]]


def _line(scene: Scene, ts_ns: list[int], values: list[float]) -> Line | None:
    """Return places and values with a hole where time leaps; None where no value is known."""
    y = np.array(values, np.float64)
    if np.isfinite(y).sum() < 2:
        return None
    stamps = np.array(ts_ns, np.int64)
    holes = np.flatnonzero(np.diff(scene.axis.segment(stamps)) > 0) + 1
    return np.insert(scene.axis(stamps), holes, np.nan), np.insert(y, holes, np.nan)


def _draw(axes: Axes, lines: list[tuple[Line, str, str]]) -> None:
    shown = np.concatenate([y[np.isfinite(y)] for (_, y), _, _ in lines])
    for (x, y), colour, label in lines:
        axes.plot(x, y, color=colour, linewidth=1.0, label=label or None)
    low, high = (float(q) for q in np.quantile(shown, _LEVELS))
    low, high = min(low, 0.0), max(high, 0.0)
    room = 0.12 * (high - low) or 1e-12
    axes.set_ylim(low - room if low < 0 else 0.0, high + room)
    value_axis(axes, price_steps(low, high, 0, 3), words.plain)
    if low < 0:
        axes.axhline(0, color=MUTED, linewidth=0.7)
    if any(label for _, _, label in lines):
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.0, ncols=len(lines))


def _vpin(axes: Axes, line: Line, null: float) -> None:
    axes.plot(*line, color=INK, linewidth=1.0, drawstyle="steps-post")
    if np.isfinite(null):
        axes.axhline(null, color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
    axes.set_ylim(0, 1)
    value_axis(axes, [0, 0.5, 1], words.plain)
