"""The catalogue: 27 features of book and tape in one pass, a row for every event, in research as live.

What each column means: :mod:`tapebook.features.catalogue_columns` and docs/catalogue.md. Two sorts of columns:

* of the moment: mid to spread, velocity and acceleration, Hawkes intensities. They are NaN while the touch is
  one-sided, locked or crossed, or the market does not trade (the intensities go on). The flows (``ofi_...``) belong to
  the row at which the view changed; in other rows they are 0, so that rows add up.
* sampled on a bar clock: volatility, Kyle's lambda, Amihud's measure, fractional differences, indicators. They hold
  between bars.

The bar clock
-------------
A bar is an interval of ``bar_s`` on the steady clock, aligned to it, or ``bar_trades`` prints. It is closed by the
first event at or past its end (the first print after its last), *before* that event is folded, with the last mid that
could be observed. An interval without events carries the mid: a return and a volume of zero. Bars begin with the first
observable mid; a new session, a broken thread (a cleared book, a snapshot, a gap, a stop of trading) or a pause of more
than ``pause_bars_max`` intervals begins them anew, with their warm-up. Crosses and off-book prints are in no bar;
prints without an aggressor count in the volume, not in the signed lots.
"""

from __future__ import annotations

import math
from typing import ClassVar, Final

import numpy as np

from tapebook.book.memory import Memory as Book
from tapebook.features.catalogue_clock import BlockClock
from tapebook.features.catalogue_columns import COLUMNS
from tapebook.features.fracdiff import fracdiff_weights
from tapebook.features.hawkes import HawkesIntensity
from tapebook.features.touch import QUOTED
from tapebook.kernels import catalogue as kernel
from tapebook.kernels import catalogue_state as places
from tapebook.kernels.book_levels import SEEN_N, fold_levels
from tapebook.kernels.book_state import NEED, NOTHING
from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.market.events import MISSING, PRICE_SCALE, Events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Rows, State, check_state, register

__all__ = ["COLUMNS", "VARIANTS", "Catalogue"]

VARIANTS: Final = ("literature", "circulating")
"""Forms of the weighted mid."""

_NAMES: Final = tuple(column.name for column in COLUMNS)
_PIECE: Final = 4096
"""Events between the two passes: their views fit into the cache (measured: 2,048 to 8,192 are alike)."""
_LENGTH_MAX: Final = 1_000_000
_LEVELS_MAX: Final = 50
_WEIGHTS_MAX: Final = 100_000


