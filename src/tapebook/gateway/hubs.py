"""The server's end of one SignalR connection, without its socket: what to answer, whom to call, when to hang up.

Time is an argument (ns of a clock that does not jump). As the framework does it: the client speaks first, within 15 s;
a hub's methods are found ignoring case; an invocation without an id is never answered; the hub pings when it has said
nothing for 15 s and gives a client up that has said nothing for 30; a message over 32 KiB ends the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from tapebook.venues.signalr import (
    PING,
    SEPARATOR,
    UNREADABLE,
    Malformed,
    Record,
    RecordType,
    Splitter,
    decode,
    encode_close,
    encode_completion,
)

__all__ = ["HUBS", "Act", "Call", "Close", "HubServer", "Send", "ServerTimes"]

_S: Final = 1_000_000_000

_MARKET: Final = {
    f"{verb}{what}": (str,)
    for verb in ("Subscribe", "Unsubscribe")
    for what in ("ContractQuotes", "ContractTrades", "ContractMarketDepth")
}
_USER: Final[dict[str, tuple[type, ...]]] = {
    f"{verb}{what}": () if what == "Accounts" else (int,)
    for verb in ("Subscribe", "Unsubscribe")
    for what in ("Accounts", "Orders", "Positions", "Trades")
}
HUBS: Final[Mapping[str, Mapping[str, tuple[type, ...]]]] = {"market": _MARKET, "user": _USER}
"""Methods of the hubs and what they are called with."""


class ServerTimes(NamedTuple):
    """Seconds, and bytes of the longest message; the framework's own."""

    handshake_s: float = 15.0
    ping_s: float = 15.0
    silence_s: float = 30.0
    receive_bytes: int = 32 * 1024


class Send(NamedTuple):
    """Write a record."""

    record: bytes


class Call(NamedTuple):
    """Carry out a method, then write the answer, if there is one."""

    target: str  # spelt as the hub spells it
    arguments: tuple[Any, ...]
    answer: bytes


class Close(NamedTuple):
    """Write the record, if there is one, and hang up."""

    record: bytes
    why: str


Act: TypeAlias = Send | Call | Close


class HubServer:
    r"""The state of one connection.

    Examples
    --------
    >>> hub = HubServer("market", 0)
    >>> hub.receive(b'{"protocol":"json","version":1}\x1e', 1)
    [Send(record=b'{}\x1e')]
    >>> call = b'{"type":1,"target":"subscribecontractquotes","invocationId":"1","arguments":["CON.F.US.EP.H24"]}\x1e'
    >>> hub.receive(call, 2)[0].target
    'SubscribeContractQuotes'
    """

    def __init__(self, name: str, now_ns: int, times: ServerTimes | None = None) -> None:
        self.times = times or ServerTimes()
        self.opened = False
        self._methods = {method.lower(): (method, types) for method, types in HUBS[name].items()}
        self._began_ns = self._heard_ns = self._sent_ns = now_ns
        self._splitter = Splitter(self.times.receive_bytes)

    def receive(self, data: bytes, now_ns: int) -> list[Act]:
        """Take in one message of the socket."""
        self._heard_ns = now_ns
        if len(data) > self.times.receive_bytes:
            return [_too_long(self.times.receive_bytes)]
        acts: list[Act] = []
        for part in self._splitter.feed(data, now_ns):
            if part.too_long:
                acts.append(_too_long(self.times.receive_bytes))
            else:
                acts += self._record(part.raw) if self.opened else [self._handshake(part.raw)]
            if acts and isinstance(acts[-1], Close):
                break
        if self._splitter.dropped:  # a record that goes on over messages, and is too long already
            acts.append(_too_long(self.times.receive_bytes))
        return acts

    def sent(self, now_ns: int) -> None:
        """Note that something was sent."""
        self._sent_ns = now_ns

    def due(self, now_ns: int) -> Act | None:
        """Return what the passing of time asks for."""
        times = self.times
        if not self.opened:
            late = now_ns - self._began_ns >= times.handshake_s * _S
            return Close(_refusal("Handshake was canceled."), "no handshake") if late else None
        if now_ns - self._heard_ns >= times.silence_s * _S:
            error = "Connection closed with an error."
            return Close(encode_close(error), f"nothing heard for {times.silence_s:g} s")
        return Send(PING) if now_ns - self._sent_ns >= times.ping_s * _S else None

    def _handshake(self, raw: bytes) -> Act:
        try:
            asked = msgspec.json.decode(raw)
        except UNREADABLE:
            asked = None
        if not isinstance(asked, dict) or "protocol" not in asked or "version" not in asked:
            return Close(_refusal("An unexpected error occurred during connection handshake."), "no handshake")
        name, version = asked["protocol"], asked["version"]
        if name != "json":
            return Close(_refusal(f"The protocol '{name}' is not supported."), "another protocol")
        if version not in (0, 1):
            text = f"The server does not support version {version} of the '{name}' protocol."
            return Close(_refusal(text), "another version")
        self.opened = True
        return Send(b"{}" + SEPARATOR)

    def _record(self, raw: bytes) -> list[Act]:
        record = decode(raw)
        if isinstance(record, Malformed):
            error = "Connection closed with an error."
            return [Close(encode_close(f"{error} InvalidDataException: Error reading JSON."), record.reason)]
        if record.type in (RecordType.INVOCATION, RecordType.STREAM_INVOCATION):
            return self._invoke(record)
        if record.type == RecordType.CLOSE:
            return [Close(b"", "the client closed")]
        return []  # pings, cancels, and what the protocol does not know yet

    def _invoke(self, record: Record) -> list[Act]:
        wanted = record.target or ""
        name, types = self._methods.get(wanted.lower(), ("", ()))
        failed = f"Failed to invoke '{wanted}' due to an error on the server."
        if not name:
            return _answer(record, f"{failed} HubException: Method does not exist.")
        if record.type == RecordType.STREAM_INVOCATION:
            text = f"The client attempted to invoke the non-streaming '{wanted}' method with a streaming invocation."
            return _answer(record, text)
        raw = record.arguments or []
        try:
            arguments: tuple[Any, ...] = tuple(msgspec.json.decode(a, type=t) for a, t in zip(raw, types, strict=True))
        except UNREADABLE:
            return _answer(record, failed)
        return [Call(name, arguments, encode_completion(record.invocationId) if record.invocationId else b"")]


def _answer(record: Record, error: str) -> list[Act]:
    return [Send(encode_completion(record.invocationId, error))] if record.invocationId else []


def _refusal(error: str) -> bytes:
    return msgspec.json.encode({"error": error}) + SEPARATOR


def _too_long(bytes_max: int) -> Close:
    text = (
        "Connection closed with an error. InvalidDataException: "
        f"The maximum message size of {bytes_max}B was exceeded. The message size can be configured in AddHubOptions."
    )
    return Close(encode_close(text), "a message over the size limit")
