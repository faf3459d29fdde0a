"""Which of several prices of one thing moves first, and whose news stays: shares of price discovery, and lead and lag.

Two views. *Shares*: prices of one thing cannot part for long, so they follow a vector error-correction model
(:func:`shares`); a price that does not correct itself towards the others is where news arrives.

=========================  ===========================================================================================
component share            of each price's own moves in the common price (Gonzalo and Granger 1995): ``alpha_perp``
information share          of the common price's *variance* (Hasbrouck 1995); depends on the order of the prices where
                           their shocks are correlated: lowest, highest and middle over all orders
modified information share the same with the correlation's symmetric root: one number (Lien and Shrestha 2009)
leadership share           information share cleaned of noise by the component share; two prices only (Yan and Zivot
                           2010, Putnins 2013)
=========================  ===========================================================================================

*Lead and lag*: the correlation of asynchronous moves (Hayashi and Yoshida 2005, no grid) at a range of lags
(:func:`lead_lag`; Hoffmann, Rosenbaum and Yoshida 2013, Huth and Abergel 2014).

Both compare stamps of different clocks. A skew between the clocks moves the peak by as much, and shares by a lot once
it is near the step of the grid. Use one clock (one machine's receive stamps, then network paths are in the result) or
say which: every result carries the words of its caller.

Other references: Johansen 1991; Bakker and Zheng 2019 (standard errors); Hasbrouck 2021 (fine grids).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.touch import TouchFeed
from tapebook.kernels.hayashi_yoshida import hayashi_yoshida
from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.market.events import MISSING, Flag, Kind
from tapebook.market.tape import Tape
from tapebook.research.threads import one_thread

__all__ = ["LeadLag", "Mids", "Shares", "covariance", "lead_lag", "mids_of", "on_grid", "shares"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PRICES_MAX: Final = 6  # 720 orders
_NOT_INFO: Final = np.uint16(~int(Flag.INFO) & 0xFFFF)


@dataclass(frozen=True, kw_only=True)
class Mids:
    """A mid price and when it changed.

    Attributes
    ----------
    ts_ns
        Strictly ascending: of several changes at one stamp the last is kept.
    mid
        In price.
    clock
        ``event``: the venue's stamps; ``receive``: ours.
    """

    ts_ns: Ints
    mid: Floats
    symbol: str
    venue: str
    clock: str


def mids_of(tape: Tape, *, clock: str = "receive", quotes_only: bool = False) -> Mids:
    """Return the changes of the mid of the tape's commonest instrument, while it is two-sided.

    Parameters
    ----------
    clock
        ``receive`` or ``event``.
    quotes_only
        Take the venue's best-price messages alone: where a feed sends the book's changes only every so often, they are
        the faster source.

    Raises
    ------
    DataQualityError
        If the tape lacks these stamps, or has no two-sided quote.
    """
    if clock not in ("event", "receive"):
        raise ConfigurationError("no such clock", expected="event or receive", found=clock)
    events = tape.events()
    if quotes_only:
        events = events[events["kind"] == Kind.QUOTE]
        events["flags"] &= _NOT_INFO  # a copy: these quotes are the book here
    if events.size == 0:
        raise DataQualityError("no quotes on this tape", where=tape.origin.name)
    ids, counts = np.unique(events["instrument_id"], return_counts=True)
    which = int(ids[counts.argmax()])
    instrument = tape.instruments[which]
    view = TouchFeed(instrument, which).see(events)
    stamps = view.events["ts_recv_ns" if clock == "receive" else "ts_event_ns"]
    good = (view.bid_px[1:] != MISSING) & (view.ask_px[1:] != MISSING) & (view.bid_px[1:] < view.ask_px[1:])
    if (stamps[good] == MISSING).any() or not good.any():
        raise DataQualityError(
            f"no {clock} times for its quotes" if good.any() else "never two-sided",
            where=tape.origin.name,
            remedy="use the other clock",
        )
    ts_ns, twice = np.maximum.accumulate(stamps[good]), (view.bid_px[1:] + view.ask_px[1:])[good]
    last = np.append(ts_ns[1:] != ts_ns[:-1], True)
    ts_ns, twice = ts_ns[last], twice[last]
    moved = np.append(True, twice[1:] != twice[:-1])
    return Mids(
        ts_ns=ts_ns[moved], mid=twice[moved] / 2e9, symbol=instrument.symbol, venue=instrument.venue, clock=clock
    )


def on_grid(mids: Sequence[Mids], step_s: float) -> Floats:
    """Return the mids that stood at each step of the time all of them cover, shape (steps, prices)."""
    start, end = max(int(m.ts_ns[0]) for m in mids), min(int(m.ts_ns[-1]) for m in mids)
    step = round(step_s * 1e9)
    if step < 1 or end - start < step:
        raise ConfigurationError("no grid fits", expected="a step shorter than the common time", found=f"{step_s} s")
    at = np.arange(start, end + 1, step)
    return np.column_stack([m.mid[np.searchsorted(m.ts_ns, at, side="right") - 1] for m in mids])


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Shares of price discovery, one of each for each price; each kind adds up to 1.

    Attributes
    ----------
    component, component_se
        Gonzalo and Granger's, with the standard error that the error of alpha gives them (White's).
    information_low, information_high, information_mid
        Hasbrouck's over all orders of the prices; ``mid`` is the mean of low and high, normalised.
    information_modified
        Lien and Shrestha's.
    leadership
        Putnins'; NaN unless there are two prices.
    alpha, alpha_t
        Speeds of error correction (prices, prices - 1) towards ``p_1 - p_j``, and their t-statistics.
    shock_correlation
        Of the residuals: near 0 the orders agree, near 1 they say nothing.
    n, lags, note
        Rows of the regression, lags of moves in it, and the caller's words (clock, step).
    """

    names: tuple[str, ...]
    component: Floats
    component_se: Floats
    information_low: Floats
    information_high: Floats
    information_mid: Floats
    information_modified: Floats
    leadership: Floats
    alpha: Floats
    alpha_t: Floats
    shock_correlation: Floats
    n: int
    lags: int
    note: str

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each price."""
        names = ["component", "component_se", "information_low", "information_high", "information_mid"]
        names += ["information_modified", "leadership"]
        return [{"price": p} | {k: float(getattr(self, k)[i]) for k in names} for i, p in enumerate(self.names)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers."""
        more = {k: getattr(self, k).tolist() for k in ("alpha", "alpha_t", "shock_correlation")}
        return {"shares": self.table(), "n": self.n, "lags": self.lags, "note": self.note} | more


