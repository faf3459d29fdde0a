"""One connection to a SignalR hub, without its socket: what to send, what was heard, what is overdue.

Time is an argument (ns of any clock that does not jump). The order of a connection: :data:`HANDSHAKE_REQUEST`, the
server's answer, then invocations, each with an id and answered by a completion. Either end sends a ping when it has
said nothing for a while, and gives up on the other after a longer silence. An application's ping is a record, not a
frame of the WebSocket.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from tapebook.venues.signalr import (
    PING,
    Handshake,
    Malformed,
    Record,
    RecordType,
    Splitter,
    decode,
    encode_invocation,
    read_handshake,
)

__all__ = ["Heard", "Hub", "HubTimes", "What"]

_S: Final = 1_000_000_000


class HubTimes(NamedTuple):
    """Seconds; the defaults are the framework's own, and what clients of hubs agree on."""

    handshake_s: float = 15.0
    answer_s: float = 10.0
    ping_s: float = 15.0
    silence_s: float = 30.0


class What(Enum):
    """What was heard."""

    OPENED = "the hub answered the handshake"
    EVENT = "the hub called"
    ANSWERED = "the hub answered an invocation"
    CLOSED = "the hub closes"
    MALFORMED = "a record that cannot be read"


class Heard(NamedTuple):
    """One thing that was heard."""

    what: What
    target: str = ""  # EVENT: its name; ANSWERED: the method's
    argument: bytes = b""  # EVENT: the first one as it stands there; ANSWERED: the invocation's arguments in JSON
    error: str = ""  # ANSWERED, CLOSED: why not; MALFORMED: the reason
    allow_reconnect: bool = False


class _Pending(NamedTuple):
    target: str
    arguments: bytes
    due_ns: int


class Hub:
    r"""The state of one connection.

    Examples
    --------
    >>> hub = Hub(0)
    >>> [heard.what.name for heard in hub.receive(b"{}\x1e", 5)]
    ['OPENED']
    >>> hub.invoke("SubscribeContractTrades", ["CON.F.US.EP.Z26"], 6)[:35]
    b'{"type":1,"invocationId":"1","targe'
    >>> heard = hub.receive(b'{"type":3,"invocationId":"1","result":null}\x1e', 7)[0]
    >>> heard.what.name, heard.target, hub.overdue(31 * 10**9)
    ('ANSWERED', 'SubscribeContractTrades', 'nothing heard for 30 s')
    """

    def __init__(self, now_ns: int, times: HubTimes | None = None) -> None:
        self.times = times or HubTimes()
        self.opened = False
        self._began_ns = now_ns
        self._heard_ns = now_ns
        self._sent_ns = now_ns
        self._next_id = 1
        self._pending: dict[str, _Pending] = {}
        self._splitter = Splitter()

    def receive(self, data: bytes, now_ns: int) -> list[Heard]:
        """Take in one message of the socket."""
        self._heard_ns = now_ns
        out: list[Heard] = []
        whole = self._splitter.whole(data)
        if whole is not None:
            for raw in whole:
                out += self._record(raw)
            return out
        for part in self._splitter.feed(data, now_ns):
            if part.too_long:
                out.append(Heard(What.MALFORMED, error="a record over the size limit"))
            else:
                out += self._record(part.raw)
        return out

    def invoke(self, target: str, arguments: Sequence[object], now_ns: int) -> bytes:
        """Return the record that calls a method; its answer is awaited from now on."""
        name = str(self._next_id)
        self._next_id += 1
        record = encode_invocation(target, arguments, name)
        text = record[record.index(b'"arguments":') + 12 : -2]
        self._pending[name] = _Pending(target, text, now_ns + round(self.times.answer_s * _S))
        self._sent_ns = now_ns
        return record

    def ping(self, now_ns: int) -> bytes:
        """Return a ping if nothing was sent for a while, else nothing."""
        if not self.opened or now_ns - self._sent_ns < self.times.ping_s * _S:
            return b""
        self._sent_ns = now_ns
        return PING

    def busy(self, now_ns: int) -> None:
        """Say that we ourselves read nothing until now: the hub's silence counts from here."""
        self._heard_ns = max(self._heard_ns, now_ns)

    def overdue(self, now_ns: int) -> str:
        """Return why this connection is to be given up, or nothing."""
        times = self.times
        if not self.opened and now_ns - self._began_ns >= times.handshake_s * _S:
            return f"no answer to the handshake for {times.handshake_s:g} s"
        if now_ns - self._heard_ns >= times.silence_s * _S:
            return f"nothing heard for {times.silence_s:g} s"
        late = next((p for p in self._pending.values() if now_ns >= p.due_ns), None)
        return f"no answer to {late.target} for {times.answer_s:g} s" if late else ""

    def _record(self, raw: bytes) -> list[Heard]:
        if not self.opened:
            return [self._opening(raw)]
        record = decode(raw)
        if isinstance(record, Malformed):
            return [Heard(What.MALFORMED, error=record.reason)]
        if record.type == RecordType.INVOCATION:
            first = bytes(record.arguments[0]) if record.arguments else b""
            return [Heard(What.EVENT, record.target or "", first)]
        if record.type == RecordType.COMPLETION:
            return self._answered(record)
        if record.type == RecordType.CLOSE:
            error = record.error or "no reason given"
            return [Heard(What.CLOSED, error=error, allow_reconnect=bool(record.allowReconnect))]
        return []

    def _opening(self, raw: bytes) -> Heard:
        answer = read_handshake(raw)
        if isinstance(answer, Handshake) and not answer.error:
            self.opened = True
            return Heard(What.OPENED)
        why = answer.error if isinstance(answer, Handshake) else answer.reason
        return Heard(What.CLOSED, error=f"the handshake failed: {why}")

    def _answered(self, record: Record) -> list[Heard]:
        pending = self._pending.pop(record.invocationId or "", None)
        if pending is None:
            return []
        return [Heard(What.ANSWERED, pending.target, pending.arguments, record.error or "")]
