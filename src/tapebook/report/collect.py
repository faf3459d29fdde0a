"""One pass over a tape: all that the report tells of one instrument, in memory that does not grow with the tape.

What must grow with it goes to disk as it comes (:class:`~tapebook.report.tables.Tables`): rows by second and by print.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.cumulative_delta import CumulativeDelta
from tapebook.features.effective_spread import EffectiveSpread
from tapebook.features.realised_spread import RealisedSpread
from tapebook.features.touch import Timed, Together, View
from tapebook.features.volume_profile import Profile, VolumeProfile
from tapebook.kernels.touch import trades_of
from tapebook.market.events import MISSING, Events, Flag, Kind, Side, SideSource
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Rows
from tapebook.report.depth_map import COLUMNS_MAX, DepthMap
from tapebook.report.flow import FlowFit
from tapebook.report.forecast import Forecast
from tapebook.report.intervals import Intervals, Timeline
from tapebook.report.over_time import OverTime, VolumeBuckets
from tapebook.report.spreads import SpreadStats
from tapebook.report.tables import Tables, second_columns
from tapebook.report.tape_curves import TapeCurves

__all__ = ["SECOND_NS", "Collector", "join"]

SECOND_NS: Final = 1_000_000_000
_FINE_NS: Final = 1_000_000  # the timeline's first width: a tape of a second still makes a picture
_LEVELS_SHOWN: Final = 400  # a side, in the depth map
_COLUMNS_ASKED: Final = 600  # of the timeline
_BOOK_KINDS: Final = (Kind.LEVEL, Kind.QUOTE, Kind.ADD, Kind.CANCEL, Kind.MODIFY, Kind.EXECUTE)


class Collector:
    """Everything about one instrument of a tape.

    Parameters
    ----------
    instrument, instrument_id
        Whose events to look at.
    tables
        Where rows by second and by print go.
    span_ns
        A guess of the tape's length; only how often the depth map has to be made coarser depends on it.
    hours
        Whether the calendar's hours say when the market trades.
    """

    def __init__(
        self, instrument: Instrument, instrument_id: int, tables: Tables, span_ns: int = 0, *, hours: bool = True
    ) -> None:
        self.instrument = instrument
        self.tables = tables
        self.together = Together(
            instrument,
            instrument_id,
            {
                "effective": EffectiveSpread(),
                "realised": RealisedSpread(),
                "delta": CumulativeDelta(),
                "session_profile": VolumeProfile(instrument),
                "profile": VolumeProfile(instrument, reset="never"),
            },
            hours=hours,
        )
        self.seconds = Intervals(SECOND_NS, instrument.tick_e9)
        self.timeline = Timeline(_COLUMNS_ASKED, _FINE_NS, instrument.tick_e9)
        width_ns = max(span_ns // (8 * COLUMNS_MAX), _FINE_NS)
        self.depth_map = DepthMap(width_ns, instrument.tick_e9)
        self.spreads = SpreadStats()
        self.flow = {seconds: FlowFit(seconds) for seconds in (1, 10, 60)}
        self.forecast = Forecast()
        self.curves = TapeCurves()
        self.over_time = OverTime(instrument, instrument_id, hours=hours)
        self.buckets = VolumeBuckets()
        self.sessions: list[dict[str, Any]] = []
        self.by_kind = np.zeros(max(Kind) + 1, np.int64)
        self.side_sources = np.zeros(max(SideSource) + 1, np.int64)
        self.n_events = 0
        self.n_snapshot = 0
        self.n_trades = 0
        self.n_bought = 0
        self.n_sold = 0
        self.levels_max = 0
        self.first_ns = MISSING
        self.last_ns = MISSING
        self.largest: tuple[int, int, int, int] | None = None  # lots, clock, price, side of the largest print
        self._booked = False
        self._live_ns = MISSING  # steady clock of the last live event, as far as the depth map goes

    def see(self, events: Events) -> None:
        """Take in a block of the tape."""
        timed = self.together.feed.time(events)
        if not timed.events.size:
            return
        live = (timed.events["flags"] & Flag.SNAPSHOT) == 0
        self._booked = self._booked or bool(np.isin(timed.events["kind"], _BOOK_KINDS).any())
        view = self._view_with_samples(timed, live) if self._booked else self.together.feed.view(timed, 0, live.size)
        self._count(view, live)
        self.over_time.see(view)
        rows = self.together.fold(view)
        self.spreads.see_effective(rows["effective"])
        self.spreads.see_realised(rows["realised"])
        self._prints(view, rows)
        self._sessions(rows["session_profile"])
        self.timeline.see(view)
        self._second_rows(self.seconds.see(view))

    def finish(self) -> None:
        """Count what the last intervals left open."""
        if self._booked and self._live_ns != MISSING:
            self._sample()
        rest = self.seconds.rest()
        self._second_rows(rest)
        for flow in self.flow.values():
            flow.finish()
        profile = self._profile("session_profile").profile()
        if profile.price.size:
            lots = int(profile.volume.sum())
            day = int(rest["session"][0]) if rest.size else MISSING
            self._session(day, profile.poc, profile.val, profile.vah, lots, closed=False)

    def profile(self) -> Profile:
        """Return the profile of the whole tape."""
        return self._profile("profile").profile()

    @property
    def pending_rows(self) -> int:
        """Rows of realised spreads whose horizon had not passed when the tape ended."""
        fold = self.together.folds["realised"]
        assert isinstance(fold, RealisedSpread)
        return fold.pending

    def _profile(self, name: str) -> VolumeProfile:
        fold = self.together.folds[name]
        assert isinstance(fold, VolumeProfile)
        return fold

    def _view_with_samples(self, timed: Timed, live: NDArray[np.bool_]) -> View:
        """Fold a block into the book, stopping to look at it whenever a column of the depth map ends."""
        feed, clock_ns, n = self.together.feed, timed.clock_ns, timed.events.size
        parts: list[View] = []
        start = 0
        while start < n:
            if self._live_ns == MISSING:  # before the first live event there is nothing to look at
                timed_live = np.flatnonzero(live & (clock_ns != MISSING))
                stop = int(timed_live[0]) + 1 if timed_live.size else n
                if timed_live.size:
                    self._live_ns = int(clock_ns[timed_live[0]])
            else:
                if clock_ns[start] >= self._column_end(self._live_ns):
                    self._sample()
                    self._live_ns = int(clock_ns[start])
                stop = start + max(int(np.searchsorted(clock_ns[start:], self._column_end(self._live_ns))), 1)
                self._live_ns = int(clock_ns[stop - 1])
            parts.append(feed.view(timed, start, stop))
            start = stop
        return join(timed, parts)

    def _column_end(self, clock_ns: int) -> int:
        return (clock_ns // self.depth_map.width_ns + 1) * self.depth_map.width_ns

    def _sample(self) -> None:
        feed = self.together.feed
        (bid_px, bid_lots), (ask_px, ask_lots) = (feed.levels(side, _LEVELS_SHOWN) for side in (Side.BID, Side.ASK))
        self.levels_max = max(self.levels_max, bid_px.size, ask_px.size)
        bid = int(bid_px[0]) if bid_px.size else MISSING
        ask = int(ask_px[0]) if ask_px.size else MISSING
        price, lots = np.concatenate([bid_px, ask_px]), np.concatenate([bid_lots, ask_lots])
        lots[lots == MISSING] = 0
        self.depth_map.sample(self._live_ns, price, lots, bid, ask)

    def _count(self, view: View, live: NDArray[np.bool_]) -> None:
        events = view.events
        self.n_events += events.size
        self.n_snapshot += int(events.size - live.sum())
        self.by_kind += np.bincount(events["kind"], minlength=self.by_kind.size)[: self.by_kind.size]
        timed = live & (view.clock_ns != MISSING)
        if timed.any():
            clock_ns = view.clock_ns[timed]
            self.first_ns = int(clock_ns[0]) if self.first_ns == MISSING else self.first_ns
            self.last_ns = int(clock_ns[-1])

    def _prints(self, view: View, rows: dict[str, Rows]) -> None:
        """Take in the prints of a block: totals, the depth map, the table."""
        effective = rows["effective"]
        if not effective["ts_ns"].size:
            return
        at = np.empty(view.n, np.int64)
        at = at[: trades_of(view.events["kind"], view.events["price"], view.events["qty_lots"], at)]
        trades = view.events[at]
        price, lots, side = trades["price"], trades["qty_lots"], trades["side"]
        self.n_trades += trades.size
        self.n_bought += int((side > 0).sum())
        self.n_sold += int((side < 0).sum())
        self.side_sources += np.bincount(trades["side_source"], minlength=self.side_sources.size)[
            : self.side_sources.size
        ]
        clock_ns = view.clock_ns[at]
        timed = clock_ns != MISSING
        self.depth_map.trade(clock_ns[timed], price[timed], lots[timed], side[timed])
        self.buckets.see(trades, view.clock_ns[at])
        self.curves.see(trades, view.bid_px[at], view.ask_px[at], view.trading[at], view.session[at])
        i = int(np.argmax(lots))
        if self.largest is None or lots[i] > self.largest[0]:
            self.largest = (int(lots[i]), int(clock_ns[i]), int(price[i]), int(side[i]))
        delta = {name: rows["delta"][name] for name in ("cum_delta_lots", "cum_unknown_lots", "cum_volume_lots")}
        self.tables.prints.write({**effective, **delta, "session": view.session[at]})

    def _second_rows(self, rows: NDArray[Any]) -> None:
        if not rows.size:
            return
        for flow in self.flow.values():
            flow.see(rows)
        self.forecast.see(rows)
        self.tables.seconds.write(second_columns(rows, self.instrument))

    def _sessions(self, rows: Rows) -> None:
        for i in np.flatnonzero(rows["closed"]).tolist():
            day, lots = int(rows["session"][i]), int(rows["volume_lots"][i])
            poc, val, vah = (float(rows[name][i]) for name in ("poc", "val", "vah"))
            self._session(day, poc, val, vah, lots, closed=True)

    def _session(self, day: int, poc: float, val: float, vah: float, lots: int, *, closed: bool) -> None:
        date = str(np.datetime64(day, "D")) if day != MISSING else ""
        volume = self.instrument.qty_float(lots)
        self.sessions.append(
            {"trade_date": date, "poc": poc, "val": val, "vah": vah, "volume": volume, "closed": closed}
        )


def join(timed: Timed, parts: list[View]) -> View:
    """Put the views of successive parts of a block together."""
    if len(parts) == 1:
        return parts[0]
    touch = [
        np.concatenate([*(getattr(p, name)[:-1] for p in parts), getattr(parts[-1], name)[-1:]])
        for name in ("bid_px", "bid_sz", "ask_px", "ask_sz", "thread")
    ]
    return View(timed.events, timed.ts_ns, timed.clock_ns, timed.session, timed.trading, *touch)