@one_thread()
def shares(prices: Floats, *, lags: int = 10, names: Sequence[str] = (), note: str = "") -> Shares:
    """Fit the error-correction model and return the shares.

    ``dp_t = c + alpha (p_1 - p_2, p_1 - p_3, ...)_{t-1} + sum of Gamma_i dp_{t-i} + e_t``, by least squares. The
    cointegrating vectors are known (these are prices of one thing), the constant takes up a steady basis.

    Parameters
    ----------
    prices
        Levels, one unit, shape (steps, prices): logarithms, or prices of like size.
    lags
        Of moves: enough to cover how long an answer takes, in steps.

    Raises
    ------
    ConfigurationError
        If there are fewer than two prices, or too few rows for the lags.
    DataQualityError
        If a price never moves, or two move as one.
    """
    p = np.asarray(prices, np.float64)
    k = p.shape[1] if p.ndim == 2 else 0
    n = p.shape[0] - 1 - lags
    width = k + k * lags  # constant and k - 1 errors, k moves a lag
    if not (2 <= k <= _PRICES_MAX and lags >= 0 and n > 2 * width):
        raise ConfigurationError(
            "no error-correction model of this",
            expected=f"2 to {_PRICES_MAX} prices and more than {2 * width + lags + 1} rows",
            found=f"shape {p.shape}, {lags} lags",
        )
    moves = np.diff(p, axis=0)
    target = moves[lags:]
    errors = p[lags:-1, :1] - p[lags:-1, 1:]
    past = [moves[lags - i : moves.shape[0] - i] for i in range(1, lags + 1)]
    x = np.hstack([errors - errors.mean(axis=0), np.ones((n, 1)), *past])
    if np.linalg.matrix_rank(target) < k or np.linalg.matrix_rank(x) < x.shape[1]:
        raise DataQualityError("a price never moves, or two move as one", remedy="a wider step, or fewer lags")
    beta, *_ = np.linalg.lstsq(x, target, rcond=None)
    residual = target - x @ beta
    alpha = beta[: k - 1].T
    omega = residual.T @ residual / (n - x.shape[1])
    inverse = np.linalg.inv(x.T @ x)[: k - 1]
    score = (inverse @ x.T)[:, None, :] * residual.T[None, :, :]  # (errors, prices, rows)
    spread = score.reshape(-1, n)
    variance = spread @ spread.T  # White's, of alpha by (error, price)
    alpha_se = np.sqrt(np.diag(variance)).reshape(k - 1, k).T
    component = _common(alpha)
    gradient = _gradient(alpha)
    component_se = np.sqrt(np.maximum(np.einsum("ia,ab,ib->i", gradient, variance, gradient), 0.0))
    low, high = _bounds(component, omega)
    middle = (low + high) / 2
    return Shares(
        names=tuple(names) or tuple(f"p{i + 1}" for i in range(k)),
        component=component,
        component_se=component_se,
        information_low=low,
        information_high=high,
        information_mid=middle / middle.sum(),
        information_modified=_modified(component, omega),
        leadership=_leadership(component, middle / middle.sum()),
        alpha=alpha,
        alpha_t=alpha / alpha_se,
        shock_correlation=_correlation(omega),
        n=n,
        lags=lags,
        note=note,
    )


