"""The market hub's records as bytes: as they were recorded on the wire, or as the documentation has them.

=============  ===========================================  ===================================================
               observed                                     documented
=============  ===========================================  ===================================================
quotes         what changed since the last quote alone      every field
trades         a list of one                                one object
depth          a list of what one venue message changed     an object, and a record, for each entry
=============  ===========================================  ===================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from tapebook.gateway.figures import price_text, time_text
from tapebook.gateway.listings import Listing
from tapebook.market.events import MISSING

__all__ = ["Entry", "QuoteState", "Shape", "Writer"]

_END: Final = "]}\x1e"


class Shape(Enum):
    """Which form the records have."""

    OBSERVED = "observed"
    DOCUMENTED = "documented"


class Entry(NamedTuple):
    """One depth entry: a :class:`~tapebook.venues.projectx.wire.DomType`, where, and what rests there."""

    type: int
    price: int
    volume: int
    current: int = 0


class QuoteState:
    """What quotes of one contract have said, and what there would be to say."""

    __slots__ = ("ask", "bid", "high", "last", "low", "open", "said_last", "said_volume", "volume")

    def __init__(self) -> None:
        self.bid = self.ask = self.last = self.open = self.high = self.low = MISSING
        self.volume = 0
        self.said_last, self.said_volume = MISSING, 0

    def print(self, price: int, qty: int) -> None:
        """Take in a trade."""
        if self.open == MISSING:
            self.open = self.high = self.low = price
        self.last = price
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.volume += max(qty, 0)


class Writer:
    """Writes the records of one contract.

    >>> from tapebook.gateway.listings import listing
    >>> from tapebook.market.instruments import Instrument
    >>> es = listing(Instrument(symbol="ESH4", venue="CME", root="ES"), "CON.F.US.EP.H24", 250_000_000)
    >>> Writer(es).trade(1_787_172_691_500_000_000, 4_000_250_000_000, 3, 1).decode()[65:-1]
    '[{"symbolId":"F.US.EP","price":4000.25,"timestamp":"2026-08-19T20:51:31.5+00:00","type":0,"volume":3,"contractId":"CON.F.US.EP.H24"}]]}'
    """

    def __init__(self, listing: Listing, *, shape: Shape = Shape.OBSERVED, digits: int = 7) -> None:
        self._listing, self._digits = listing, digits
        self._whole = shape is Shape.DOCUMENTED
        name = listing.id
        head = '{{"type":1,"target":"Gateway{}","arguments":["{}",'
        self._quote, self._trade, self._depth = (head.format(what, name) for what in ("Quote", "Trade", "Depth"))
        self._symbol = listing.symbol_id
        self._contract = name
        self._entry = f'{{"contractId":"{name}","timestamp":"'

    def quote(self, ts_ns: int, state: QuoteState, *, bid: bool, ask: bool) -> bytes:
        """Return a quote that tells of the named sides, and of last price and volume where they are news."""
        stamp = time_text(ts_ns, self._digits)
        parts = [f'"symbol":"{self._symbol}"']
        if self._whole:
            return self._whole_quote(stamp, state)
        if state.last not in (MISSING, state.said_last):
            parts.append(f'"lastPrice":{price_text(state.last)}')
            state.said_last = state.last
        if bid:
            parts.append(f'"bestBid":{_touch(state.bid)}')
        if ask:
            parts.append(f'"bestAsk":{_touch(state.ask)}')
        if state.volume != state.said_volume:
            parts.append(f'"volume":{state.volume}')
            state.said_volume = state.volume
        parts.append(f'"lastUpdated":"{stamp}","timestamp":"{stamp}","contract":"{self._contract}"')
        return f"{self._quote}{{{','.join(parts)}}}{_END}".encode()

    def _whole_quote(self, stamp: str, state: QuoteState) -> bytes:
        change = state.last - state.open if state.last != MISSING else 0
        percent = round(change / state.open * 100, 4) if change and state.open else 0
        figures = {
            "lastPrice": _touch(state.last),
            "bestBid": _touch(state.bid),
            "bestAsk": _touch(state.ask),
            "change": price_text(change),
            "changePercent": str(percent),
            "open": _touch(state.open),
            "high": _touch(state.high),
            "low": _touch(state.low),
            "volume": str(state.volume),
        }
        body = ",".join(f'"{name}":{value}' for name, value in figures.items())
        return (
            f'{self._quote}{{"symbol":"{self._symbol}","symbolName":"/{self._listing.name[:-2]}",{body},'
            f'"lastUpdated":"{stamp}","timestamp":"{stamp}"}}{_END}'
        ).encode()

    def trade(self, ts_ns: int, price: int, qty: int, side: int) -> bytes:
        """Return a print; what the source does not tell (size, aggressor) is left out."""
        text = (
            f'{{"symbolId":"{self._symbol}","price":{price_text(price)},"timestamp":"{time_text(ts_ns, self._digits)}"'
        )
        if side:
            text += ',"type":0' if side > 0 else ',"type":1'
        if qty != MISSING:
            text += f',"volume":{qty}'
        if self._whole:
            return f"{self._trade}{text}}}{_END}".encode()
        return f'{self._trade}[{text},"contractId":"{self._contract}"}}]{_END}'.encode()

    def depth(self, ts_ns: int, entries: Sequence[Entry]) -> bytes:
        """Return what one venue message changed; by the documentation it is as many records as entries."""
        stamp = time_text(ts_ns, self._digits)
        if self._whole:
            head = f'{self._depth}{{"timestamp":"{stamp}","type":'
            return "".join(
                f'{head}{kind},"price":{price_text(price)},"volume":{volume},"currentVolume":{current}}}{_END}'
                for kind, price, volume, current in entries
            ).encode()
        head = f'{self._entry}{stamp}","type":'
        rows = ",".join(
            [
                f'{head}{kind},"price":{price_text(price)},"volume":{volume},"currentVolume":{current}}}'
                for kind, price, volume, current in entries
            ]
        )
        return f"{self._depth}[{rows}]{_END}".encode()


def _touch(price: int) -> str:
    return "0" if price == MISSING else price_text(price)
