"""Fit Stoikov's micro-price on a recording, and ask on another one which fair price was nearest to the mid to come.

The touch is put into states: the bid's share of both best sizes in buckets of equal weight, the spread in ticks. From
one change of the touch to the next a state x leads to a state y, either with the mid where it was (Q) or elsewhere
(T), moving on average by r. The expected first move of the mid is ``G1 = (I - Q)^-1 r``, the state after it
``B = (I - Q)^-1 T``, and the micro-price leans by ``G = sum of B^k G1``.

* B's rows add up to 1, so the sum converges only because up and down cancel: each observation is counted with its
  mirror image (bid and ask exchanged).
* A move of the mid counts for at most as many ticks as the table has spreads.
* A state seen fewer than ``visits_min`` times leans by nothing. Spreads beyond the table are left out of the fit.
* Never fit and use on one day: ``report`` takes another recording, or splits one by time and says so.

    python -m tapebook.research.microprice FIT_FILE [TEST_FILE] [--to TABLE.json]

Reference: Stoikov, S. (2018), The micro-price: a high-frequency estimator of future prices, Quantitative Finance 18:12.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.fair_prices import ImbalanceAdjusted, StoikovPrice
from tapebook.features.touch import TouchFeed
from tapebook.market.errors import DataQualityError
from tapebook.market.events import MISSING
from tapebook.market.tape import Tape
from tapebook.models.microprice import MicropriceTable

__all__ = ["Chain", "Nearness", "Touches", "chain", "converge", "fit", "fit_curve", "report", "touches"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_COLUMNS: Final = ("t_ns", "bid", "bid_lots", "ask", "ask_lots", "run")
_STALE_NS: Final = 60_000_000_000
_TERM_MIN: Final = 1e-6
_TERMS_MAX: Final = 100_000
_HORIZONS_S: Final = (1.0, 5.0, 10.0)
_SPREADS_MAX: Final = 8


@dataclass(frozen=True)
class Touches:
    """Two-sided touches with sizes, one after the other.

    Attributes
    ----------
    t_ns, bid, bid_lots, ask, ask_lots
        When each began to stand, and what stood.
    run
        Touches of different runs must not be compared: a session, a break or a one-sided touch lies between.
    """

    t_ns: Ints
    bid: Ints
    bid_lots: Ints
    ask: Ints
    ask_lots: Ints
    run: Ints
    tick_e9: int
    symbol: str = ""
    origin: str = ""

    @property
    def share(self) -> Floats:
        """The bid's share of both sizes."""
        share: Floats = self.bid_lots / (self.bid_lots + self.ask_lots)
        return share

    @property
    def spread_ticks(self) -> Ints:
        """The spread in whole ticks."""
        return (self.ask - self.bid) // self.tick_e9

    @property
    def mid_ticks(self) -> Floats:
        """The mid in ticks."""
        return (self.bid + self.ask) / (2 * self.tick_e9)

    def part(self, start: float, stop: float) -> Touches:
        """Return a part of it by time, as shares of its span."""
        first, last = int(self.t_ns[0]), int(self.t_ns[-1]) + 1
        a, b = (np.searchsorted(self.t_ns, first + x * (last - first)) for x in (start, stop))
        cut = slice(int(a), int(b))
        columns = {name: getattr(self, name)[cut] for name in _COLUMNS}
        return replace(self, **columns)


def touches(tape: Tape, instrument_id: int | None = None) -> Touches:
    """Return the touches of a recording while its market traded.

    Raises
    ------
    DataQualityError
        If it has none, or no tick.
    """
    if instrument_id is None:
        tape.instruments.only()
        instrument_id = next(iter(tape.instruments))
    instrument = tape.instruments[instrument_id]
    feed = TouchFeed(instrument, instrument_id)
    parts: list[Ints] = []
    before, runs = np.zeros((0, 7), np.int64), 0
    for block in tape.blocks():
        view = feed.see(block)
        touch = np.column_stack([view.bid_px, view.bid_sz, view.ask_px, view.ask_sz, view.thread])
        at = np.flatnonzero((touch[1:] != touch[:-1]).any(axis=1))
        rows = np.column_stack(
            [view.clock_ns[at], touch[at + 1], np.where(view.trading[at], view.session[at], MISSING)]
        )
        together = np.concatenate([before, rows])
        good = (together[:, 1] != MISSING) & (together[:, 3] != MISSING) & (together[:, 1] < together[:, 3])
        good &= (np.minimum(together[:, 2], together[:, 4]) >= 0) & (together[:, 2] + together[:, 4] > 0)
        good &= (together[:, 6] != MISSING) & (together[:, 0] != MISSING)
        breaks = np.zeros(together.shape[0], np.bool_)
        breaks[1:] = (together[1:, 5:] != together[:-1, 5:]).any(axis=1) | ~good[:-1]
        run = runs + np.cumsum(breaks)
        kept = good.copy()
        kept[: before.shape[0]] = False
        parts.append(np.column_stack([together[kept, :5], run[kept]]))
        if together.size:
            before, runs = together[-1:], int(run[-1])
    found = np.concatenate(parts) if parts else np.zeros((0, 6), np.int64)
    if not found.size or instrument.tick_e9 <= 0:
        raise DataQualityError(
            "nothing to fit a micro-price on",
            expected="two-sided touches with sizes and a tick",
            found=f"{found.shape[0]} touches, tick {instrument.tick}",
        )
    columns = {name: np.ascontiguousarray(found[:, j]) for j, name in enumerate(_COLUMNS)}
    return Touches(**columns, tick_e9=instrument.tick_e9, symbol=instrument.symbol, origin=tape.origin.name)


