"""Which streams to open on which address, and when a book needs a snapshot: pure.

Binance's documentation gives the limits that are kept here: 1024 streams on a connection, and a request for a deep
snapshot weighs 250 of 6000 a minute on spot (20 of 2400 on the futures).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from tapebook.market.errors import ConfigurationError
from tapebook.venues.binance import wire
from tapebook.venues.binance.sync import BookState, DepthSync, Rule

__all__ = [
    "MARKETS",
    "STREAMS_MAX",
    "Channel",
    "Connection",
    "Market",
    "SnapshotWatch",
    "connections",
    "snapshot_frame",
]

STREAMS_MAX: Final = 1024
_S: Final = 1_000_000_000


class Channel(Enum):
    """What may be heard of a symbol."""

    DEPTH = "depth"
    QUOTES = "bookTicker"
    TRADES = "trade"
    AGGREGATE_TRADES = "aggTrade"


class Market(NamedTuple):
    """One of Binance's markets."""

    name: str  # as ``--venue`` takes it
    venue: str  # as the catalogue calls it
    title: str
    sockets: Mapping[Channel, str]  # address by channel: the USD-M futures have two
    rest: str
    snapshot_path: str
    snapshot_levels: int
    time_path: str
    info_path: str
    depth_stream: str
    rule: Rule
    examples: tuple[str, str]

    @property
    def trades(self) -> Channel:
        """The documented stream of trades: single ones on spot, aggregate ones on the futures."""
        return Channel.TRADES if self.rule is Rule.SPOT else Channel.AGGREGATE_TRADES


def _one(address: str) -> dict[Channel, str]:
    return dict.fromkeys(Channel, address)


MARKETS: Final[Mapping[str, Market]] = {
    market.name: market
    for market in (
        Market(
            "binance",
            "BINANCE",
            "Binance spot",
            _one("wss://stream.binance.com:9443"),
            "https://api.binance.com",
            "/api/v3/depth",
            5000,
            "/api/v3/time",
            "/api/v3/exchangeInfo",
            "depth@100ms",
            Rule.SPOT,
            ("BTCUSDT", "ETHUSDT"),
        ),
        Market(
            "binance-usdm",
            "BINANCE-USDM",
            "Binance USD-M futures",
            {
                Channel.DEPTH: "wss://fstream.binance.com/public",
                Channel.QUOTES: "wss://fstream.binance.com/public",
                Channel.TRADES: "wss://fstream.binance.com/market",
                Channel.AGGREGATE_TRADES: "wss://fstream.binance.com/market",
            },
            "https://fapi.binance.com",
            "/fapi/v1/depth",
            1000,
            "/fapi/v1/time",
            "/fapi/v1/exchangeInfo",
            "depth@100ms",
            Rule.FUTURES,
            ("BTCUSDT", "ETHUSDT"),
        ),
        Market(
            "binance-coinm",
            "BINANCE-COINM",
            "Binance COIN-M futures",
            _one("wss://dstream.binance.com"),
            "https://dapi.binance.com",
            "/dapi/v1/depth",
            1000,
            "/dapi/v1/time",
            "/dapi/v1/exchangeInfo",
            "depth@100ms",
            Rule.FUTURES,
            ("BTCUSD_PERP", "ETHUSD_PERP"),
        ),
    )
}


class Connection(NamedTuple):
    """A socket to open."""

    name: str
    url: str
    symbols: tuple[str, ...]
    with_depth: bool


def connections(
    market: Market, symbols: Iterable[str], channels: Sequence[Channel], sockets: Mapping[Channel, str] | None = None
) -> list[Connection]:
    """Return the sockets that the streams need: one for each address, more where there are too many streams.

    >>> opened = connections(MARKETS["binance-usdm"], ["BTCUSDT"], [Channel.DEPTH, Channel.AGGREGATE_TRADES])
    >>> [(c.name, c.url.partition("/stream")[2]) for c in opened]
    [('depth', '?streams=btcusdt@depth@100ms'), ('aggTrade', '?streams=btcusdt@aggTrade')]
    """
    symbols = tuple(dict.fromkeys(symbol.upper() for symbol in symbols))
    if not symbols or not channels:
        raise ConfigurationError("nothing to hear", expected="a symbol and a channel", found=f"{symbols}, {channels}")
    by_address: dict[str, list[Channel]] = {}
    for channel in dict.fromkeys(channels):
        by_address.setdefault((sockets or market.sockets)[channel], []).append(channel)
    out = []
    for address, here in by_address.items():
        each = STREAMS_MAX // len(here)
        for part in range(0, len(symbols), each):
            some = symbols[part : part + each]
            names = [market.depth_stream if c is Channel.DEPTH else c.value for c in here]
            streams = "/".join(f"{symbol.lower()}@{name}" for symbol in some for name in names)
            name = "+".join(c.value for c in here) + (f"-{part // each + 1}" if len(symbols) > each else "")
            out.append(Connection(name, f"{address}/stream?streams={streams}", some, Channel.DEPTH in here))
    return out


