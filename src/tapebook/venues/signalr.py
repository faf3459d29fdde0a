r"""The SignalR hub protocol in JSON, without a socket: bytes in, records out, and the other way round.

A record is JSON text followed by one byte, 0x1e. A WebSocket message holds one record, several, or (through other
transports and proxies) a part of one, so a :class:`Splitter` carries the rest over to the next message. What a record
says is read by :func:`decode`. Nothing here raises for what came over the wire: a record that cannot be read is a
:class:`Malformed` with its bytes and the reason, a record longer than the limit is passed over up to its end and told,
a type that the protocol does not know yet is a :class:`Record` like any other.

====  ================  =================================================
type  name              fields
====  ================  =================================================
1     Invocation        ``target``, ``arguments``, ``invocationId``?
2     StreamItem        ``invocationId``, ``item``
3     Completion        ``invocationId``, ``result``? or ``error``?
4, 5  StreamInvocation, CancelInvocation
6     Ping
7     Close             ``error``?, ``allowReconnect``?
8, 9  Ack, Sequence     only where stateful reconnects were negotiated
====  ================  =================================================

Source: ``HubProtocol.md`` and ``TransportProtocols.md`` of ASP.NET Core, version 1 of the protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
from msgspec import Raw, Struct

from tapebook.market.errors import VenueProtocolError

__all__ = [
    "HANDSHAKE_REQUEST",
    "PING",
    "RECORD_BYTES_MAX",
    "SEPARATOR",
    "UNREADABLE",
    "Handshake",
    "Malformed",
    "Negotiated",
    "Record",
    "RecordType",
    "Slice",
    "Splitter",
    "decode",
    "encode_close",
    "encode_completion",
    "encode_invocation",
    "negotiate_url",
    "read_handshake",
    "read_negotiated",
    "socket_url",
    "text_of",
]

SEPARATOR: Final = b"\x1e"
HANDSHAKE_REQUEST: Final = b'{"protocol":"json","version":1}' + SEPARATOR
"""The first thing that a client says."""

PING: Final = b'{"type":6}' + SEPARATOR
RECORD_BYTES_MAX: Final = 1 << 22
"""Longest record that is kept: 4 MiB, a thousand times what a hub sends."""

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError)
"""What msgspec raises for bytes that are not what was expected (RecursionError: 1,000 open brackets)."""


class RecordType(IntEnum):
    """What a record is."""

    INVOCATION = 1
    STREAM_ITEM = 2
    COMPLETION = 3
    STREAM_INVOCATION = 4
    CANCEL_INVOCATION = 5
    PING = 6
    CLOSE = 7
    ACK = 8
    SEQUENCE = 9


class Record(Struct, frozen=True, gc=False):
    """One record, of any type: the fields that its type does not have keep their defaults.

    ``{"type":1,"target":"GatewayQuote","arguments":["CON.F.US.MNQ.U26",{"bestBid":29547}]}``
    ``{"type":3,"invocationId":"1","result":null}``
    ``{"type":7,"error":"Connection closed with an error.","allowReconnect":true}``
    """

    type: int
    target: str | None = None
    arguments: list[Raw] | None = None
    invocationId: str | None = None  # noqa: N815 - the protocol's name
    result: Raw = Raw()
    item: Raw = Raw()
    error: str | None = None
    allowReconnect: bool | None = None  # noqa: N815 - the protocol's name


class Malformed(NamedTuple):
    """A record that could not be read."""

    reason: str  # short, the same for all of one sort
    found: str
    raw: bytes


class Handshake(NamedTuple):
    """The server's first record."""

    error: str  # empty: the connection stands