@dataclass(frozen=True)
class Chain:
    """What the states of a sample did: row-wise shares of where they went, and how far the mid moved."""

    edges: Floats
    q: Floats
    t: Floats
    r: Floats
    visits: Ints  # (M, n), mirror images counted once
    n_spreads: int


def chain(sample: Touches, *, n_buckets: int = 10, n_spreads: int = 2) -> Chain:
    """Count the states of a sample with their mirror images."""
    share, spread = sample.share, sample.spread_ticks
    known = (spread >= 1) & (spread <= n_spreads)
    if not known.any():
        raise DataQualityError("no spread that narrow", expected=f"1 to {n_spreads} ticks", found=str(spread.min()))
    both = np.concatenate([share[known], 1 - share[known]])
    edges = np.quantile(both, np.arange(1, n_buckets) / n_buckets)
    edges = (edges + 1 - edges[::-1]) / 2  # a mirror image of themselves, to the last digit
    edges = np.unique(edges[(edges > 0) & (edges < 1)])
    n = edges.size + 1
    bucket = np.searchsorted(edges, share, side="right")
    state = np.where(known, (spread - 1) * n + bucket, -1)
    mirror = np.where(known, (spread - 1) * n + (n - 1 - bucket), -1)
    pair = known[:-1] & known[1:] & (sample.run[1:] == sample.run[:-1])
    move = np.diff(sample.mid_ticks)
    stays = move == 0
    size = n * n_spreads
    counts = np.zeros((2, size, size))
    r = np.zeros(size)
    for of, sign in ((state, 1.0), (mirror, -1.0)):
        for which, chosen in ((0, pair & stays), (1, pair & ~stays)):
            np.add.at(counts[which], (of[:-1][chosen], of[1:][chosen]), 1.0)
        moved = pair & ~stays
        np.add.at(r, of[:-1][moved], sign * np.clip(move[moved], -n_spreads, n_spreads))
    visits = counts.sum(axis=(0, 2))
    per = np.maximum(visits, 1.0)
    return Chain(
        edges,
        counts[0] / per[:, None],
        counts[1] / per[:, None],
        r / per,
        (visits / 2).astype(np.int64).reshape(n_spreads, n),
        n_spreads,
    )


def converge(q: Floats, t: Floats, r: Floats) -> tuple[Floats, int]:
    """Return G and how many terms it took.

    Raises
    ------
    DataQualityError
        If the sum does not converge: the counts were not symmetrised, or a state never moves the mid.
    """
    rest = np.eye(r.size) - q
    solved: Floats = np.linalg.lstsq(rest, np.column_stack([r, t]), rcond=None)[0].astype(np.float64)
    term, b = solved[:, 0], solved[:, 1:]
    g = term.copy()
    for n in range(1, _TERMS_MAX):
        if np.abs(term).max() < _TERM_MIN:
            return g, n
        term = b @ term
        g += term
    raise DataQualityError(
        "the micro-price does not converge",
        expected=f"a term below {_TERM_MIN} ticks within {_TERMS_MAX} terms",
        found=f"{np.abs(term).max():.3g} ticks",
        remedy="use fewer buckets or a longer recording",
    )


def fit(sample: Touches, *, n_buckets: int = 10, n_spreads: int | None = None, visits_min: int = 30) -> MicropriceTable:
    """Fit a table.

    Parameters
    ----------
    n_buckets
        Buckets of the share.
    n_spreads
        Widest spread in ticks; None takes the one that nine tenths of the touches do not exceed, at most 8.
    visits_min
        A state seen less often leans by nothing.
    """
    if n_spreads is None:
        n_spreads = int(np.clip(np.quantile(sample.spread_ticks, 0.9), 1, _SPREADS_MAX))
    counted = chain(sample, n_buckets=n_buckets, n_spreads=n_spreads)
    g, _ = converge(counted.q, counted.t, counted.r)
    g = np.where(counted.visits.ravel() < visits_min, 0.0, g).reshape(counted.visits.shape)
    return MicropriceTable(counted.edges, g, counted.visits, sample.tick_e9, sample.symbol, sample.origin)