class Catalogue:
    """27 features, a row for every event.

    Parameters
    ----------
    instrument, instrument_id
        Whose events to look at.
    levels
        Depth of imbalance, weighted imbalance, book pressure and weighted mid.
    decay
        What a level counts in the weighted imbalance, beside the level before it: above 0, at most 1.
    variant
        Of the weighted mid: "literature" is the mid leaning by the imbalance; "circulating" weights each side's mean
        price by the other side's size, and may lie outside the touch.
    velocity_half_life_s
        How long the parabola behind velocity and acceleration remembers.
    hawkes_half_life_s, hawkes_self_children, hawkes_cross_children, hawkes_baseline_half_life_s
        As in :class:`~tapebook.features.hawkes.HawkesIntensity`.
    hawkes_rate_floor_per_s, hawkes_merge_ns
        As there.
    bar_s
        Length of a bar in seconds.
    bar_trades
        Prints in a bar; above zero they make the clock, and ``bar_s`` does not count.
    pause_bars_max
        How many intervals without events are carried over at most.
    volatility_bars, amihud_bars
        Windows of realised volatility and Amihud's measure.
    kyle_half_life_bars
        How long the regression behind Kyle's lambda remembers.
    fracdiff_order, fracdiff_threshold
        Order of differencing, and the weight below which the window ends (0.4 and 1e-4: 282 bars).
    rsi_length, macd_fast, macd_slow, macd_smooth, bollinger_length, bollinger_width
        Of the indicators, in bars; ``macd_smooth`` is the signal's length, ``bollinger_width`` counts deviations.
    hours
        Whether the timetable of the instrument's calendar says when the market trades; False leaves that to the venue.

    Raises
    ------
    ConfigurationError
        If a parameter is out of its range.

    References
    ----------
    Each column's source stands in docs/catalogue.md.

    Examples
    --------
    >>> from tapebook.market.events import Flag, Kind, empty_events
    >>> e = empty_events(4)
    >>> e["kind"], e["flags"], e["side"], e["instrument_id"] = Kind.QUOTE, [0, 1, 0, 1], [1, -1, 1, -1], 1
    >>> e["price"] = [99 * 10**9, 101 * 10**9, 99 * 10**9, 101 * 10**9]
    >>> e["qty_lots"], e["ts_event_ns"] = [5, 7, 9, 7], [10, 10, 20, 20]
    >>> rows = Catalogue(Instrument(symbol="X", venue="Y"), 1).advance(e)
    >>> rows["mid"].tolist(), rows["imbalance"].tolist()[3], rows["ofi_1"].tolist()
    ([nan, 100.0, 100.0, 100.0], 0.125, [nan, nan, 0.0, 4.0])
    """

    row_for_each_event: ClassVar[bool] = True
    """Tables that sample it need not ask which event a row is of."""

    def __init__(
        self,
        instrument: Instrument,
        instrument_id: int,
        *,
        levels: int = 5,
        decay: float = 0.5,
        variant: str = "literature",
        velocity_half_life_s: float = 2.0,
        hawkes_half_life_s: float = 2.0,
        hawkes_self_children: float = 0.5,
        hawkes_cross_children: float = 0.1,
        hawkes_baseline_half_life_s: float = 300.0,
        hawkes_rate_floor_per_s: float = 1e-3,
        hawkes_merge_ns: int = 0,
        bar_s: float = 1.0,
        bar_trades: int = 0,
        pause_bars_max: int = 3600,
        volatility_bars: int = 300,
        amihud_bars: int = 300,
        kyle_half_life_bars: float = 300.0,
        fracdiff_order: float = 0.4,
        fracdiff_threshold: float = 1e-4,
        rsi_length: int = 14,
        macd_fast: int = 12,
        macd_slow: int = 26,
        macd_smooth: int = 9,
        bollinger_length: int = 20,
        bollinger_width: float = 2.0,
        hours: bool = True,
    ) -> None:
        counts = {
            "volatility_bars": volatility_bars,
            "amihud_bars": amihud_bars,
            "rsi_length": rsi_length,
            "macd_fast": macd_fast,
            "macd_slow": macd_slow,
            "macd_smooth": macd_smooth,
        }
        for name, value in counts.items():
            _within(name, value, 1, _LENGTH_MAX)
        _within("levels", levels, 1, _LEVELS_MAX)
        _within("decay", decay, 1e-9, 1.0)
        _within("velocity_half_life_s", velocity_half_life_s, 1e-6, 1e6)
        _within("bar_s", bar_s, 1e-6, 1e6)
        _within("bar_trades", bar_trades, 0, _LENGTH_MAX)
        _within("pause_bars_max", pause_bars_max, 0, _LENGTH_MAX)
        _within("kyle_half_life_bars", kyle_half_life_bars, 1, _LENGTH_MAX)
        _within("bollinger_width", bollinger_width, 1e-6, 1e6)
        _within("macd_slow", macd_slow, macd_fast + 1, _LENGTH_MAX)
        _within("bollinger_length", bollinger_length, 2, _LENGTH_MAX)
        if variant not in VARIANTS:
            raise ConfigurationError("no such weighted mid", expected=" or ".join(VARIANTS), found=repr(variant))
        hawkes = HawkesIntensity(  # judges what it is given
            half_life_s=hawkes_half_life_s,
            self_children=hawkes_self_children,
            cross_children=hawkes_cross_children,
            baseline_half_life_s=hawkes_baseline_half_life_s,
            rate_floor_per_s=hawkes_rate_floor_per_s,
            merge_ns=hawkes_merge_ns,
        )
        lengths = np.zeros(places.LENGTHS_N, np.int64)
        lengths[places.LEVELS] = levels
        lengths[places.CIRCULATING] = VARIANTS.index(variant)
        lengths[places.BAR_NS] = 0 if bar_trades else round(bar_s * 1e9)
        lengths[places.BAR_TRADES] = bar_trades
        lengths[places.PAUSE_BARS] = pause_bars_max
        lengths[places.VOLATILITY_BARS] = volatility_bars
        lengths[places.AMIHUD_BARS] = amihud_bars
        lengths[places.KYLE_WARM_BARS] = math.ceil(kyle_half_life_bars)
        lengths[places.INVERSE] = int(instrument.inverse)
        lengths[places.RSI_LENGTH] = rsi_length
        lengths[[places.MACD_FAST, places.MACD_SLOW, places.MACD_SMOOTH]] = macd_fast, macd_slow, macd_smooth
        lengths[places.BOLLINGER_LENGTH] = bollinger_length
        lengths[places.HAWKES_WARM_NS] = int(hawkes_baseline_half_life_s * 1e9)
        lengths[places.HAWKES_MERGE_NS] = hawkes_merge_ns
        lengths[places.VELOCITY_WARM_NS] = int(velocity_half_life_s * 1e9)
        lengths[places.TICK_E9] = max(instrument.tick_e9, 0)
        settings = np.zeros(places.SETTINGS_N)
        settings[places.KYLE_KEEP] = 0.5 ** (1.0 / kyle_half_life_bars)
        settings[places.BOLLINGER_WIDTH] = bollinger_width
        settings[places.LOT_VALUE] = instrument.lot_e9 / PRICE_SCALE * float(instrument.multiplier)
        settings[places.VELOCITY_RATE] = math.log(2) / velocity_half_life_s
        settings[places.HAWKES_FADING] = math.log(2) / hawkes_baseline_half_life_s
        settings[places.HAWKES_FRESH] = 1.0 - hawkes.branching_ratio
        settings[places.HAWKES_FLOOR] = hawkes_rate_floor_per_s
        weights = fracdiff_weights(fracdiff_order, fracdiff_threshold, _WEIGHTS_MAX)
        own, other = np.array([hawkes_self_children], np.float64), np.array([hawkes_cross_children], np.float64)
        self._settings = places.Settings(
            lengths,
            settings,
            decay ** np.arange(levels, dtype=np.float64),
            weights,
            np.zeros(2),
            np.array([[own, other], [other, own]]),
            np.full((2, 1), math.log(2) / hawkes_half_life_s),
        )
        self._memory = places.empty_memory(
            volatility_bars=volatility_bars,
            amihud_bars=amihud_bars,
            bollinger_length=bollinger_length,
            fracdiff_ring=2 * weights.size,
            n_exponentials=1,
        )
        self._id = instrument_id
        self._clock = BlockClock(instrument, hours=hours)
        self._book = Book(tick_e9=instrument.tick_e9, instrument_id=instrument_id)
        self._depth = max(levels, places.OFI_LEVELS)
        self._seen = np.zeros(SEEN_N, np.int64)
        self._views = np.zeros((_PIECE + 1, 4 * self._depth), np.int64)  # the first is the one that stands
        self._views[0].reshape(4, self._depth)[[0, 2]] = MISSING
        self._which, self._thread, self._places, self._times = (np.zeros(_PIECE, np.int64) for _ in range(4))

    def advance(self, events: Events) -> Rows:
        """Fold a block and return a row for each of its events of this instrument."""
        mine = events["instrument_id"] == self._id
        block = events if mine.all() else events[mine]
        n = block.size
        # An odd number of cache lines: columns a power of two apart would evict each other.
        out = np.empty((places.N_COLUMNS, 8 * ((n + 7) // 8 | 1)))
        ts_ns = np.empty(0, np.int64)
        if n:
            ts_ns, stamp_ns, clock_ns, session, trading = self._clock.read(block)
            for a in range(0, n, _PIECE):
                b = min(a + _PIECE, n)
                row = self._levels(block, a, b)
                kernel.advance_catalogue(
                    block[a:b],
                    stamp_ns[a:b],
                    clock_ns[a:b],
                    session[a:b],
                    trading[a:b],
                    self._views,
                    self._which,
                    self._thread,
                    self._settings,
                    self._memory,
                    self._places,
                    self._times,
                    out,
                    a,
                )
                if row:
                    self._views[0] = self._views[row]
        return dict(zip(_NAMES, (ts_ns, *out[:, :n]), strict=True))

    def _levels(self, block: Events, start: int, stop: int) -> int:
        """Let the book go through part of a block and return the row of the view that stands then."""
        at, row = start, 0
        while True:
            at, row = fold_levels(
                *self._book.arrays,
                block,
                at,
                stop,
                self._depth,
                row,
                self._seen,
                self._views,
                self._which,
                self._thread,
                start,
            )
            if self._book.arrays.head[NEED] == NOTHING:
                return int(row)
            self._book.make_room(block, at)

    def _own(self) -> State:
        view = self._views[0].reshape(4, self._depth)
        return {"seen_levels": self._seen, "view": view} | self._clock.memory() | self._memory._asdict()

    def save(self) -> State:
        """Return a copy of the whole memory."""
        own = {name: array.copy() for name, array in self._own().items()}
        return own | {f"book.{name}": array for name, array in self._book.save().items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned, of a catalogue with the same parameters."""
        own = self._own()
        check_state(state, own, "catalogue")
        found = {name: state[name].shape for name in own}
        expected = {name: array.shape for name, array in own.items()}
        if found != expected:
            raise OperatorError(
                "catalogue: saved with other parameters",
                expected=str(expected),
                found=str(found),
                remedy="restore what save() of a catalogue with the same parameters returned",
            )
        prefix = "book."
        self._book.restore({n.removeprefix(prefix): a for n, a in state.items() if n.startswith(prefix)}, "catalogue")
        self._clock.restore(state)
        self._seen = state["seen_levels"].copy()
        self._views[0] = state["view"].ravel()
        self._memory = places.Memory(**{name: state[name].copy() for name in places.Memory._fields})


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigurationError(
            f"{name} is out of its range",
            expected=f"{low:g} to {high:g}",
            found=repr(value),
            remedy="see the parameters of the catalogue",
        )


register("catalogue", Catalogue, columns=COLUMNS, needs=QUOTED)