class Negotiated(Struct, frozen=True, gc=False):
    """Answer of ``POST <hub>/negotiate``: an id for the socket, another place to ask, or a refusal.

    ``{"negotiateVersion":1,"connectionId":"a","connectionToken":"b","availableTransports":``
    ``[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}``
    """

    connectionToken: str = ""  # noqa: N815 - the protocol's name
    connectionId: str = ""  # noqa: N815 - the protocol's name
    negotiateVersion: int = 0  # noqa: N815 - the protocol's name
    availableTransports: list[dict[str, Any]] = []  # noqa: N815 - the protocol's name
    url: str = ""
    accessToken: str = ""  # noqa: N815 - the protocol's name
    error: str = ""

    @property
    def socket_id(self) -> str:
        """What the socket's address carries as ``id``: with version 0 the connection id itself."""
        return self.connectionToken or self.connectionId

    def __repr__(self) -> str:  # both tokens open a connection: they stay out of logs
        return f"Negotiated(version={self.negotiateVersion}, redirected={bool(self.url)}, error={self.error!r})"


_record = msgspec.json.Decoder(Record).decode
_handshake = msgspec.json.Decoder(dict[str, Any]).decode
_negotiated = msgspec.json.Decoder(Negotiated).decode
_text = msgspec.json.Decoder(str).decode


class Slice(NamedTuple):
    """The bytes of one record without its separator, and when the first of them came."""

    ts_recv_ns: int
    raw: bytes
    too_long: bool = False  # only the first bytes were kept


class Splitter:
    r"""Cuts a stream of messages into records; its whole memory is a few bytes.

    Parameters
    ----------
    bytes_max
        Longest record that is kept.

    Examples
    --------
    >>> splitter = Splitter()
    >>> splitter.feed(b'{"type":6}\x1e{"ty', 5)
    [Slice(ts_recv_ns=5, raw=b'{"type":6}', too_long=False)]
    >>> splitter.feed(b'pe":6}\x1e', 9)  # it began at 5
    [Slice(ts_recv_ns=5, raw=b'{"type":6}', too_long=False)]
    """

    def __init__(self, bytes_max: int = RECORD_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self.rest = bytearray()  # of the record that is not complete yet
        self.rest_ns = 0  # when its first byte came
        self.dropped = 0  # how many of its bytes were not kept

    def whole(self, data: bytes) -> list[bytes] | None:
        r"""Return the records of a message that begins and ends with one, which nearly all do; else None: feed it.

        >>> Splitter().whole(b'{"type":6}\x1e')
        [b'{"type":6}']
        """
        if self.rest or data[-1:] != SEPARATOR or len(data) > self.bytes_max:
            return None
        return [part for part in data[:-1].split(SEPARATOR) if part]

    def feed(self, data: bytes, ts_recv_ns: int) -> list[Slice]:
        """Take in one message and return the records that it completes; empty ones are passed over."""
        out: list[Slice] = []
        *whole, tail = data.split(SEPARATOR)
        for part in whole:
            self._grow(part, ts_recv_ns)
            if self.rest:
                out.append(Slice(self.rest_ns, bytes(self.rest), self.dropped > 0))
            self.rest, self.dropped = bytearray(), 0
        self._grow(tail, ts_recv_ns)
        return out

    def cut(self) -> Slice | None:
        """Return what is left of a record whose end will not come, since the connection is gone; and forget it."""
        left = Slice(self.rest_ns, bytes(self.rest), self.dropped > 0) if self.rest else None
        self.rest, self.dropped = bytearray(), 0
        return left

    def _grow(self, part: bytes, ts_recv_ns: int) -> None:
        if not part:
            return
        if not self.rest:
            self.rest_ns = ts_recv_ns
        room = max(self.bytes_max - len(self.rest), 0)
        self.rest += part[:room]
        self.dropped += max(len(part) - room, 0)


def decode(raw: bytes) -> Record | Malformed:
    """Read one record; never raises.

    >>> decode(b'{"type":3,"invocationId":"7","error":"no"}').error
    'no'
    >>> decode(b'{"type":3').reason
    'a record that is no JSON object of the protocol'
    """
    try:
        return _record(raw)
    except UNREADABLE as error:
        return Malformed("a record that is no JSON object of the protocol", str(error), raw)


def text_of(raw: Raw) -> str | None:
    """Return an argument that is text, else None."""
    try:
        return _text(raw)
    except UNREADABLE:
        return None


def read_handshake(raw: bytes) -> Handshake | Malformed:
    """Read the server's first record: an empty object, or one that says why not.

    >>> read_handshake(b"{}"), read_handshake(b'{"error":"no such protocol"}').error
    (Handshake(error=''), 'no such protocol')
    """
    try:
        answer = _handshake(raw)
    except UNREADABLE as error:
        return Malformed("a handshake that is no JSON object", str(error), raw)
    if "type" in answer:  # a record: the server did not wait for the handshake
        return Malformed("a record before the handshake", str(answer["type"]), raw)
    error_text = answer.get("error")
    return Handshake("" if error_text is None else str(error_text) or "no reason given")


def encode_invocation(target: str, arguments: Sequence[object], invocation_id: str = "") -> bytes:
    r"""Return the record that calls a method; without an id it is never answered.

    >>> encode_invocation("SubscribeContractTrades", ["CON.F.US.EP.Z26"], "1")[:47]
    b'{"type":1,"invocationId":"1","target":"Subscrib'
    """
    record: dict[str, object] = {"type": int(RecordType.INVOCATION)}
    if invocation_id:
        record["invocationId"] = invocation_id
    record |= {"target": target, "arguments": list(arguments)}
    return msgspec.json.encode(record) + SEPARATOR


def encode_completion(invocation_id: str, error: str = "") -> bytes:
    """Return a server's answer to an invocation: an error, or the empty result of a method that returns nothing."""
    record: dict[str, object] = {"type": int(RecordType.COMPLETION), "invocationId": invocation_id}
    record |= {"error": error} if error else {"result": None}
    return msgspec.json.encode(record) + SEPARATOR


def encode_close(error: str = "", *, allow_reconnect: bool = False) -> bytes:
    """Return the record with which either end says good-bye."""
    record: dict[str, object] = {"type": int(RecordType.CLOSE)}
    if error:
        record["error"] = error
    if allow_reconnect:
        record["allowReconnect"] = True
    return msgspec.json.encode(record) + SEPARATOR


def negotiate_url(hub: str) -> str:
    """Return where a connection to a hub is negotiated.

    >>> negotiate_url("https://rtc.topstepx.com/hubs/market")
    'https://rtc.topstepx.com/hubs/market/negotiate?negotiateVersion=1'
    """
    parts = urlsplit(hub)
    query = f"{parts.query}&negotiateVersion=1" if parts.query else "negotiateVersion=1"
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + "/negotiate", query, ""))


