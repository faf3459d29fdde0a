"""The picture of a Hawkes study: intensities over time, the residuals against what they should be, the kernels."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tapebook.market.sessions import calendar
from tapebook.report.axes import TimeAxis
from tapebook.report.hawkes import HawkesStudy
from tapebook.report.paint import ACCENT, BUY, INK, MUTED, SELL, UNKNOWN, bare, new_figure, time_axis
from tapebook.research.hawkes_residuals import qq_points

__all__ = ["hawkes_picture"]

Floats = NDArray[np.float64]

_BINS = 240


def hawkes_picture(study: HawkesStudy) -> Figure:
    """Return the figure: intensities above, QQ of the residuals and kernels below."""

    def draw(figure: Figure) -> None:
        grid = figure.add_gridspec(2, 2, height_ratios=[1.2, 1.0])
        top = figure.add_subplot(grid[0, :])
        _intensity(top, study)
        _qq(figure.add_subplot(grid[1, 0]), study)
        _kernels(figure.add_subplot(grid[1, 1]), study)

    return new_figure(6.6, draw)


def _colours(study: HawkesStudy) -> tuple[str, ...]:
    return (BUY, SELL) if len(study.names) == 2 else (ACCENT,)


def _intensity(axes: Axes, study: HawkesStudy) -> None:
    orders = study.orders
    edges = np.linspace(0.0, orders.horizon_s, _BINS + 1)
    width = edges[1] - edges[0]
    intensity = np.diff(study.fitted.model.compensator(orders.times_s, study.types, edges), axis=0) / width
    zone = ZoneInfo(calendar(orders.instrument.calendar).zone)
    end_ns = orders.start_ns + round(orders.horizon_s * 1e9)
    axis = TimeAxis(np.array([orders.start_ns]), np.array([end_ns]), zone)
    middle = (edges[1:] + edges[:-1]) / 2
    for i, (name, colour) in enumerate(zip(study.names, _colours(study), strict=True)):
        sign = -1.0 if i else 1.0  # sells hang below, so that neither hides the other
        counted = np.histogram(orders.times_s[study.types == i], edges)[0] / width
        axes.plot(middle, sign * counted, color=UNKNOWN, linewidth=0.8, drawstyle="steps-mid")
        axes.plot(middle, sign * intensity[:, i], color=colour, linewidth=1.1, label=f"{name}: intensity")
        axes.axhline(sign * study.fitted.model.mu[i], color=colour, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.plot([], [], color=UNKNOWN, linewidth=0.8, label="counted")
    axes.plot([], [], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label="baseline")
    axes.axhline(0.0, color=INK, linewidth=0.7)
    radius = study.fitted.model.branching_ratio
    axes.set_title(
        f"{orders.instrument.symbol} {orders.session}: aggressive orders per second, mean of {width:.3g} s; "
        f"branching ratio {radius:.2f}"
    )
    axes.yaxis.set_major_formatter(lambda y, _: f"{abs(y):g}")
    axes.legend(loc="upper right", ncols=4, borderaxespad=0.1)
    bare(axes)
    time_axis(axes, axis)


def _qq(axes: Axes, study: HawkesStudy) -> None:
    top = 0.0
    for name, colour, residuals, test in zip(study.names, _colours(study), study.residuals, study.tests, strict=True):
        expected, found = qq_points(residuals)
        axes.plot(expected, found, color=colour, linestyle="none", marker="o", markersize=2.6, markeredgewidth=0,
                  label=f"{name}: KS {test.ks:.3f}")  # fmt: skip
        top = max(top, float(expected[-1]), float(found[-1]))
    axes.plot([0, top], [0, top], color=MUTED, linewidth=0.9)
    axes.set_title("Residuals, quantiles: on the line where the model is right")
    axes.set_xlabel("exponential")
    axes.set_ylabel("found")
    axes.legend(loc="upper left", borderaxespad=0.1)
    bare(axes, grid="both")


def _kernels(axes: Axes, study: HawkesStudy) -> None:
    model = study.fitted.model
    fastest, slowest = 1 / model.beta.max(), 1 / model.beta.min()
    ages = np.logspace(np.log10(fastest) - 1, np.log10(slowest) + 0.8, 300)
    top = 0.0
    for i, (to, colour) in enumerate(zip(study.names, _colours(study), strict=True)):
        for j, by in enumerate(study.names):
            phi = (model.eta[i, j] * model.beta[i] * np.exp(-np.outer(ages, model.beta[i]))).sum(axis=1)
            if not phi.max() > 0:
                continue
            top = max(top, float(phi.max()))
            label = f"{by} on {to}: {model.children[i, j]:.2f}"
            axes.plot(ages, phi, color=colour, linestyle="-" if i == j else (0, (4, 2)), label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    if top > 0:
        axes.set_ylim(top * 1e-9, top * 3)
    axes.set_title("Kernels: orders per second that one order causes, by its age")
    axes.set_xlabel("seconds after the order")
    axes.legend(loc="lower left", borderaxespad=0.1, title="children of one order", title_fontsize=8.5)
    bare(axes, grid="both")
    axes.tick_params(which="both", length=0)
