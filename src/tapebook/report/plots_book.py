"""Pictures of the book: what crossing it costs, over time and by horizon, and its depth with the trades on top."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tapebook.kernels.intervals import bin_start
from tapebook.report import words
from tapebook.report.axes import price_steps
from tapebook.report.depth_map import DepthMap
from tapebook.report.paint import ACCENT, BUY, INK, MUTED, SELL, bare, new_figure, time_axis, value_axis
from tapebook.report.scene import Scene

__all__ = ["cost_picture", "heatmap_picture", "spread_picture", "spread_shares"]

_BUBBLES_MAX = 350
_ROWS_FINE, _ROWS_COARSE = 190, 100
_COLUMNS_FINE, _COLUMNS_COARSE = 480, 200
_SPARSE = 0.12  # share of cells with something in them below which larger cells say more
_NIGHT = "#0b0f16"
_DEPTH: Colormap = LinearSegmentedColormap.from_list(
    "depth", ["#0b0f16", "#122a45", "#1c5070", "#2f8087", "#77b27c", "#e3d36a", "#fff7d0"]
)
_BUBBLE_BUY, _BUBBLE_SELL = "#66c2ff", "#ff9a4d"


def spread_shares(held_ns: NDArray[np.int64], bars_max: int = 24) -> list[tuple[float, float, float]]:
    """Return (from, to, share of time) by spread in ticks: tick by tick where that is enough, else in growing steps.

    >>> held = np.zeros(1888, np.int64)
    >>> held[[1, 2]] = 3, 1
    >>> spread_shares(held)
    [(1, 2, 0.75), (2, 3, 0.25)]
    """
    total = int(held_ns.sum())
    used = np.flatnonzero(held_ns)
    if not total:
        return []
    starts = np.array([bin_start(int(i)) for i in used])
    shares = held_ns[used] / total
    enough = int(np.searchsorted(np.cumsum(shares), 0.999))
    last = int(starts[min(enough, starts.size - 1)])
    if last <= bars_max:
        edges = np.arange(starts[0], last + 2)
    else:
        edges = np.unique(np.geomspace(max(int(starts[0]), 1), last + 1, bars_max + 1).round().astype(np.int64))
        edges[0] = min(edges[0], starts[0])
    place = np.clip(np.searchsorted(edges, starts, side="right") - 1, 0, edges.size - 2)
    summed = np.bincount(place, weights=shares, minlength=edges.size - 1)
    # What lies beyond the last edge stands with the last bar: its upper end says so.
    upper = [*edges[1:-1].tolist(), max(int(edges[-1]), int(starts[-1]) + 1)]
    return [(int(a), int(b), float(s)) for a, b, s in zip(edges[:-1].tolist(), upper, summed.tolist(), strict=True)]


def spread_picture(scene: Scene, held_ns: NDArray[np.int64]) -> Figure:
    """Quoted spread over time (mean and extremes of each column), and the share of time at each width."""
    unit = scene.tick or 1.0
    mean = scene.mean("spread_ns", "quoted_ns", 1e9 * unit)
    low, high = scene.price("spread_min") / unit, scene.price("spread_max") / unit
    label = "spread, ticks" if scene.tick else "spread, price"

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=[2.6, 1.0])
        x, y = scene.line(filled_within(mean, scene))
        left.fill_between(scene.middle, low, high, step="mid", color=ACCENT, alpha=0.18, linewidth=0)
        left.plot(x, y, color=INK, linewidth=1.1, drawstyle="steps-post")
        seen = high[np.isfinite(high)]
        top = float(np.quantile(seen, 0.995)) if seen.size else 1.0
        top = max(top, float(np.nanmax(mean)) if np.isfinite(mean).any() else top) * 1.06
        left.set_ylim(0, top)
        value_axis(left, price_steps(0, top, 1.0 if scene.tick and top > 4 else 0, 5), words.plain)
        left.set_ylabel(label)
        time_axis(left, scene.axis)
        bare(left)
        _share_bars(right, spread_shares(held_ns), "share of quoted time" if scene.tick else "")
        bare(right, grid="x")

    return new_figure(2.9, draw)


def filled_within(values: NDArray[np.float64], scene: Scene) -> NDArray[np.float64]:
    """Leave columns without a quote empty: a spread that was not quoted is not carried on."""
    return np.where(scene.rows["quoted_ns"] > 0, values, np.nan)


def _share_bars(axes: Any, shares: list[tuple[float, float, float]], label: str) -> None:
    names = [words.number(a) if b - a == 1 else f"{words.number(a)}-{words.number(b - 1)}" for a, b, _ in shares]
    if len(shares) > 1 and shares[-1][1] - shares[-1][0] > 1:
        names[-1] = f"{words.number(shares[-1][0])}+"
    values = [s for _, _, s in shares]
    y = np.arange(len(values))
    axes.barh(y, values, height=0.8, color=ACCENT, alpha=0.85, linewidth=0)
    every = -(-len(names) // 14)
    value_axis(axes, y[::every].tolist(), lambda v: names[round(v)] if 0 <= round(v) < len(names) else "")
    top = max(values, default=1.0)
    for i, value in enumerate(values):
        if value == top:
            axes.annotate(
                words.percent(value),
                (value, i),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=INK,
            )
    axes.set_xlim(0, top * 1.3)
    axes.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
    axes.set_xlabel(label)
    axes.set_ylabel("spread, ticks")


def cost_picture(realised: list[dict[str, Any]], unit: float, label: str) -> Figure:
    """Effective spread split into what the maker kept (realised) and what the trade moved (impact), by horizon."""
    table = [row for row in realised if row["prints"] > 0]
    x = np.arange(len(table))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, colour, text in (("impact", SELL, "price impact"), ("realised", BUY, "realised: kept by the maker")):
            values = [row[name] / unit for row in table]
            axes.plot(x, values, color=colour, marker="o", markersize=4, label=text)
        axes.plot(
            x,
            [row["effective"] / unit for row in table],
            color=INK,
            linestyle=(0, (4, 2)),
            linewidth=1.0,
            label="effective",
        )
        axes.axhline(0, color=MUTED, linewidth=0.7)
        axes.set_xticks(x, [words.horizon(row["horizon_s"]) for row in table])
        axes.set_ylabel(label)
        axes.set_xlabel("after the trade")
        axes.yaxis.set_major_formatter(lambda v, _: words.plain(v))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.0, ncols=3)
        bare(axes)

    return new_figure(2.6, draw)


def heatmap_picture(scene: Scene, depth_map: DepthMap, levels_seen: int) -> tuple[Figure, dict[str, Any]]:
    """Depth by time and price on a logarithmic scale, with the largest trades on top; also what its marks mean.

    Where the tape holds no book, traded volume takes the place of depth.
    """
    index, depth, bought, sold = depth_map.columns()
    # Best prices alone are no depth: then what traded is the better picture.
    with_book = levels_seen > 1 and bool((depth > 0).any())
    prices = depth_map.prices_e9() / 1e9
    row = depth_map.row_e9 / 1e9
    bottom, top = _window(scene, row)
    inside = np.flatnonzero((prices >= bottom) & (prices < top))
    surface = (depth if with_book else bought + sold)[:, inside] * scene.lot
    image, every = _pixels(surface, index, depth_map.width_ns, scene, mean=with_book)
    edge = float(prices[inside[0]]), float(prices[inside[0]]) + image.shape[1] * every * row
    shown, low, high = _shades(image)
    bubbles = _bubbles(index, bought[:, inside], sold[:, inside], prices[inside], depth_map, scene) if with_book else []

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_facecolor(_NIGHT)
        extent = (0, scene.axis.length_s, *edge)
        picture = axes.imshow(
            shown.T, origin="lower", aspect="auto", extent=extent, cmap=_DEPTH, vmin=0, vmax=1, interpolation="nearest"
        )
        if with_book:
            x, y = scene.line(scene.last_price())
            axes.plot(x, y, color="#ffffff", linewidth=0.9, alpha=0.9, drawstyle="steps-post")
        if bubbles:
            at, level, area, signed = (np.array(c) for c in zip(*bubbles, strict=True))
            colours = np.where(signed >= 0, _BUBBLE_BUY, _BUBBLE_SELL)
            axes.scatter(at, level, s=area, c=colours, alpha=0.75, edgecolors=_NIGHT, linewidths=0.4)
        axes.set_ylim(*edge)
        value_axis(axes, price_steps(*edge, scene.tick, 8), lambda p: words.price(p, scene.instrument))
        time_axis(axes, scene.axis)
        bare(axes, grid="")
        bar = figure.colorbar(picture, ax=axes, pad=0.012, fraction=0.025, aspect=30)
        marks = _scale_marks(low, high)
        bar.set_ticks([_shade(m, low, high) for m in marks], labels=[words.plain(m) for m in marks])
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
        bar.set_label("resting" if with_book else "traded")

    about = {
        "shows": "depth" if with_book else "volume",
        "column_s": scene.axis.length_s / image.shape[0],
        "row_price": row * every,
        "bubbles": len(bubbles),
        "largest": max((abs(b[3]) for b in bubbles), default=None),
    }
    return new_figure(4.8, draw), about


def _shade(lots: float, low: float, high: float) -> float:
    """Return where a quantity stands between dark and bright: by its logarithm, the common ones kept dark."""
    share = np.log(max(lots, 1e-300) / low) / np.log(high / low)
    return float(0.1 + 0.9 * np.clip(share, 0, 1) ** 1.3)


def _shades(image: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    """Return the image between 0 (nothing there) and 1, and which quantities are darkest and brightest."""
    there = np.isfinite(image) & (image > 0)
    low, high = np.quantile(image[there], [0.08, 0.997]).tolist() if there.any() else (1.0, 10.0)
    high = max(high, 3 * low)
    share = np.log(np.where(there, image, low) / low) / np.log(high / low)
    return np.where(there, 0.1 + 0.9 * np.clip(share, 0, 1) ** 1.3, 0.0), low, high


def _window(scene: Scene, row: float) -> tuple[float, float]:
    bottom, top = scene.reach()
    pad = max((top - bottom) * 0.18, 12 * row)
    return bottom - pad, top + pad


def _pixels(
    surface: NDArray[Any], index: NDArray[np.int64], width_ns: int, scene: Scene, *, mean: bool
) -> tuple[NDArray[np.float64], int]:
    """Put columns on an even grid of active time and sum neighbouring rows; return it and the rows in one of its rows.

    A pixel of depth is the mean of its columns, a pixel of volume their sum. Where most of the grid is empty, larger
    pixels let a thin book be seen.
    """
    for rows_max, columns_max in ((_ROWS_FINE, _COLUMNS_FINE), (_ROWS_COARSE, _COLUMNS_COARSE)):
        every = max(-(-surface.shape[1] // rows_max), 1)
        padding = -surface.shape[1] % every
        grouped = np.pad(surface, ((0, 0), (0, padding))).reshape(surface.shape[0], -1, every).sum(axis=2)
        n = int(min(max(scene.axis.length_s * 1e9 / width_ns, 40), columns_max))
        ends = scene.axis((index + 1) * width_ns)
        edges = np.arange(n + 1) * scene.axis.length_s / n
        image = np.zeros((n, grouped.shape[1]))
        for i in range(n):
            a, b = np.searchsorted(ends, edges[i : i + 2], side="right").tolist()
            if mean:
                a = min(a, index.size - 1)
                part = grouped[a : max(b, a + 1)]
                seen = part[np.isfinite(part[:, 0])]
                image[i] = seen.mean(axis=0) if seen.size else 0.0
            else:
                image[i] = grouped[a:b].sum(axis=0)
        if (image > 0).mean() >= _SPARSE:
            break
    return image, every


def _bubbles(
    index: NDArray[np.int64],
    bought: NDArray[np.float32],
    sold: NDArray[np.float32],
    prices: NDArray[np.float64],
    depth_map: DepthMap,
    scene: Scene,
) -> list[tuple[float, float, float, float]]:
    """Return x, price, area and signed volume of the cells that traded most, on a grid coarse enough to see."""
    wide, tall = max(-(-bought.shape[0] // 150), 1), max(-(-bought.shape[1] // 70), 1)
    columns = np.arange(bought.shape[0]) // wide
    rows = np.arange(bought.shape[1]) // tall
    total = np.zeros((int(columns[-1]) + 1, int(rows[-1]) + 1))
    delta = np.zeros_like(total)
    cell = np.broadcast_to(columns[:, None], bought.shape), np.broadcast_to(rows[None, :], bought.shape)
    np.add.at(total, cell, bought + sold)
    np.add.at(delta, cell, bought - sold)
    flat = total.ravel()
    chosen = np.argsort(flat)[::-1][:_BUBBLES_MAX]
    chosen = chosen[flat[chosen] > 0]
    if not chosen.size:
        return []
    largest = float(flat[chosen[0]])
    middle = scene.axis((index * 2 + 1) * depth_map.width_ns // 2)
    height = depth_map.row_e9 / 1e9
    found = []
    for place in chosen.tolist():
        c, r = divmod(place, total.shape[1])
        x = float(middle[columns == c].mean())
        level = float(prices[rows == r].mean()) + height / 2
        sign = 1.0 if delta.ravel()[place] >= 0 else -1.0
        found.append((x, level, 3 + 150 * float(flat[place]) / largest, sign * float(flat[place]) * scene.lot))
    return found


def _scale_marks(low: float, high: float) -> list[float]:
    first = int(np.ceil(np.log10(low)))
    marks = [10.0**e for e in range(first, int(np.floor(np.log10(high))) + 1)]
    if len(marks) < 3:
        marks = [m * f for m in (10.0 ** (first - 1), *marks) for f in (1, 2, 5) if low <= m * f <= high]
    return marks
