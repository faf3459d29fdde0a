"""What the best prices say about a recording: crossed, locked and one-sided books, trades outside the quote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.book import BestBook
from tapebook.market.events import MISSING, Events, Flag, Kind, Phase, clock_ns
from tapebook.market.instruments import Instrument
from tapebook.market.sessions import SessionPhase, calendar
from tapebook.quality.findings import Finding, Severity

_SEVERITY: Final[dict[str, Severity]] = {
    "crossed": "error",
    "crossed_auction": "info",
    "locked": "warning",
    "one_sided": "info",
    "trade_outside_quote": "info",
}
_BOOK_KINDS: Final = (Kind.LEVEL, Kind.QUOTE, Kind.ADD, Kind.CANCEL, Kind.MODIFY, Kind.EXECUTE)


@dataclass
class Touch:
    """Follows the book of one instrument and counts states that a sound book is not seen in.

    A book is judged only where it is observable (after LAST), and crossed states are told apart by what the market was
    doing: outside continuous trading (by the session calendar, or by the venue's own STATUS) they are expected.
    """

    instrument: Instrument
    instrument_id: int
    counts: dict[str, int] = field(default_factory=dict)
    firsts: dict[str, int] = field(default_factory=dict)
    n_observed: int = 0
    n_quoted_trades: int = 0
    _has_book: bool = False
    _status: int = int(Phase.UNKNOWN)
    _crossed_now: bool = False
    _crossed_in_auction: bool = False

    def __post_init__(self) -> None:
        self._book = BestBook(self.instrument, self.instrument_id)
        self._before = np.array([MISSING, 0, MISSING, 0], np.int64)

    def see(self, events: Events) -> None:
        """Take in the next events of the instrument."""
        touch = self._book.advance(events)
        self._has_book = self._has_book or bool(np.isin(events["kind"], _BOOK_KINDS).any())
        observed = (events["flags"] & int(Flag.LAST)) != 0
        # What stood before each event: the touch after the last observed event before it.
        place = np.maximum.accumulate(np.where(observed, np.arange(events.size), -1))
        before = np.concatenate([[-1], place[:-1]])
        stood = np.where((before >= 0)[:, None], touch[np.maximum(before, 0)], self._before)
        if place.size and place[-1] >= 0:
            self._before = touch[place[-1]].copy()
        continuous = self._continuous(events)
        if self._has_book:
            self._states(events, touch, observed, continuous)
            self._trades(events, stood)

    def _continuous(self, events: Events) -> NDArray[np.bool_]:
        """Return where the market trades continuously, by the calendar and the venue's own words."""
        phases = calendar(self.instrument.calendar).phases(clock_ns(events), outside="missing")
        status = np.where(events["kind"] == Kind.STATUS, events["detail"].astype(np.int64), -1)
        place = np.maximum.accumulate(np.where(status >= 0, np.arange(events.size), -1))
        told = np.where(place >= 0, status[np.maximum(place, 0)], self._status)
        if told.size:
            self._status = int(told[-1])
        closed = np.isin(told, (Phase.PRE_OPEN, Phase.AUCTION, Phase.HALT, Phase.CLOSE, Phase.QUOTING))
        running: NDArray[np.bool_] = (phases >= SessionPhase.OPEN) & ~closed
        return running

    def _states(
        self, events: Events, touch: NDArray[np.int64], observed: NDArray[np.bool_], continuous: NDArray[np.bool_]
    ) -> None:
        bid, ask = touch[:, 0], touch[:, 2]
        has_bid, has_ask = bid != MISSING, ask != MISSING
        two = observed & has_bid & has_ask
        self.n_observed += int((observed & (has_bid | has_ask)).sum())
        crossed = two & (bid > ask)
        auction = self._auction(observed, crossed, ~continuous)
        self._count("crossed", crossed & ~auction, events)
        self._count("crossed_auction", auction, events)
        self._count("locked", two & (bid == ask) & continuous, events)
        self._count("one_sided", observed & (has_bid != has_ask), events)

    def _auction(
        self, observed: NDArray[np.bool_], crossed: NDArray[np.bool_], outside: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Return the crossed states of auctions: a run of them that began outside continuous trading, to its end.

        The timetable opens at the full hour, the venue's opening match uncrosses the book some time after.
        """
        places = np.flatnonzero(observed)
        runs = crossed[places]
        before = np.concatenate([[self._crossed_now], runs[:-1]]) if runs.size else runs
        begins = runs & ~before
        # Which state began the run that each state belongs to; -1: one before this block.
        start = np.maximum.accumulate(np.where(begins, np.arange(runs.size), -1))
        began_outside = np.where(start >= 0, outside[places][np.maximum(start, 0)], self._crossed_in_auction)
        inside_run = runs & (began_outside | outside[places])
        if runs.size:
            self._crossed_now = bool(runs[-1])
            self._crossed_in_auction = bool(inside_run[-1])
        found = np.zeros(observed.size, np.bool_)
        found[places] = inside_run
        return found

    def _trades(self, events: Events, stood: NDArray[np.int64]) -> None:
        bid, ask, price = stood[:, 0], stood[:, 2], events["price"]
        trades = (
            (events["kind"] == Kind.TRADE) & (price != MISSING) & (bid != MISSING) & (ask != MISSING) & (bid <= ask)
        )
        self.n_quoted_trades += int(trades.sum())
        self._count("trade_outside_quote", trades & ((price < bid) | (price > ask)), events)

    def _count(self, name: str, where: NDArray[np.bool_], events: Events) -> None:
        n = int(where.sum())
        if n:
            self.firsts.setdefault(name, int(clock_ns(events[where][:1])[0]))
            self.counts[name] = self.counts.get(name, 0) + n

    def findings(self) -> list[Finding]:
        """Return what was found, and what the book itself could not make sense of."""
        found = []
        for name, count in self.counts.items():
            of = self.n_quoted_trades if name == "trade_outside_quote" else self.n_observed
            found.append(
                Finding(
                    name=name,
                    severity=_SEVERITY[name],
                    count=count,
                    share=count / max(of, 1),
                    symbol=self.instrument.symbol,
                    first_ts_ns=self.firsts[name],
                )
            )
        return found + self._anomalies()

    def _anomalies(self) -> list[Finding]:
        statistics = self._book.statistics()
        anomalies = {
            k: v for k, v in statistics.anomalies().items() if k not in ("crossed", "bad_quantities", "bad_prices")
        }
        orphans = {k: v for k, v in anomalies.items() if k.startswith(("orphan", "unknown"))}
        others = {k: v for k, v in anomalies.items() if k not in orphans}
        found = []
        for name, counts in (("orphan", orphans), ("book_anomaly", others)):
            if counts:
                n = sum(counts.values())
                found.append(
                    Finding(
                        name=name,
                        severity="warning",
                        count=n,
                        share=n / max(statistics.events, 1),
                        symbol=self.instrument.symbol,
                        details=dict(counts),
                    )
                )
        return found

    def summary(self) -> dict[str, Any]:
        """Return what is known of the depth: JSON-able, empty for a tape without a book."""
        if not self._has_book:
            return {}
        statistics = self._book.statistics()
        return {
            "observed_states": self.n_observed,
            "two_sided_percent": round(100 * (1 - self.counts.get("one_sided", 0) / max(self.n_observed, 1)), 3),
            "bid_levels_at_end": statistics.n_bid_levels,
            "ask_levels_at_end": statistics.n_ask_levels,
            "orders_at_end": statistics.n_orders,
        }
