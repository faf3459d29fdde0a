"""What order flow explains of the mid's move in the same interval: regressions on a recording, with honest errors.

For intervals of one and of ten seconds (or others) the mid's change in ticks is regressed on the order-flow imbalance
of the interval: of the best level, of all levels (least squares, and ridge), of all levels as one (their first
component), of their sum, generalised, and on the signed volume of the trades. "By depth" and "integrated" divide the
flow by the average size of a level in the interval. This is explanation, not forecast: both sides of the regression are
known only when the interval is over. Levels that shift with the price count as flow at every level, so that deep
levels explain some of the move by being the move.

Each model tells its adjusted R² in sample, its R² out of sample (fitted on what came before each of the later fifths
of the recording, tested on that fifth, against the mean of what came before) and Newey-West's t of its first
coefficient. What is fitted before the regression (the first component, the penalty of the ridge) is fitted anew on the
past of each fifth. Out of sample a market whose depth changes over the day shows: the price impact of a lot is no
constant.

    python -m tapebook.research.ofi FILE [seconds ...]

References: Cont, Kukanov & Stoikov 2014; Xu, Gould & Howison 2019 (levels, ridge); Cont, Cucuringu & Zhang 2023
(integrated); Newey & West 1987, 1994 (lags).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.depth import DepthFeed, DepthView
from tapebook.features.ofi_levels import OfiGeneralised, OfiLevels
from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.market.events import MISSING, Kind
from tapebook.market.tape import Tape
from tapebook.research.newey_west import lags_for, long_run

__all__ = ["MODELS", "Explained", "Intervals", "explain", "intervals", "newey_west", "ridge", "table"]

Floats = NDArray[np.float64]

MODELS: Final = (
    "best level",
    "best level by depth",
    "levels, least squares",
    "levels, ridge",
    "levels by depth, ridge",
    "first component",
    "integrated",
    "sum of levels",
    "generalised",
    "trade imbalance",
)
"""What the mid's change is explained by, in the order of the table."""

_OF_THE_TOUCH: Final = ("best level", "best level by depth", "trade imbalance")
_FOLDS: Final = 5
_INTERVALS_MIN: Final = 100
_PENALTIES: Final = tuple(float(x) for x in 10.0 ** np.arange(-4, 3))


@dataclass(frozen=True)
class Intervals:
    """Intervals of a recording in which the market traded and nothing broke.

    Attributes
    ----------
    move_ticks
        Change of the mid from the end of the interval before to the end of this one.
    flow
        (intervals, levels): order-flow imbalance of each level, lots.
    generalised, signed
        Generalised flow, and lots bought less lots sold.
    depth
        Average size of a level at the changes of the interval; NaN where nothing changed.
    interval_s
        Their length.
    left_out
        Intervals of the sessions that were left out: a break, no mid, no trading.
    """

    move_ticks: Floats
    flow: Floats
    generalised: Floats
    signed: Floats
    depth: Floats
    interval_s: float
    left_out: int


@dataclass(frozen=True)
class Explained:
    """What a model explains. ``t_hac`` is of the first coefficient after the constant."""

    model: str
    n: int
    r2_adjusted: float
    r2_out_of_sample: float
    beta: float
    t_hac: float


@dataclass
class _Sums:
    """Sums by interval of one session, as they come."""

    index: list[NDArray[np.int64]]
    session: list[NDArray[np.int64]]
    sums: list[Floats]
    mids: list[Floats]


def intervals(
    tape: Tape, instrument_id: int | None = None, *, seconds: Sequence[float] = (1.0, 10.0), levels: int = 10
) -> list[Intervals]:
    """Sum up a tape by intervals, one pass for all lengths.

    Intervals lie on multiples of their length and hold their beginning, not their end. One in which nothing happened
    between two of the same session counts with a move and a flow of zero.

    Raises
    ------
    ConfigurationError
        If the tape has several instruments and none is named.
    """
    if instrument_id is None:
        tape.instruments.only()
        instrument_id = next(iter(tape.instruments))
    instrument = tape.instruments[instrument_id]
    feed = DepthFeed(instrument, instrument_id, levels=levels)
    flows, general = OfiLevels(levels=levels), OfiGeneralised(levels=levels)
    found = [_Sums([], [], [], []) for _ in seconds]
    for block in tape.blocks():
        view = feed.see(block)
        flow = flows.flows(view)
        gofi = general.fold(view)["gofi_lots"]
        for interval_s, sums in zip(seconds, found, strict=True):
            _sum_up(view, flow, gofi, round(interval_s * 1e9), sums)
    return [_intervals(sums, s, max(instrument.tick_e9, 1)) for sums, s in zip(found, seconds, strict=True)]


_BROKEN, _DEPTH, _CHANGES, _SIGNED, _GENERAL, _FIRST_LEVEL = range(6)