class _Numbers(msgspec.Struct, gc=False):
    """Of a depth message, what says whether it follows the one before."""

    e: str = ""
    s: str = ""
    U: int = -1
    u: int = -1
    pu: int | None = None


class _Envelope(msgspec.Struct, gc=False):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()


_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_numbers: Final = msgspec.json.Decoder(_Numbers).decode
_DEPTH_MARK: Final = b"@depth"


class SnapshotWatch:
    """Follows the numbers of the depth messages and says which books need a snapshot, and when it may be asked for.

    It sees what the parser will see, so that both come to the same verdict; it decides nothing about a frame.

    Parameters
    ----------
    rule
        The market's.
    symbols
        Whose depth is subscribed.
    again_s
        How long to wait before a snapshot that came too early, or not at all, is asked for again.
    refresh_s
        A snapshot is asked for so often even of a book that is thought to be live: if whoever decodes the frames lost
        it over something that is not seen here, this mends it.

    Examples
    --------
    >>> watch = SnapshotWatch(Rule.SPOT, ["BTCUSDT"])
    >>> watch.heard(b'{"stream":"btcusdt@depth@100ms","data":{"s":"BTCUSDT","U":5,"u":7,"b":[],"a":[]}}')
    >>> watch.due(0), watch.due(1), watch.due(3 * 10**9)
    (['BTCUSDT'], [], ['BTCUSDT'])
    >>> watch.snapshot("BTCUSDT", 6)
    >>> watch.due(9 * 10**9)
    []
    """

    def __init__(self, rule: Rule, symbols: Iterable[str], *, again_s: float = 2.0, refresh_s: float = 1800.0) -> None:
        self._again_ns, self._refresh_ns = round(again_s * _S), round(refresh_s * _S)
        self._syncs: dict[str, DepthSync[None]] = {symbol.upper(): DepthSync(rule) for symbol in symbols}
        self._asked: dict[str, int] = {}

    def heard(self, frame: bytes) -> None:
        """Take in a frame; all that is no depth message is passed over."""
        if _DEPTH_MARK not in frame[:80]:
            return
        try:
            envelope = _envelope(frame)
            message = _numbers(envelope.data)
        except (msgspec.MsgspecError, ValueError):
            return  # the parser quarantines it, and the next message does not follow
        sync = self._syncs.get(message.s)
        if sync is not None and message.u >= 0:
            sync.diff(message.U, message.u, message.pu, None)

    def snapshot(self, symbol: str, last_update_id: int) -> None:
        """Note the snapshot that came."""
        self._syncs[symbol].snapshot(last_update_id, None)

    def lost(self) -> None:
        """Note that the connection is another one."""
        for sync in self._syncs.values():
            sync.lose("another connection")
        self._asked.clear()

    def due(self, now_ns: int) -> list[str]:
        """Return the symbols to ask a snapshot for now; each is then not due again for a while.

        A book whose first message has not come yet is not due: a snapshot older than it would be of no use.
        """
        out = []
        for symbol, sync in self._syncs.items():
            waiting = sync.state in (BookState.BUFFERING, BookState.STALE) and sync.waiting > 0
            since_ns = now_ns - self._asked[symbol] if symbol in self._asked else self._again_ns
            if (waiting and since_ns >= self._again_ns) or since_ns >= self._refresh_ns:
                self._asked[symbol] = now_ns
                out.append(symbol)
        return out

    def live(self, symbol: str) -> bool:
        """Whether snapshot and diffs of a symbol join."""
        return self._syncs[symbol].state is BookState.LIVE


def snapshot_frame(symbol: str, answer: bytes) -> tuple[bytes, int]:
    """Return the frame that holds the answer of a request for a snapshot as it came, and its update id.

    Raises
    ------
    msgspec.DecodeError
        If the answer is no snapshot.
    """
    last_update_id = wire.snapshot(answer).lastUpdateId
    return b'{"stream":"%s@snapshot","data":%s}' % (symbol.lower().encode(), answer), last_update_id