def fit_curve(sample: Touches, *, horizon_s: float = 5.0) -> tuple[float, float, float]:
    """Fit the odd curve of :class:`~tapebook.features.fair_prices.ImbalanceAdjusted` to the mid ``horizon_s`` later."""
    ahead = _mid_later(sample, horizon_s, sample.t_ns, np.arange(sample.t_ns.size))
    good = np.isfinite(ahead)
    z = 2 * sample.share[good] - 1
    move = (ahead[good] - sample.mid_ticks[good]) / sample.spread_ticks[good].clip(1)
    weight = sample.spread_ticks[good].clip(1)  # the error that counts is in ticks, not in spreads
    found = np.linalg.lstsq(np.column_stack([z, z**3, z**5]) * weight[:, None], move * weight, rcond=None)[0]
    c1, c3, c5 = found.tolist()
    return c1, c3, c5


def _mid_later(sample: Touches, horizon_s: float, at_ns: Ints, standing: Ints) -> Floats:
    """Return the mid in ticks a horizon after each moment; NaN where the run of what stands then ends before."""
    due = at_ns + round(horizon_s * 1e9)
    place = np.searchsorted(sample.t_ns, due, side="right") - 1
    known = (sample.run[place] == sample.run[standing]) & (due <= sample.t_ns[-1])
    return np.where(known, sample.mid_ticks[place], np.nan)


@dataclass(frozen=True)
class Nearness:
    """How near a fair price was to the mid to come.

    Attributes
    ----------
    rmse_ticks
        Root mean square of price less mid a horizon later.
    correlation
        Of the price's lean with the mid's move to come; NaN for the mid, which does not lean.
    """

    price: str
    horizon_s: float
    n: int
    rmse_ticks: float
    correlation: float


def report(
    table: MicropriceTable,
    test: Touches,
    *,
    curve: tuple[float, float, float] | None = None,
    horizons_s: Sequence[float] = _HORIZONS_S,
    every_s: float = 1.0,
) -> list[Nearness]:
    """Say how near mid, weighted mid, micro-price (and the curve) were to the mid to come, at every ``every_s``.

    What stands at a moment is the last touch before it, unless that has stood for more than a minute.
    """
    step = round(every_s * 1e9)
    grid = np.arange(int(test.t_ns[0]) // step + 1, int(test.t_ns[-1]) // step + 1) * step
    standing = np.searchsorted(test.t_ns, grid, side="right") - 1
    fresh = grid - test.t_ns[standing] <= _STALE_NS
    grid, standing = grid[fresh], standing[fresh]
    share, spread = test.share[standing], test.spread_ticks[standing].clip(1)
    row = np.minimum(spread, table.g_ticks.shape[0]) - 1
    leans = {
        "mid": np.zeros(grid.size),
        "weighted mid": (share - 0.5) * spread,
        "micro-price": table.g_ticks[row, np.searchsorted(table.edges, share, side="right")],
    }
    if curve is not None:
        z = 2 * share - 1
        leans["imbalance-adjusted"] = (curve[0] * z + curve[1] * z**3 + curve[2] * z**5) * spread
    rows = []
    for horizon_s in horizons_s:
        move = _mid_later(test, horizon_s, grid, standing) - test.mid_ticks[standing]
        good = np.isfinite(move)
        for name, lean in leans.items():
            error = move[good] - lean[good]
            still = name == "mid" or not lean[good].any() or not move[good].any()
            correlation = np.nan if still else float(np.corrcoef(lean[good], move[good])[0, 1])
            rows.append(Nearness(name, horizon_s, error.size, float(np.sqrt((error**2).mean())), correlation))
    return rows


def main(arguments: Sequence[str]) -> None:
    """Fit on a file, test on another one or on the second half."""
    from tapebook.readers import open_tape

    parser = argparse.ArgumentParser(prog="python -m tapebook.research.microprice")
    parser.add_argument("fit_file")
    parser.add_argument("test_file", nargs="?")
    parser.add_argument("--to", type=Path)
    given = parser.parse_args(arguments)
    whole = touches(open_tape(given.fit_file))
    train = whole if given.test_file else whole.part(0, 0.5)
    test = touches(open_tape(given.test_file)) if given.test_file else whole.part(0.5, 1)
    table = fit(train)
    curve = fit_curve(train)
    say = sys.stdout.write
    say(f"fitted on {train.t_ns.size:,} touches of {train.origin}, tested on {test.t_ns.size:,} of {test.origin}\n\n")
    say("| price | horizon, s | n | RMSE, ticks | correlation |\n|---|---|---|---|---|\n")
    for row in report(table, test, curve=curve):
        say(f"| {row.price} | {row.horizon_s:g} | {row.n:,} | {row.rmse_ticks:.4f} | {row.correlation:.3f} |\n")
    # What is printed here, the features compute: refuse to hand out a table or a curve that they would not take.
    StoikovPrice(table.tick_e9, table.as_dict())
    ImbalanceAdjusted(c1=curve[0], c3=curve[1], c5=curve[2])
    say(f"\ncurve: c1 {curve[0]:.4f}, c3 {curve[1]:.4f}, c5 {curve[2]:.4f}\n")
    if given.to is not None:
        table.save(given.to)


if __name__ == "__main__":
    main(sys.argv[1:])
