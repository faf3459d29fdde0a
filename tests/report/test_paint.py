from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from tapebook.report.paint import BUY, INK, SELL, boxes, new_figure, to_png, to_svg, value_axis
from tapebook.report.words import plain


def figure() -> Figure:
    def draw(f: Figure) -> None:
        axes = f.subplots()
        n = np.arange(400.0)
        boxes(axes, n, n + 1, np.zeros(400), np.ones(400), BUY)
        boxes(axes, n, n + 1, np.zeros(400), -np.ones(400), SELL)
        axes.plot(n, np.sin(n / 20), color=INK)
        axes.scatter([5.0, 300.0], [0.5, 0.5], color=SELL)

    return new_figure(2.0, draw)


def test_a_picture_takes_its_colours_from_the_page() -> None:
    svg = to_svg(figure(), "a < b")
    assert svg.startswith("<svg ")
    for name in ("--buy", "--sell", "--ink", "--muted"):
        assert f"var({name})" in svg
    for placeholder in ("#0a0b0c", "#0d0e0f", "#010203", "#040506"):
        assert placeholder not in svg
    assert 'aria-label="a &lt; b"' in svg
    assert "DejaVu" not in svg
    assert ' width="' not in svg[: svg.index(">")]


def test_the_same_figure_is_the_same_svg() -> None:
    assert to_svg(figure(), "x") == to_svg(figure(), "x")


def test_many_bars_of_a_colour_are_one_path() -> None:
    assert to_svg(figure(), "x").count("var(--buy)") == 1


def test_a_png_has_the_hues_of_the_light_page() -> None:
    pixels = imread(io.BytesIO(to_png(figure(), dpi=60)))[:, :, :3].reshape(-1, 3)
    for hue in ("#0072b2", "#d55e00"):
        wanted = np.array(mpl.colors.to_rgb(hue))
        assert (np.abs(pixels - wanted).max(axis=1) < 0.02).mean() > 0.05
    assert (pixels > 0.99).all(axis=1).any()


def test_nothing_is_left_behind_in_the_settings_of_matplotlib() -> None:
    before = dict(mpl.rcParams)
    to_svg(figure(), "x")
    assert dict(mpl.rcParams) == before


def test_small_numbers_on_an_axis_keep_their_digits() -> None:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 0.005], color=INK)
        value_axis(axes, [0.002, 0.0045], plain)

    svg = to_svg(new_figure(2.0, draw), "x")
    assert "0.002<" in svg
    assert "0.0045<" in svg