def socket_url(hub: str, *, token: str = "", socket_id: str = "") -> str:
    """Return the address of a hub's socket. It holds the token: it must never be logged.

    >>> socket_url("https://rtc.topstepx.com/hubs/user", token="t", socket_id="a b")
    'wss://rtc.topstepx.com/hubs/user?id=a%20b&access_token=t'
    """
    parts = urlsplit(hub)
    query = [parts.query] if parts.query else []
    query += [f"id={quote(socket_id, safe='')}"] if socket_id else []
    query += [f"access_token={quote(token, safe='')}"] if token else []
    scheme = {"https": "wss", "http": "ws"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, parts.path, "&".join(query), ""))


def read_negotiated(body: bytes) -> Negotiated:
    """Read the answer to a negotiation.

    Raises
    ------
    VenueProtocolError
        If it is none, or refuses, or offers no WebSockets.
    """
    try:
        answer = _negotiated(body)
    except UNREADABLE as error:
        raise VenueProtocolError("not an answer to a negotiation", found=str(error)) from None
    if answer.error:
        raise VenueProtocolError("the hub refuses to negotiate", found=answer.error)
    if answer.url:
        return answer
    offered = [str(t.get("transport", "")) for t in answer.availableTransports]
    if offered and "WebSockets" not in offered:
        raise VenueProtocolError("the hub offers no usable transport", expected="WebSockets", found=", ".join(offered))
    if not answer.socket_id:
        raise VenueProtocolError("not an answer to a negotiation", expected="connectionToken or connectionId")
    return answer
