"""How the plots look: one palette for light and dark pages, and figures as pieces of SVG that stand in the page.

A figure is drawn with placeholder colours; in the SVG they become variables of the page's style sheet, so that one
picture serves both themes and text stays text. No pyplot, no global state: figures are objects, settings hold inside
:func:`new_figure` and :func:`to_svg` only.

The hues are those of Okabe and Ito (2008), told apart with any colour vision: blue is bought and bid, vermilion is sold
and ask.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgb, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import NDArray

from tapebook.report.axes import TimeAxis

__all__ = [
    "ACCENT",
    "BUY",
    "GRID",
    "INK",
    "MUTED",
    "PANEL",
    "SELL",
    "UNKNOWN",
    "WIDTH_IN",
    "bare",
    "boxes",
    "new_figure",
    "time_axis",
    "to_png",
    "to_svg",
    "value_axis",
]

INK: Final = "#010203"
MUTED: Final = "#040506"
GRID: Final = "#070809"
BUY: Final = "#0a0b0c"
SELL: Final = "#0d0e0f"
UNKNOWN: Final = "#101112"
ACCENT: Final = "#131415"
PANEL: Final = "#161718"
"""Placeholders: in the SVG they become ``var(--ink)`` and so on."""

_VARIABLES: Final = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    BUY: "--buy",
    SELL: "--sell",
    UNKNOWN: "--unknown",
    ACCENT: "--accent",
    PANEL: "--panel",
}
_LIGHT: Final = {
    INK: "#1b2330",
    MUTED: "#5b6675",
    GRID: "#dfe4ea",
    BUY: "#0072b2",
    SELL: "#d55e00",
    UNKNOWN: "#8a94a3",
    ACCENT: "#009e73",
    PANEL: "#ffffff",
}
WIDTH_IN: Final = 9.6
_LEAPS_DRAWN_MAX: Final = 24
_SETTINGS: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tapebook",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.2,
    "lines.solid_joinstyle": "round",
    "path.simplify": True,
    "path.simplify_threshold": 0.2,
}


def new_figure(height_in: float, draw: Callable[[Figure], None], *, width_in: float = WIDTH_IN) -> Figure:
    """Return a figure that ``draw`` has drawn with the settings of this module."""
    with mpl.rc_context(_SETTINGS):
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.04, hspace=0.04, wspace=0.03)
        figure = Figure(figsize=(width_in, height_in), layout=layout)
        draw(figure)
    return figure


def to_svg(figure: Figure, title: str) -> str:
    """Return the figure as SVG for the inside of a page; ``title`` is what screen readers say."""
    with mpl.rc_context(_SETTINGS):
        FigureCanvasSVG(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    # Numbered ids of groups repeat from figure to figure; nothing refers to them.
    svg = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg)
    # The page chooses the font; matplotlib names its own in one of two ways, by version.
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r"; font-family: [^;\"]*", "", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[\d.]+pt" height="[\d.]+pt"', r"<svg \1", svg, count=1)
    # Hundredths of a point are enough for places; what stands between tags is text and stays as it is.
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d+\.\d\d)\d+", r"\1", tag[0]), svg)
    escaped = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escaped}" ', 1).replace("\n", " ")


def to_png(figure: Figure, *, dpi: int = 160) -> bytes:
    """Return the figure as a PNG on white, in the hues of the light page, for documents that are no pages."""
    for artist in figure.findobj():
        for name in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
            setter = getattr(artist, f"set_{name}", None)
            getter = getattr(artist, f"get_{name}", None)
            if setter is not None and getter is not None:
                painted = _painted(getter())
                if painted is not None:
                    setter(painted)
    with mpl.rc_context(_SETTINGS):
        FigureCanvasAgg(figure)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=dpi, facecolor="white")
    return out.getvalue()


def _painted(value: Any) -> Any:
    """Return a colour, or an array of them, with placeholders replaced; None where there is none among them."""
    try:
        colours = to_rgba_array(value).copy()
    except (ValueError, TypeError):  # "none", "face", or no colour at all
        return None
    found = False
    for placeholder, hue in _LIGHT.items():
        same = np.isclose(colours[:, :3], to_rgb(placeholder), atol=1e-6).all(axis=1)
        colours[same, :3] = to_rgb(hue)
        found = found or bool(same.any())
    if not found:
        return None
    return colours if colours.shape[0] > 1 else tuple(colours[0])


def bare(axes: Axes, *, grid: Literal["x", "y", "both", ""] = "y") -> None:
    """Take away what carries nothing: the box, the tick marks; leave a faint grid."""
    for name in ("top", "right", "left"):
        axes.spines[name].set_visible(False)
    axes.tick_params(length=0)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.7)


def boxes(
    axes: Axes,
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    bottom: NDArray[np.float64],
    top: NDArray[np.float64],
    colour: str,
    *,
    alpha: float = 1.0,
) -> None:
    """Draw many bars of one colour as one path: hundreds of patches cost seconds, and as many elements in the page."""
    solid = (top != bottom) & (right != left)
    if not solid.any():
        return
    x0, x1, y0, y1 = left[solid], right[solid], bottom[solid], top[solid]
    corners = np.stack([x0, y0, x0, y1, x1, y1, x1, y0, x0, y0], axis=1).reshape(-1, 2)
    codes = np.tile([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], x0.size)
    axes.add_patch(PathPatch(Path(corners, codes), facecolor=colour, linewidth=0, alpha=alpha))
    axes.autoscale_view()


def time_axis(axes: Axes, axis: TimeAxis, *, labels: bool = True, leaps: bool = True) -> None:
    """Put wall times under a plot, and a thin line where time leaps."""
    positions, texts = axis.ticks()
    axes.set_xlim(0, max(axis.length_s, 1e-3))
    axes.xaxis.set_major_locator(FixedLocator(positions or [0.0]))
    shown = dict(zip(positions, texts, strict=True)) if labels else {}
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: shown.get(x, "")))
    if leaps and len(axis.leaps_s) <= _LEAPS_DRAWN_MAX:
        for at in axis.leaps_s:
            axes.axvline(at, color=MUTED, linewidth=0.7, linestyle=(0, (2, 3)), zorder=0.5)


def value_axis(axes: Axes, steps: Sequence[float], text: Callable[[float], str]) -> None:
    """Put the given values beside a plot."""
    axes.yaxis.set_major_locator(FixedLocator(list(steps)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: text(y)))
