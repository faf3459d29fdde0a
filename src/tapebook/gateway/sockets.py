"""One WebSocket of a hub: the thin layer between :class:`~tapebook.gateway.hubs.HubServer` and a transport.

What clients send is small and goes through the websockets library. What they are sent is not masked and hardly ever
needs more than a head of four bytes, so frames are put together here: that is what makes the rate.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from tapebook.gateway.faults import Faults, Held
from tapebook.gateway.hubs import Act, Call, Close, HubServer, Send, ServerTimes
from tapebook.gateway.source import Message
from tapebook.venues.credentials import Masking

if TYPE_CHECKING:
    from websockets.http11 import Request

__all__ = ["BUFFER_BYTES_MAX", "HubSocket", "frame"]

BUFFER_BYTES_MAX: Final = 64 << 20
"""A client of a market that does not wait is given up when so much waits for it."""

_FULL: Final = 1 << 18
_GIVE_UP_S: Final = 30.0
_LOG: Final = logging.getLogger("tapebook.gateway.socket")
_LOG.setLevel(logging.INFO)  # at DEBUG the library writes requests, and the address of a hub holds the token
_LOG.addFilter(Masking())


def frame(payload: bytes) -> bytes:
    r"""Return a text frame as a server sends it.

    >>> frame(b"hi"), frame(bytes(300))[:4]
    (b'\x81\x02hi', b'\x81~\x01,')
    """
    n = len(payload)
    if n < 126:
        return b"\x81" + n.to_bytes() + payload
    if n < 1 << 16:
        return b"\x81\x7e" + n.to_bytes(2) + payload
    return b"\x81\x7f" + n.to_bytes(8) + payload


class HubSocket:
    """A client's connection to a hub.

    Attributes
    ----------
    streams
        What it has subscribed.
    blocked
        It does not take what was sent: nothing more should be offered.
    """

    def __init__(
        self,
        name: str,
        request: Request,
        transport: asyncio.Transport,
        *,
        faults: Faults,
        frame_records: int,
        times: ServerTimes,
        timer: Callable[[], int],
        call: Callable[[HubSocket, Call], bytes],
        left: Callable[[HubSocket], None],
    ) -> None:
        self.name = name
        self.streams: set[int] = set()
        self.blocked = False
        self.frozen = False
        self.closed = False
        self.why = ""
        self.records = self.bytes = 0
        self.frame_records = frame_records
        self._transport, self._faults = transport, faults
        self._timer, self._call, self._left = timer, call, left
        self._hub = HubServer(name, timer(), times)
        self._held = Held()
        self._late: deque[tuple[int, bytes]] = deque()  # by the timer, what is sent then
        self._room = asyncio.Event()
        self._parts = bytearray()  # of a message in several frames
        transport.set_write_buffer_limits(high=_FULL)
        self._protocol = ServerProtocol(max_size=1 << 20, logger=_LOG)
        self._protocol.receive_data(request.serialize())
        asked: Any = next(iter(self._protocol.events_received()))
        self._protocol.send_response(self._protocol.accept(asked))
        self._flush()
        if self._protocol.state is not State.OPEN:  # a request that the library refuses, and has answered
            self.closed = True
            transport.close()

    # ---- what the transport tells --------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take in bytes of the socket."""
        if self.frozen or self.closed:
            return
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._frame(event)
        self._flush()

    def lost(self) -> None:
        """Note that the transport is gone."""
        if not self.closed:
            self.why = self.why or "the client went away"
            self._gone()

    def pause(self) -> None:
        """Offer nothing more: too much waits in the transport."""
        self.blocked = True
        self._room.clear()

    def resume(self) -> None:
        """Go on: there is room again."""
        self.blocked = len(self._late) > 1000
        if not self.blocked:
            self._room.set()

    # ---- what the market tells -----------------------------------------------------------------------------------

    def offer(self, batch: Sequence[Message]) -> None:
        """Send what of the batch was subscribed."""
        streams = self.streams
        if not streams or self.frozen or self.closed:
            return
        if self._faults.on_records or self._held.merge_n or self._held.swapped:
            self._treated([(m.stream, m.record) for m in batch if m.stream in streams])
        else:
            records = [m.record for m in batch if m.stream in streams]
            if records:
                self.records += len(records)
                n = self.frame_records
                if n > 1:
                    records = [b"".join(records[i : i + n]) for i in range(0, len(records), n)]
                self._write(b"".join(map(frame, records)))

    async def room(self) -> None:
        """Wait until more may be sent, or the connection is gone."""
        while self.blocked and not (self.closed or self.frozen):
            await self._room.wait()

    def send(self, record: bytes) -> None:
        """Send a record, behind everything that was offered."""
        if record and not (self.frozen or self.closed):
            self._write(frame(record))

    # ---- what is done to it --------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """Do what the passing of time asks for."""
        if self.frozen or self.closed:
            return
        act = self._hub.due(now_ns)
        if act is not None:
            self._act(act)
        if self._transport.get_write_buffer_size() > BUFFER_BYTES_MAX:
            self.abort("too slow")

    def freeze(self) -> None:
        """Keep the socket, and neither read nor write any more."""
        self.frozen = True
        self._transport.pause_reading()
        self._room.set()

    def hang_up(self, record: bytes, why: str) -> None:
        """Say good-bye and close."""
        if self.closed:
            return
        self.send(record)
        self._release()
        self.why = why
        self._protocol.send_close(1000)
        self._flush()
        self._transport.close()
        asyncio.get_running_loop().call_later(_GIVE_UP_S, self._transport.abort)  # a client that does not read
        self._gone()

    def abort(self, why: str) -> None:
        """Cut the socket."""
        if not self.closed:
            self.why = why
            self._transport.abort()
            self._gone()

    # ---- parts ---------------------------------------------------------------------------------------------------

    def _frame(self, event: Frame) -> None:
        if event.opcode is Opcode.CLOSE:
            self.why = "the client closed"
            self._flush()
            self._transport.close()
            self._gone()
        elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._parts += event.data
            if event.fin:
                data, self._parts = bytes(self._parts), bytearray()
                for act in self._hub.receive(data, self._timer()):
                    self._act(act)

    def _act(self, act: Act) -> None:
        if isinstance(act, Send):
            self.send(act.record)
        elif isinstance(act, Close):
            self.hang_up(act.record, act.why)
        else:
            after = self._call(self, act)
            self.send(act.answer)
            self.send(after)

    def _treated(self, records: list[tuple[int, bytes]]) -> None:
        self.records += len(records)
        out: list[bytes] = []
        for payload, wait_ns in self._faults.treat(records, self._held):
            if wait_ns:
                self._write(b"".join(out))
                out = []
                self._wait(wait_ns)
            out.append(frame(payload))
        if out:
            self._write(b"".join(out))

    def _wait(self, wait_ns: int) -> None:
        """Let what is written from now on leave later."""
        now = self._timer()
        base = max(self._late[-1][0], now) if self._late else now
        self._late.append((base + wait_ns, b""))
        if len(self._late) == 1:
            asyncio.get_running_loop().call_later(wait_ns / 1e9, self._catch_up)
        if len(self._late) > 1000:
            self.pause()

    def _catch_up(self) -> None:
        now = self._timer()
        while self._late and self._late[0][0] <= now:
            self._put(self._late.popleft()[1])
        if self._late and not self.closed:
            asyncio.get_running_loop().call_later(max((self._late[0][0] - now) / 1e9, 0.0), self._catch_up)
        if self.blocked and len(self._late) <= 1000 and self._transport.get_write_buffer_size() < _FULL:
            self.resume()

    def _release(self) -> None:
        while self._late:
            self._put(self._late.popleft()[1])

    def _write(self, data: bytes) -> None:
        if self._late:  # it waits with what is before it
            due, before = self._late[-1]
            self._late[-1] = (due, before + data)
        else:
            self._put(data)

    def _put(self, data: bytes) -> None:
        if data and not (self.frozen or self.closed):
            self.bytes += len(data)
            self._hub.sent(self._timer())
            self._transport.write(data)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
        if isinstance(self._protocol.parser_exc, ProtocolError):
            self.abort("the client broke the protocol of WebSockets")

    def _gone(self) -> None:
        self.closed = True
        self.streams.clear()
        self._late.clear()
        self._room.set()
        self._left(self)
