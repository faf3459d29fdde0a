"""What stands in the market at the replay's now: books and quotes for who subscribes late, bars for who asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from tapebook.gateway.encode import Entry, QuoteState, Writer
from tapebook.gateway.source import DEPTH, QUOTES, TRADES, Message
from tapebook.market.events import MISSING
from tapebook.venues.projectx.rest import BarUnit
from tapebook.venues.projectx.wire import DomType

__all__ = ["UNIT_S", "Bar", "Market"]

_S: Final = 1_000_000_000
UNIT_S: Final = {BarUnit.SECOND: 1, BarUnit.MINUTE: 60, BarUnit.HOUR: 3600, BarUnit.DAY: 86400, BarUnit.WEEK: 604800}
_MONDAY_S: Final = 4 * 86400  # 1970 began on a Thursday; weeks begin on Mondays
_ASKS: Final = frozenset({DomType.ASK, DomType.BEST_ASK, DomType.NEW_BEST_ASK})
_BIDS: Final = frozenset({DomType.BID, DomType.BEST_BID, DomType.NEW_BEST_BID})


class Bar(NamedTuple):
    """Prices in 1e-9, volume in contracts; ``start_s`` since 1970 UTC."""

    start_s: int
    open: int
    high: int
    low: int
    close: int
    volume: int


class Market:
    """One contract as far as it was played.

    >>> market = Market()
    >>> for ns, price in ((1_000_000_000, 5), (2_000_000_000, 7), (61_000_000_000, 6)):
    ...     market.apply(Message(ns, 1, b"", (ns, price, 1)))
    >>> [(bar.start_s, bar.high, bar.volume) for bar in market.bars(BarUnit.MINUTE, 1)]
    [(0, 7, 2), (60, 6, 1)]
    """

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.quote = QuoteState()
        self.last_ns = 0
        self._seconds: dict[int, Bar] = {}

    def apply(self, message: Message) -> None:
        """Take in what was just played."""
        news = message.news
        channel = message.stream % 3
        if channel == DEPTH:
            self._depth(news)
        elif channel == QUOTES:
            self.quote.bid, self.quote.ask = news
        elif channel == TRADES:
            ns, price, qty = news
            self.quote.print(price, qty)
            self.last_ns = ns
            second = ns // _S
            bar = self._seconds.get(second)
            lots = max(qty, 0)
            if bar is None:
                self._seconds[second] = Bar(second, price, price, price, price, lots)
            else:
                high, low = max(bar.high, price), min(bar.low, price)
                self._seconds[second] = Bar(second, bar.open, high, low, price, bar.volume + lots)

    def _depth(self, entries: Sequence[Entry]) -> None:
        for kind, price, volume, _ in entries:
            if kind == DomType.RESET:
                self.bids.clear()
                self.asks.clear()
                continue
            if kind in _BIDS:
                mine, sign = self.bids, 1
            elif kind in _ASKS:
                mine, sign = self.asks, -1
            else:
                continue
            if volume == 0:
                mine.pop(price, None)
                continue
            mine[price] = volume
            if kind not in (DomType.BID, DomType.ASK):  # a touch: nothing stands before it, on either side
                for level in [p for p in mine if sign * p > sign * price]:
                    del mine[level]
                other = self.asks if sign > 0 else self.bids
                for level in [p for p in other if sign * p <= sign * price]:
                    del other[level]

    def levels(self) -> list[Entry]:
        """Return a Reset and every level, the best first."""
        bids = [Entry(int(DomType.BID), p, self.bids[p]) for p in sorted(self.bids, reverse=True)]
        asks = [Entry(int(DomType.ASK), p, self.asks[p]) for p in sorted(self.asks)]
        return [Entry(int(DomType.RESET), 0, 0), *bids, *asks]

    def depth_record(self, writer: Writer, ts_ns: int) -> bytes:
        """Return the whole book as a message; nothing while none stands."""
        return writer.depth(ts_ns, self.levels()) if self.bids or self.asks else b""

    def quote_record(self, writer: Writer, ts_ns: int) -> bytes:
        """Return what the quote is, whole; nothing while none was told."""
        state = self.quote
        if state.bid == MISSING and state.ask == MISSING:
            return b""
        state.said_last, state.said_volume = MISSING, -1
        return writer.quote(ts_ns, state, bid=state.bid != MISSING, ask=state.ask != MISSING)

    def bars(self, unit: BarUnit, number: int) -> Iterator[Bar]:
        """Yield bars of the trades so far, oldest first; days and months are UTC's."""
        current: Bar | None = None
        for second in sorted(self._seconds):
            piece = self._seconds[second]
            start = _start(second, unit, number)
            if current is None or start != current.start_s:
                if current is not None:
                    yield current
                current = piece._replace(start_s=start)
            else:
                high, low = max(current.high, piece.high), min(current.low, piece.low)
                current = Bar(start, current.open, high, low, piece.close, current.volume + piece.volume)
        if current is not None:
            yield current


def _start(second: int, unit: BarUnit, number: int) -> int:
    if unit is BarUnit.MONTH:
        return _month(second, number)
    step = UNIT_S[unit] * number
    offset = _MONDAY_S if unit is BarUnit.WEEK else 0
    return (second - offset) // step * step + offset


def _month(second: int, number: int) -> int:
    day = datetime.fromtimestamp(second, UTC)
    first = ((day.year * 12 + day.month - 1) // number) * number
    return int(datetime(first // 12, first % 12 + 1, 1, tzinfo=UTC).timestamp())