def _common(alpha: Floats) -> Floats:
    """Return what is orthogonal to alpha, adding up to 1: how the common price is made of the prices."""
    left, _, _ = np.linalg.svd(alpha)
    psi = left[:, -1]
    return np.asarray(psi / psi.sum(), np.float64)


def _gradient(alpha: Floats) -> Floats:
    """Return how the component shares move with alpha, (prices, errors x prices), by central differences."""
    columns = []
    for j in range(alpha.shape[1]):
        for i in range(alpha.shape[0]):
            step = np.zeros_like(alpha)
            step[i, j] = 1e-6 * max(float(np.abs(alpha).max()), 1e-12)
            columns.append((_common(alpha + step) - _common(alpha - step)) / (2 * step[i, j]))
    return np.column_stack(columns)


def _bounds(psi: Floats, omega: Floats) -> tuple[Floats, Floats]:
    """Return each price's lowest and highest information share over all orders."""
    found = []
    total = float(psi @ omega @ psi)
    for order in permutations(range(psi.size)):
        at = np.array(order)
        factor = np.linalg.cholesky(omega[np.ix_(at, at)])
        part = np.empty(psi.size)
        part[at] = (psi[at] @ factor) ** 2 / total
        found.append(part)
    every = np.array(found)
    return every.min(axis=0), every.max(axis=0)