def _sum_up(view: DepthView, flow: Floats, gofi: Floats, interval_ns: int, into: _Sums) -> None:
    if view.n == 0:
        return
    known = view.clock_ns != MISSING
    index_of = np.where(known, view.clock_ns // interval_ns, -1)
    index, place = np.unique(index_of, return_inverse=True)
    at = place[view.at]
    levels, n = view.n_levels, index.size
    sums = np.zeros((n, _FIRST_LEVEL + levels))
    books = view.books[view.after]
    sizes = np.maximum(books[:, levels : 2 * levels], 0) + np.maximum(books[:, 3 * levels :], 0)
    trade = (view.events["kind"] == Kind.TRADE) & (view.events["qty_lots"] > 0)
    lots = np.where(trade, view.events["side"].astype(np.float64) * view.events["qty_lots"], 0.0)
    broken = np.bincount(at, np.isnan(flow[0]), n) + np.bincount(place, ~view.trading, n)
    parts = [broken, np.bincount(at, sizes.mean(axis=1) / 2, n), np.bincount(at, minlength=n)]
    parts += [np.bincount(place, lots, n), np.bincount(at, np.nan_to_num(gofi), n)]
    parts += [np.bincount(at, np.nan_to_num(row), n) for row in flow]
    for j, part in enumerate(parts):
        sums[:, j] = part
    last = np.zeros(n, np.int64)
    last[place] = np.arange(view.n)  # the last one of equal places stays
    bid, ask = view.bid_px[last + 1], view.ask_px[last + 1]
    sound = (bid != MISSING) & (ask != MISSING) & (bid < ask)
    into.index.append(index)
    into.session.append(view.session[last])
    into.sums.append(sums)
    into.mids.append(np.where(sound, np.where(sound, bid, 0) / 2 + np.where(sound, ask, 0) / 2, np.nan))


def _intervals(found: _Sums, interval_s: float, tick_e9: int) -> Intervals:
    """Put the parts of intervals together that blocks cut, and fill in the quiet ones."""
    if not found.index:
        empty = np.empty(0)
        return Intervals(empty, np.empty((0, 1)), empty, empty, empty, interval_s, 0)
    index, session = np.concatenate(found.index), np.concatenate(found.session)
    sums, mids = np.concatenate(found.sums), np.concatenate(found.mids)
    keep = index >= 0
    index, session, sums, mids = index[keep], session[keep], sums[keep], mids[keep]
    moves, rows, left_out = [], [], 0
    for day in dict.fromkeys(session.tolist()):
        mine = session == day
        first = int(index[mine].min())
        n = int(index[mine].max()) - first + 1
        if n > 86_400 * 7 / min(interval_s, 1.0):
            raise DataQualityError(
                "a session lasts longer than a week", found=f"{n} intervals", remedy="look at the stamps of the tape"
            )
        place = index[mine] - first
        total = np.zeros((n, sums.shape[1]))
        np.add.at(total, place, sums[mine])
        mid = np.full(n, np.nan)
        held = np.zeros(n, np.bool_)
        mid[place], held[place] = mids[mine], True
        latest = np.maximum.accumulate(np.where(held, np.arange(n), 0))
        mid = mid[latest]
        move = np.diff(mid) / tick_e9
        good = np.isfinite(move) & (total[1:, _BROKEN] == 0)
        left_out += int((~good).sum()) + 1
        moves.append(move[good])
        rows.append(total[1:][good])
    move, row = np.concatenate(moves), np.concatenate(rows)
    changes = row[:, _CHANGES]
    depth = np.where(changes > 0, row[:, _DEPTH] / np.maximum(changes, 1), np.nan)
    return Intervals(move, row[:, _FIRST_LEVEL:], row[:, _GENERAL], row[:, _SIGNED], depth, interval_s, left_out)


def explain(sample: Intervals) -> list[Explained]:
    """Fit every model of :data:`MODELS`, or those of the touch where no deeper level ever changed.

    Raises
    ------
    DataQualityError
        If there are too few intervals or the mid never moves.
    """
    y = sample.move_ticks
    if y.size < _INTERVALS_MIN or not y.any():
        raise DataQualityError(
            "too little to regress on", expected=f"{_INTERVALS_MIN} intervals in which the mid moves", found=str(y.size)
        )
    scaled = sample.flow / np.where(sample.depth > 0, sample.depth, 1.0)[:, None]
    best = sample.flow[:, :1]
    inputs: dict[str, tuple[Floats, Callable[[Floats, Floats], _Fit]]] = {
        "best level": (best, _least_squares),
        "best level by depth": (scaled[:, :1], _least_squares),
        "levels, least squares": (sample.flow, _least_squares),
        "levels, ridge": (sample.flow, _ridge_chosen),
        "levels by depth, ridge": (scaled, _ridge_chosen),
        "first component": (sample.flow, _integrated),
        "integrated": (scaled, _integrated),
        "sum of levels": (sample.flow.sum(axis=1, keepdims=True), _least_squares),
        "generalised": (sample.generalised[:, None], _least_squares),
        "trade imbalance": (sample.signed[:, None], _least_squares),
    }
    # A tape of the touch alone has no flow at the levels below, and cannot say what a move of the best price crossed.
    deep = bool(sample.flow[:, 1:].any())
    return [_explained(name, *inputs[name], y) for name in MODELS if deep or name in _OF_THE_TOUCH]


@dataclass(frozen=True)
class _Fit:
    """A linear model of the raw inputs, and the regressors that its coefficients belong to."""

    constant: float
    slope: Floats
    regressors: Floats
    beta: Floats

    def predict(self, x: Floats) -> Floats:
        y: Floats = self.constant + x @ self.slope
        return y


def _explained(name: str, x: Floats, fit: Callable[[Floats, Floats], _Fit], y: Floats) -> Explained:
    whole = fit(x, y)
    error = y - whole.predict(x)
    spread = float(((y - y.mean()) ** 2).sum())
    free = int(np.linalg.matrix_rank(whole.regressors))
    r2 = 1 - float(error @ error) / spread
    adjusted = 1 - (1 - r2) * (y.size - 1) / (y.size - free - 1)
    t = newey_west(whole.regressors, error)
    return Explained(
        name, y.size, adjusted, _out_of_sample(x, fit, y), float(whole.beta[0]), float(whole.beta[0] / t[1])
    )


def _out_of_sample(x: Floats, fit: Callable[[Floats, Floats], _Fit], y: Floats) -> float:
    edges = np.linspace(0, y.size, _FOLDS + 1).astype(int)
    error, spread = 0.0, 0.0
    for a, b in pairwise(edges[1:].tolist()):
        model = fit(x[:a], y[:a])
        error += float(((y[a:b] - model.predict(x[a:b])) ** 2).sum())
        spread += float(((y[a:b] - y[:a].mean()) ** 2).sum())
    return 1 - error / spread if spread > 0 else np.nan


def _least_squares(x: Floats, y: Floats) -> _Fit:
    design = np.column_stack([np.ones(y.size), x])
    beta: Floats = np.linalg.lstsq(design, y, rcond=None)[0].astype(np.float64)
    return _Fit(float(beta[0]), beta[1:], x, beta[1:])


def ridge(x: Floats, y: Floats, penalty: float) -> tuple[float, Floats]:
    """Return constant and slopes that minimise the squared error plus ``penalty * n`` times the squared slopes.

    The slopes that are penalised are those of the standardised inputs; an input that never changes gets none.
    """
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    z = (x - mean) / scale
    gram = z.T @ z + penalty * y.size * np.eye(x.shape[1])
    slope: Floats = np.linalg.solve(gram, z.T @ (y - y.mean())) / scale
    return float(y.mean() - mean @ slope), slope


def _ridge_chosen(x: Floats, y: Floats) -> _Fit:
    """Choose the penalty on the later half, fitted on the earlier one, then fit all."""
    half = y.size // 2
    lost = []
    for penalty in _PENALTIES:
        constant, slope = ridge(x[:half], y[:half], penalty)
        lost.append(float(((y[half:] - constant - x[half:] @ slope) ** 2).sum()))
    constant, slope = ridge(x, y, _PENALTIES[int(np.argmin(lost))])
    return _Fit(constant, slope, x, slope)


def _integrated(x: Floats, y: Floats) -> _Fit:
    """Regress on the first principal component; its weights' absolute values add up to 1, their sum is above zero."""
    weight = np.linalg.eigh(np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1]))[1][:, -1]
    weight = weight / np.abs(weight).sum() * (1.0 if weight.sum() >= 0 else -1.0)
    along = _least_squares((x @ weight)[:, None], y)
    return _Fit(along.constant, along.slope[0] * weight, along.regressors, along.beta)


