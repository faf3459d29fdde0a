"""Pictures of price and trade: price over time with the volume under it, cumulative delta, volume profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from tapebook.features.volume_profile import Profile
from tapebook.report import words
from tapebook.report.axes import price_steps
from tapebook.report.paint import (
    ACCENT,
    BUY,
    INK,
    MUTED,
    SELL,
    UNKNOWN,
    bare,
    boxes,
    new_figure,
    time_axis,
    value_axis,
)
from tapebook.report.scene import Scene

__all__ = ["delta_picture", "grouped", "price_picture", "profile_picture"]

_ROWS_DRAWN = 140
_SESSIONS_DRAWN_MAX = 8  # more than these, and each becomes one bar


def price_line(axes: Axes, scene: Scene, *, colour: str = INK) -> None:
    """Draw the price with the band between the lowest and highest of each column."""
    low, high = scene.range()
    x, y = scene.line(scene.last_price())
    axes.fill_between(scene.middle, low, high, color=colour, alpha=0.16, linewidth=0, step="mid")
    axes.plot(x, y, color=colour, linewidth=1.0, drawstyle="steps-post")
    bottom, top = scene.reach()
    pad = max((top - bottom) * 0.04, scene.tick or abs(top) * 1e-5)
    axes.set_ylim(bottom - pad, top + pad)
    value_axis(axes, price_steps(bottom, top, scene.tick), lambda p: words.price(p, scene.instrument))


def price_picture(scene: Scene, marks: Sequence[Mapping[str, Any]] = (), *, vwap: bool = True) -> Figure:
    """Price, its volume-weighted mean, and volume by aggressor; ``marks`` are planted episodes of a simulation."""
    traded = int(scene.rows["trades"].sum()) > 0

    def draw(figure: Figure) -> None:
        heights = [3.2, 1.0] if traded else [1.0]
        grid = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
        top = grid[0][0]
        price_line(top, scene)
        if traded:
            if vwap:
                _vwap(top, scene)
            _volume_bars(grid[1][0], scene)
        _closed(top, scene)
        _episodes(top, scene, marks)
        for row in grid:
            bare(row[0])
        time_axis(grid[-1][0], scene.axis)

    return new_figure(4.4 if traded else 3.2, draw)


def _vwap(axes: Axes, scene: Scene) -> None:
    lots = (scene.rows["bought"] + scene.rows["sold"] + scene.rows["unknown"]).astype(np.float64)
    # The mean starts again with each trade date, as traders read it.
    session = scene.rows["session"]
    starts = np.concatenate([[True], np.diff(session) != 0])
    group = np.cumsum(starts) - 1
    total, notional = np.cumsum(lots), np.cumsum(scene.rows["notional"])
    first = np.flatnonzero(starts)
    base_lots = np.concatenate([[0.0], total])[first][group]
    base_notional = np.concatenate([[0.0], notional])[first][group]
    inside = total - base_lots
    vwap = np.where(inside > 0, (notional - base_notional) / np.where(inside > 0, inside, 1), np.nan) / 1e9
    places = np.flatnonzero(starts | scene.gap)
    x, y = np.insert(scene.end, places, np.nan), np.insert(vwap, places, np.nan)
    axes.plot(x, y, color=ACCENT, linewidth=1.1, linestyle=(0, (4, 2)), label="session VWAP", drawstyle="steps-post")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.0)


def _volume_bars(axes: Axes, scene: Scene) -> None:
    bought, sold, unknown = (scene.quantity(n) for n in ("bought", "sold", "unknown"))
    none = np.zeros(bought.size)
    boxes(axes, scene.start, scene.end, none, bought, BUY)
    boxes(axes, scene.start, scene.end, -sold, none, SELL)
    boxes(axes, scene.start, scene.end, bought, bought + unknown, UNKNOWN)
    largest = max(float((bought + unknown).max()), float(sold.max()), 1e-12)
    steps = [s for s in price_steps(0, largest, 0, 2) if s > 0]
    axes.axhline(0, color=MUTED, linewidth=0.6)
    value_axis(axes, [-s for s in steps[::-1] if s <= sold.max()] + [0, *steps], lambda v: words.plain(abs(v)))
    axes.set_ylabel("sold · bought")


def _closed(axes: Axes, scene: Scene) -> None:
    """Shade where the market did not trade: an auction, a halt, a close."""
    closed = scene.rows["trading"] == 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], closed.view(np.int8), [0]])))
    for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        start, end = float(scene.start[a]), float(scene.end[b - 1])
        if end - start < 0.01 * scene.axis.length_s:
            continue
        axes.axvspan(start, end, color=MUTED, alpha=0.08, linewidth=0)
        if end - start > 0.12 * scene.axis.length_s:
            low, high = axes.get_ylim()
            at = (start + end) / 2, (low + high) / 2
            axes.annotate("not trading", at, ha="center", va="center", fontsize=9, color=MUTED)


def _episodes(axes: Axes, scene: Scene, marks: Sequence[Mapping[str, Any]]) -> None:
    if not marks:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + (high - low) * 0.12)
    ends: list[float] = []
    for mark in sorted(marks, key=lambda m: int(m["start_ns"])):
        x0, x1 = scene.axis(np.array([mark["start_ns"], mark["end_ns"]])).tolist()
        axes.axvspan(x0, max(x1, x0 + scene.axis.length_s * 0.002), color=ACCENT, alpha=0.18, linewidth=0)
        room = scene.axis.length_s * 0.11
        level = next((i for i, end in enumerate(ends) if x0 > end), len(ends))
        ends[level : level + 1] = [x0 + room]
        axes.annotate(
            str(mark["kind"]).replace("_", " "),
            (x0, high + (high - low) * 0.10 - level * (high - low) * 0.055),
            fontsize=7.5,
            color=ACCENT,
            va="top",
            clip_on=True,
        )


def delta_picture(scene: Scene) -> Figure:
    """Price above, cumulative delta of the session below; with many sessions, the delta of each of them."""
    by_session = int((np.diff(scene.rows["session"]) != 0).sum()) >= _SESSIONS_DRAWN_MAX

    def draw(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1.0, 1.6])
        price_line(top, scene)
        if by_session:
            _delta_bars(bottom, scene)
        else:
            _delta_line(bottom, scene)
        bottom.axhline(0, color=MUTED, linewidth=0.7)
        top.set_ylabel("price")
        for axes in (top, bottom):
            bare(axes)
        time_axis(bottom, scene.axis)

    return new_figure(3.9, draw)


def _delta_line(axes: Axes, scene: Scene) -> None:
    delta = scene.quantity("delta")
    places = np.flatnonzero(scene.gap | np.concatenate([[False], np.diff(scene.rows["session"]) != 0]))
    x, y = np.insert(scene.end, places, np.nan), np.insert(delta, places, np.nan)
    axes.fill_between(x, 0, np.maximum(y, 0), color=BUY, alpha=0.35, linewidth=0, step="post")
    axes.fill_between(x, 0, np.minimum(y, 0), color=SELL, alpha=0.35, linewidth=0, step="post")
    axes.plot(x, y, color=INK, linewidth=1.0, drawstyle="steps-post")
    _delta_axis(axes, delta, "cumulative delta")


def _delta_bars(axes: Axes, scene: Scene) -> None:
    last = np.flatnonzero(np.concatenate([np.diff(scene.rows["session"]) != 0, [True]]))
    first = np.concatenate([[0], last[:-1] + 1])
    delta = scene.quantity("delta")[last]
    left, width = scene.start[first], scene.end[last] - scene.start[first]
    axes.bar(left, delta, width * 0.86, align="edge", color=[BUY if d >= 0 else SELL for d in delta], linewidth=0)
    _delta_axis(axes, delta, "delta of the session")


def _delta_axis(axes: Axes, delta: NDArray[np.float64], label: str) -> None:
    steps = price_steps(min(float(delta.min()), 0), max(float(delta.max()), 0), 0, 5)
    value_axis(axes, steps, lambda v: words.plain(v, sign=True))
    axes.set_ylabel(label)


def profile_picture(scene: Scene, profile: Profile) -> Figure:
    """Volume by price, split by aggressor, with point of control and value area."""
    price, bought, sold, unknown, height = grouped(profile, scene.lot)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        thick = 0.88 if price.size <= 80 else 1.0  # many thin bars need no gaps
        inside = (price + height > profile.val) & (price <= profile.vah)
        for mask, alpha in ((inside, 1.0), (~inside, 0.42)):
            left = np.zeros(int(mask.sum()))
            for values, colour in ((sold, SELL), (unknown, UNKNOWN), (bought, BUY)):
                upper = price[mask] + height * thick
                boxes(axes, left, left + values[mask], price[mask], upper, colour, alpha=alpha)
                left = left + values[mask]
        top = float((bought + sold + unknown).max())
        axes.set_xlim(0, top * 1.16)
        row = profile.row_e9 / 1e9
        for level, name in ((profile.vah + row, "VAH"), (profile.poc + row / 2, "POC"), (profile.val, "VAL")):
            shown = {"VAH": profile.vah, "POC": profile.poc, "VAL": profile.val}[name]
            axes.axhline(
                level,
                color=INK if name == "POC" else ACCENT,
                linewidth=1.0 if name == "POC" else 0.9,
                linestyle="-" if name == "POC" else (0, (4, 2)),
            )
            axes.annotate(
                f"{name} {words.price(shown, scene.instrument)}",
                (top * 1.155, level),
                ha="right",
                va="bottom",
                fontsize=8.5,
                color=INK,
            )
        low, high = float(price[0]), float(price[-1]) + height
        axes.set_ylim(low - height, high + height)
        value_axis(axes, price_steps(low, high, scene.tick, 8), lambda p: words.price(p, scene.instrument))
        axes.xaxis.set_major_formatter(lambda v, _: words.plain(v))
        handles = [Patch(color=BUY, label="bought at market"), Patch(color=SELL, label="sold at market")]
        if unknown.any():
            handles.append(Patch(color=UNKNOWN, label="side unknown"))
        axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1.0), borderaxespad=0.2, ncols=3)
        bare(axes, grid="x")
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("volume")

    return new_figure(4.6, draw)


def grouped(
    profile: Profile, lot: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """Sum neighbouring rows until they can be drawn; return lower edges, bought, sold, unknown, and the height."""
    every = -(-profile.price.size // _ROWS_DRAWN)
    first_row = round(profile.price[0] * 1e9 / profile.row_e9)
    group = (np.arange(profile.price.size) + first_row) // every
    group -= group[0]
    n = int(group[-1]) + 1
    height = profile.row_e9 / 1e9 * every
    lowest = (first_row // every) * every * profile.row_e9 / 1e9
    bought, sold, unknown = (
        np.bincount(group, weights=values * lot, minlength=n).astype(np.float64)
        for values in (profile.bought, profile.sold, profile.unknown)
    )
    edges: NDArray[np.float64] = lowest + np.arange(n) * height
    return edges, bought, sold, unknown, height