def _modified(psi: Floats, omega: Floats) -> Floats:
    sd = np.sqrt(np.diag(omega))
    values, vectors = np.linalg.eigh(_correlation(omega))
    factor = sd[:, None] * (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return np.asarray((psi @ factor) ** 2 / float(psi @ omega @ psi), np.float64)


def _leadership(component: Floats, information: Floats) -> Floats:
    if component.size != 2:
        return np.full(component.size, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        b = abs(information[0] * component[1] / (information[1] * component[0]))
        first = 1.0 / (1.0 + 1.0 / b**2)  # b1 / (b1 + b2) with b2 = 1 / b1
    return np.array([first, 1.0 - first])


def _correlation(omega: Floats) -> Floats:
    sd = np.sqrt(np.diag(omega))
    return np.asarray(omega / np.outer(sd, sd), np.float64)


def covariance(a: Mids, b: Mids, lags_s: Sequence[float] | Floats = (0.0,)) -> Floats:
    """Return the Hayashi-Yoshida covariance of moves of ``a`` with moves of ``b`` that come ``lag`` seconds later.

    A lag of ``h`` is a shift of b's stamps by ``-h``.
    """
    shift = np.array([-round(h * 1e9) for h in lags_s], np.int64)
    out = np.empty(shift.size)
    hayashi_yoshida(a.ts_ns, a.mid, b.ts_ns, b.mid, shift, out)
    return out


@dataclass(frozen=True, kw_only=True)
class LeadLag:
    """Correlation of two prices by lag.

    Attributes
    ----------
    lags_s, correlation
        Of a's moves with b's moves that come so much later: a peak above 0 means that ``a`` leads.
    peak_s, peak_correlation
        Where the correlation is largest in size.
    ratio
        Sum of squared correlations at lags above 0 over those below: above 1, ``a`` leads. NaN where those below are 0.
    noise
        Root mean square of the correlation at 100 lags five to ten times as far as the scan, where nothing is left to
        find: a peak has to stand well above it. NaN where the common time is too short for that.
    """

    a: str
    b: str
    lags_s: Floats
    correlation: Floats
    peak_s: float
    peak_correlation: float
    ratio: float
    noise: float
    note: str

    def table(self) -> list[dict[str, float]]:
        """Return a row for each lag."""
        rows = zip(self.lags_s.tolist(), self.correlation.tolist(), strict=True)
        return [{"lag_s": h, "correlation": r} for h, r in rows]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers."""
        names = ("a", "b", "peak_s", "peak_correlation", "ratio", "noise", "note")
        return {name: getattr(self, name) for name in names} | {"scan": self.table()}


def lead_lag(a: Mids, b: Mids, lags_s: Sequence[float] | Floats, *, note: str = "") -> LeadLag:
    """Scan the correlation of two prices over lags; a symmetric grid of lags makes the ratio fair.

    Both are cut to the time that both cover. Correlations are over the square root of both realised variances, at the
    finest scale: noise in the mids lowers them all alike, and mids that go one way in many small steps raise them, even
    above 1. Compare lags, not levels.

    Raises
    ------
    DataQualityError
        If one of them does not move in the common time.
    """
    start, end = max(a.ts_ns[0], b.ts_ns[0]), min(a.ts_ns[-1], b.ts_ns[-1])
    cut = [Mids(**(vars(m) | _within(m, int(start), int(end)))) for m in (a, b)]
    variances = [float((np.diff(m.mid) ** 2).sum()) for m in cut]
    if min(variances) <= 0:
        raise DataQualityError("a price does not move in the common time", where=f"{a.symbol}, {b.symbol}")
    lags = np.asarray(lags_s, np.float64)
    scale = float(np.sqrt(variances[0] * variances[1]))
    rho = covariance(cut[0], cut[1], lags) / scale
    far = float(np.abs(lags).max()) * np.concatenate([-np.linspace(5, 10, 50), np.linspace(5, 10, 50)])
    measurable = 0 < 2e9 * float(far.max()) < end - start
    noise = float(np.sqrt(np.mean((covariance(cut[0], cut[1], far) / scale) ** 2))) if measurable else float("nan")
    peak = int(np.abs(rho).argmax())
    after, before = float((rho[lags > 0] ** 2).sum()), float((rho[lags < 0] ** 2).sum())
    return LeadLag(
        a=f"{a.venue} {a.symbol}",
        b=f"{b.venue} {b.symbol}",
        lags_s=lags,
        correlation=rho,
        peak_s=float(lags[peak]),
        peak_correlation=float(rho[peak]),
        ratio=after / before if before > 0 else float("nan"),
        noise=noise,
        note=note,
    )


def _within(m: Mids, start: int, end: int) -> dict[str, Any]:
    inside = (m.ts_ns >= start) & (m.ts_ns <= end)
    return {"ts_ns": m.ts_ns[inside], "mid": m.mid[inside]}