def newey_west(x: Floats, error: Floats, lags: int | None = None) -> Floats:
    """Return standard errors of a constant and the slopes that hold under autocorrelation and heteroskedasticity.

    ``lags`` None takes the whole part of ``4 (n / 100) ** (2 / 9)``.
    """
    n = error.size
    design = np.column_stack([np.ones(n), x])
    middle = long_run(design * error[:, None], lags_for(n) if lags is None else lags)
    bread = np.linalg.pinv(design.T @ design)
    errors: Floats = np.sqrt(np.maximum(np.diag(bread @ middle @ bread), 0.0))
    return errors


def table(rows: Sequence[Explained], title: str) -> str:
    """Return a Markdown table of what each model explains."""
    lines = [f"{title}, {rows[0].n:,} intervals", "", "| explained by | adjusted R² | out of sample | t (HAC) |"]
    lines.append("|---|---|---|---|")
    lines += [f"| {r.model} | {r.r2_adjusted:.3f} | {r.r2_out_of_sample:.3f} | {r.t_hac:.1f} |" for r in rows]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Print the tables of a file."""
    from tapebook.readers import open_tape

    if not arguments:
        raise ConfigurationError("nothing to read", expected="a file, then lengths of intervals in seconds")
    seconds = [float(x) for x in arguments[1:]] or [1.0, 10.0]
    tape = open_tape(arguments[0])
    for sample in intervals(tape, seconds=seconds):
        text = table(explain(sample), f"{tape.origin.name}, {sample.interval_s:g} s")
        sys.stdout.write(text + "\n\n")


if __name__ == "__main__":
    main(sys.argv[1:])
