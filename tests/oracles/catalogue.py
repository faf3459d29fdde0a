"""The catalogue from its definitions: whole histories, lists, no state that is carried cleverly. Slow and obvious.

Clocks, sessions and trading hours are given (they have their own tests); the book is the oracle's.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapebook.kernels.touch import breaks
from tapebook.market.events import MISSING, Events, Flag, Kind, TradeCondition
from tapebook.market.instruments import Instrument
from tests.oracles.book import OracleBook
from tests.oracles.touches import ofi

NAN = math.nan
Row = dict[str, float]
Side = list[tuple[int, int | None]]  # price and size (None: not told), best first


@dataclass
class Bar:
    closed_ns: int
    mid: float
    volume: float
    flow: float
    notional: float


@dataclass
class Stretch:
    """What has been observed since things can be compared."""

    first_ns: int | None = None
    mids: list[tuple[int, float]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    interval: int | None = None  # of the bar that is open
    open_: bool = False
    prints: list[tuple[int, int, int]] = field(default_factory=list)  # price, lots, side, in the bar that is open
    first_traded: int | None = None  # the first bar in which something traded


def side_of(book: OracleBook, side: int, depth: int) -> Side:
    return [(p, None if q == MISSING else q) for p, q, _ in book.levels(side)[:depth]]


def is_two_sided(bids: Side, asks: Side) -> bool:
    return bool(bids) and bool(asks) and bids[0][0] < asks[0][0]


def ratio(a: float, b: float) -> float:
    return (a - b) / (a + b) if a + b > 0 else NAN


def book_columns(bids: Side, asks: Side, p: dict[str, Any]) -> Row:
    shape = ("weighted_mid", "imbalance", "weighted_imbalance", "book_pressure")
    names = ("mid", "micro_price", *shape, "spread", "relative_spread_bp")
    if not is_two_sided(bids, asks):
        return dict.fromkeys(names, NAN)
    b, a = bids[0][0] / 1e9, asks[0][0] / 1e9
    mid = (b + a) / 2
    row = dict.fromkeys(names, NAN) | {"mid": mid, "spread": a - b}
    if mid > 0:
        row["relative_spread_bp"] = 1e4 * (a - b) / mid
    qb, qa = bids[0][1], asks[0][1]
    if qb is not None and qa is not None:
        row["micro_price"] = (b * qa + a * qb) / (qa + qb)
    bids, asks = bids[: p["levels"]], asks[: p["levels"]]
    if any(q is None for _, q in bids + asks):
        return row
    qbs, qas = [float(q or 0) for _, q in bids], [float(q or 0) for _, q in asks]
    w = [p["decay"] ** i for i in range(p["levels"])]
    row["imbalance"] = ratio(sum(qbs), sum(qas))
    row["weighted_imbalance"] = ratio(
        sum(x * y for x, y in zip(w, qbs, strict=False)), sum(x * y for x, y in zip(w, qas, strict=False))
    )
    row["book_pressure"] = ratio(
        sum(q / (mid - x / 1e9) for (x, _), q in zip(bids, qbs, strict=True)),
        sum(q / (x / 1e9 - mid) for (x, _), q in zip(asks, qas, strict=True)),
    )
    row["weighted_mid"] = mid + (a - b) / 2 * row["imbalance"]
    if p["variant"] == "circulating":
        vb = sum(x / 1e9 * q for (x, _), q in zip(bids, qbs, strict=True)) / sum(qbs)
        va = sum(x / 1e9 * q for (x, _), q in zip(asks, qas, strict=True)) / sum(qas)
        row["weighted_mid"] = (vb * sum(qas) + va * sum(qbs)) / (sum(qas) + sum(qbs))
    return row


def level(side: Side, i: int) -> tuple[int | None, int | None]:
    return side[i] if i < len(side) else (None, 0)


def level_flow(old: tuple[Side, Side], new: tuple[Side, Side], i: int) -> float:
    touches = []
    for bids, asks in (old, new):
        (bp, bq), (ap, aq) = level(bids, i), level(asks, i)
        if bq is None or aq is None:
            return NAN
        touches.append((bp, bq, ap, aq))
    return float(ofi(*touches))


def motion(mids: list[tuple[int, float]], now_ns: int, half_life_s: float, tick: float) -> tuple[float, float]:
    """Velocity and acceleration by weighted least squares over the whole stretch, in long doubles."""
    tau = half_life_s / math.log(2)
    u = np.array([(t - now_ns) / 1e9 / tau for t, _ in mids], np.longdouble)
    y = np.array([(m - mids[0][1]) / tick for _, m in mids], np.longdouble)
    w = np.exp(u)
    s = [float((w * u**k).sum()) for k in range(5)]
    if now_ns - mids[0][0] < half_life_s * 1e9 or s[2] < 1e-2 * s[0]:
        return NAN, NAN
    normal = np.array([[s[0], s[1], s[2]], [s[1], s[2], s[3]], [s[2], s[3], s[4]]])
    if np.linalg.det(normal) < 1e-6 * s[0] * s[2] * s[4]:
        return NAN, NAN
    root = np.sqrt(w).astype(np.float64)
    powers = np.stack([u**0, u, u**2], axis=1).astype(np.float64)
    _, b, c = np.linalg.lstsq(powers * root[:, None], y.astype(np.float64) * root, rcond=None)[0]
    return b / tau, 2 * c / tau**2


def intensities(orders: list[tuple[int, int]], now_ns: int, p: dict[str, Any]) -> Row:
    """Sums over all orders (time, 0 bought or 1 sold) of the session."""
    names = ("hawkes_buy_per_s", "hawkes_sell_per_s", "hawkes_ratio", "hawkes_self_excitation")
    if not orders or now_ns - orders[0][0] < p["hawkes_baseline_half_life_s"] * 1e9:
        return dict.fromkeys(names, NAN)
    beta, fading = math.log(2) / p["hawkes_half_life_s"], math.log(2) / p["hawkes_baseline_half_life_s"]
    own, other = p["hawkes_self_children"], p["hawkes_cross_children"]
    age = [((now_ns - t) / 1e9, kind) for t, kind in orders]
    window = (1 - math.exp(-fading * age[0][0])) / fading
    base = [(1 - own - other) * sum(math.exp(-fading * x) for x, kind in age if kind == i) / window for i in (0, 1)]
    raised = [sum((own if kind == i else other) * beta * math.exp(-beta * x) for x, kind in age) for i in (0, 1)]
    buy, sell = base[0] + raised[0], base[1] + raised[1]
    floor = p["hawkes_rate_floor_per_s"]
    return dict(zip(names, (buy, sell, max(buy, floor) / max(sell, floor), 1 - sum(base) / (buy + sell)), strict=True))


def log_ratio(a: float, b: float) -> float:
    return math.log(a / b) if a > 0 and b > 0 else NAN


def ema(x: list[float], n: int) -> list[float]:
    """Seeded with the mean of the first ``n``."""
    out = [NAN] * (n - 1) + [sum(x[:n]) / n] if len(x) >= n else [NAN] * len(x)
    for value in x[n:]:
        out.append(out[-1] + 2 / (n + 1) * (value - out[-1]))
    return out


def rsi(x: list[float], n: int) -> float:
    moves = [b - a for a, b in itertools.pairwise(x)]
    if len(moves) < n:
        return NAN
    up, down = sum(max(d, 0) for d in moves[:n]) / n, sum(max(-d, 0) for d in moves[:n]) / n
    for d in moves[n:]:
        up, down = (up * (n - 1) + max(d, 0)) / n, (down * (n - 1) + max(-d, 0)) / n
    return 100 * up / (up + down) if up + down > 0 else NAN


def sampled(stretch: Stretch, reference: float, weights: list[float], p: dict[str, Any]) -> Row:
    """The columns of the bar clock after the last bar."""
    bars = stretch.bars
    x = [bar.mid for bar in bars]
    r = [log_ratio(b, a) for a, b in itertools.pairwise(x)]
    n = p["volatility_bars"]
    row = dict.fromkeys(("realised_volatility_bp", "kyle_lambda", "amihud"), NAN)
    if len(r) >= n:
        elapsed_s = (bars[-1].closed_ns - bars[-1 - n].closed_ns) / 1e9
        if elapsed_s > 0:
            row["realised_volatility_bp"] = 1e4 * math.sqrt(sum(v * v for v in r[-n:]) / elapsed_s)
    first = stretch.first_traded
    if first is not None:
        since = range(max(first, 1), len(bars))  # bars with a change of the mid
        flows = np.array([bars[i].flow for i in since])
        change = np.array([x[i] - x[i - 1] for i in since])
        half_life = p["kyle_half_life_bars"]
        if len(flows) >= math.ceil(half_life):
            w = 0.5 ** (np.arange(len(flows))[::-1] / half_life)
            w /= w.sum()
            fx, fy = flows - (w * flows).sum(), change - (w * change).sum()
            if (w * fx * fx).sum() > 1e-9:
                row["kyle_lambda"] = (w * fx * fy).sum() / (w * fx * fx).sum()
        n = p["amihud_bars"]
        if len(since) >= n:
            last = [i for i in since[-n:] if bars[i].notional > 0 and not math.isnan(r[i - 1])]
            if last:
                row["amihud"] = sum(abs(r[i - 1]) / (bars[i].notional / 1e6) for i in last) / len(last)
    logs = [log_ratio(v, reference) for v in x]
    volumes = [] if first is None else [bar.volume for bar in bars[first:]]
    for name, series in (("fracdiff_log_price", logs), ("fracdiff_volume_lots", volumes)):
        row[name] = NAN
        if len(series) >= len(weights):
            row[name] = sum(w * v for w, v in zip(weights, reversed(series), strict=False))
    row["rsi_14"] = rsi(x, p["rsi_length"])
    fast, slow = p["macd_fast"], p["macd_slow"]
    slow_ema = ema(x, slow)
    fast_ema = [NAN] * (slow - fast) + ema(x[slow - fast :], fast)  # both begin at the same bar
    macd = [f - s for f, s in zip(fast_ema, slow_ema, strict=False)]
    row["macd"] = macd[-1]
    row["macd_signal"] = ([NAN] * (slow - 1) + ema(macd[slow - 1 :], p["macd_smooth"]))[len(x) - 1]
    n = p["bollinger_length"]
    row["bollinger_position"] = NAN
    if len(x) >= n and len(set(x[-n:])) > 1:
        mean, sd = float(np.mean(x[-n:])), float(np.std(x[-n:]))
        width = p["bollinger_width"] * sd
        row["bollinger_position"] = (x[-1] - (mean - width)) / (2 * width)
    return row


def difference_weights(order: float, threshold: float) -> list[float]:
    w = [1.0]
    while True:
        k = len(w)
        following = -w[-1] * (order - k + 1) / k
        if abs(following) < threshold:
            return w
        w.append(following)


def is_order(e: Any) -> bool:
    return bool(
        e["kind"] == Kind.TRADE
        and e["price"] != MISSING
        and e["qty_lots"] > 0
        and e["detail"] not in (TradeCondition.CROSS, TradeCondition.OFF_BOOK)
    )


class Catalogue:
    """Goes through events one by one and keeps everything it has seen."""

    def __init__(self, instrument: Instrument, p: dict[str, Any]) -> None:
        self.p, self.instrument = p, instrument
        self.tick = instrument.tick_e9 / 1e9
        self.lot_value = float(instrument.lot * instrument.multiplier)
        self.book = OracleBook()
        self.bids: Side = []
        self.asks: Side = []
        self.thread, self.breaking, self.reach = 0, False, 0
        self.armed: int | None = None  # the thread in which the touch can be compared
        self.session: int | None = None
        self.reference: tuple[int | None, float] = (None, NAN)
        self.orders: list[tuple[int, int]] = []
        self.order: tuple[int, int] | None = None  # stamp and side of the last print
        self.weights = difference_weights(p["fracdiff_order"], p["fracdiff_threshold"])
        self.stretch = Stretch()
        self.held = self.undefined()
        self.moving = (NAN, NAN)
        self.step = round(p["bar_s"] * 1e9)

    def undefined(self) -> Row:
        names = "realised_volatility_bp kyle_lambda amihud fracdiff_log_price fracdiff_volume_lots rsi_14 macd"
        return dict.fromkeys((*names.split(), "macd_signal", "bollinger_position"), NAN)

    def restart(self) -> None:
        self.stretch, self.held, self.moving = Stretch(), self.undefined(), (NAN, NAN)

    def close(self, at_ns: int) -> None:
        s = self.stretch
        volume = sum(float(q) for _, q, _ in s.prints)
        flow = sum(float(side) * q for _, q, side in s.prints)
        worth = (lambda _: 1.0) if self.instrument.inverse else (lambda price: price / 1e9)
        notional = sum(worth(price) * q for price, q, _ in s.prints) * self.lot_value
        s.bars.append(Bar(at_ns, self.last_mid, volume, flow, notional))
        if s.prints and s.first_traded is None:
            s.first_traded = len(s.bars) - 1
        s.prints = []
        self.held = sampled(s, self.reference[1], self.weights, self.p)

    def open(self, t: int, session: int, *, valid: bool) -> None:
        s = self.stretch
        if s.open_ or not valid or t == MISSING:
            return
        s.open_, s.interval = True, t // self.step
        if self.reference[0] != session:
            self.reference = (session, self.last_mid)

    def pass_time(self, t: int) -> None:
        s = self.stretch
        if not s.open_ or self.p["bar_trades"]:
            return
        assert s.interval is not None
        passed = t // self.step - s.interval
        if passed - 1 > self.p["pause_bars_max"] or passed < 0:
            self.restart()
            return
        for _ in range(passed):
            s.interval += 1
            self.close(s.interval * self.step)

    def advance(self, e: Any, t: int, session: int, *, trading: bool) -> Row:
        p = self.p
        valid = trading and is_two_sided(self.bids, self.asks)
        if session != self.session:
            self.restart()
            self.orders = []
            self.session = session
        if valid:
            self.last_mid = (self.bids[0][0] + self.asks[0][0]) / 2e9
        self.pass_time(t)
        self.open(t, session, valid=valid)
        if is_order(e):
            if e["side"] != 0:
                stamp, side = int(e["ts_event_ns"]), int(e["side"])
                merged = self.order is not None and self.order[1] == side and 0 <= self.order[0] == stamp
                self.order = (stamp, side)
                if not merged:
                    self.orders.append((t, 0 if side > 0 else 1))
            if self.stretch.open_:
                if p["bar_trades"] and len(self.stretch.prints) == p["bar_trades"]:
                    self.close(t)
                self.stretch.prints.append((int(e["price"]), int(e["qty_lots"]), int(e["side"])))
        flows = self.observe(e, trading=trading)
        valid = trading and is_two_sided(self.bids, self.asks)
        columns = book_columns(self.bids if trading else [], self.asks, p)
        if not valid:
            self.moving = (NAN, NAN)
        else:
            self.last_mid = (self.bids[0][0] + self.asks[0][0]) / 2e9
            if int(e["flags"]) & Flag.LAST and t != MISSING:
                self.stretch.mids.append((t, self.last_mid))
                self.moving = motion(self.stretch.mids, t, p["velocity_half_life_s"], self.tick)
        self.open(t, session, valid=valid)
        columns |= flows | self.held | intensities(self.orders, t, p)
        columns["price_velocity"], columns["price_acceleration"] = self.moving
        return columns

    def observe(self, e: Any, *, trading: bool) -> Row:
        """Let the book take the event; return the flow between the view before and the one after."""
        old = (self.bids, self.asks)
        self.book.apply(e)
        self.breaking |= bool(breaks(int(e["kind"]), int(e["flags"]), int(e["detail"])))
        before = self.thread
        if int(e["flags"]) & Flag.LAST:
            depth = max(5, self.p["levels"])
            self.bids, self.asks = side_of(self.book, 1, depth), side_of(self.book, -1, depth)
            self.thread += self.breaking
            self.breaking = False
        new = (self.bids, self.asks)
        if self.thread != before:
            self.restart()
        if new == old and self.thread == before:
            calm = 0.0 if self.armed is not None else NAN
            return {f"ofi_{n}": calm if self.reach >= n or n == 1 else NAN for n in (1, 2, 3, 5)}
        self.reach = max(self.reach, len(self.bids), len(self.asks))
        defined = trading and self.armed == self.thread
        if [s[:1] for s in new] != [s[:1] for s in old] or self.thread != before:
            known = all(q is not None for side in new for _, q in side[:1])
            crossed = bool(self.bids) and bool(self.asks) and self.bids[0][0] >= self.asks[0][0]
            good = trading and known and not crossed and bool(self.bids or self.asks)
            self.armed = self.thread if good else None
            defined = defined and good
        row: Row = {}
        for n in (1, 2, 3, 5):
            told = defined and (n == 1 or self.reach >= n)
            row[f"ofi_{n}"] = sum(level_flow(old, new, i) for i in range(n)) if told else NAN
        return row


def catalogue_rows(
    events: Events, clock_ns: Any, session: Any, trading: Any, instrument: Instrument, p: dict[str, Any]
) -> list[Row]:
    oracle = Catalogue(instrument, p)
    return [
        oracle.advance(e, int(t), int(s), trading=bool(open_))
        for e, t, s, open_ in zip(events, clock_ns, session, trading, strict=True)
    ]
