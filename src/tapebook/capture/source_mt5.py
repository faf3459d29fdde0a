"""A MetaTrader 5 terminal as a capture sees it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final

from tapebook.capture.notes import Note
from tapebook.capture.sources import Sink, SourceRequest, note_of
from tapebook.market.clock import Clock
from tapebook.market.errors import ConfigurationError
from tapebook.store.journal_format import FrameKind
from tapebook.venues.frames import Received, What
from tapebook.venues.mt5.session import Session
from tapebook.venues.mt5.settings import Settings

__all__ = ["MT5"]

_KINDS: Final = {What.CONNECTED: FrameKind.CONNECT, What.LOST: FrameKind.DISCONNECT}
_KEPT: Final = ("description", "digits", "point", "trade_tick_size", "trade_contract_size", "volume_step")
_CHANNELS: Final = {"ticks": "quotes", "book": "depth"}


class MT5:
    """Ticks and sampled books of a terminal; ticks bring quotes and trades together."""

    lines = ("terminal",)

    def __init__(self, request: SourceRequest, clock: Clock) -> None:
        self.warnings: list[str] = []
        addresses = dict(request.addresses)
        since_ms = addresses.pop("since_ms", None)
        try:
            self._settings = Settings(**addresses)
        except TypeError as error:
            raise ConfigurationError("an unknown setting of the venue", found=str(error), where="mt5") from None
        ticks = request.quotes or request.trades
        if ticks and not (request.quotes and request.trades):
            self.warnings.append("a terminal's ticks bring quotes and trades together: both are captured")
        self._session = Session(
            self._settings,
            clock=clock,
            chance=random.SystemRandom(),
            contracts=request.contracts,
            ticks=ticks,
            book=request.depth,
            since_ms=since_ms,
        )

    async def describe(self) -> list[dict[str, Any]]:
        """Ask the terminal; what changes from day to day is left out, and the zone of its clock stands beside it."""
        return [
            {"id": told["id"], **{name: told[name] for name in _KEPT if name in told}, "zone": self._settings.zone}
            for told in await self._session.describe()
        ]

    async def run(self, sink: Sink, numbers: Sequence[int]) -> None:
        """Hand on frames and notes."""
        number, kind = numbers[0], int(FrameKind.FRAME)
        fresh = True
        async with aclosing(self._session.frames()) as frames:
            async for item in frames:
                if not isinstance(item, Received):
                    sink.note(0, item.ts_recv_ns, _KINDS.get(item.what, FrameKind.NOTE), note_of(item, _CHANNELS))
                    fresh = fresh or item.what is What.CONNECTED
                    continue
                sink.frames(0, ((item.ts_recv_ns, number, kind, item.data),))
                if fresh:
                    fresh = False
                    note = Note(what=What.SUBSCRIBED.value, text="the terminal answers", connection=item.connection)
                    sink.note(0, item.ts_recv_ns, FrameKind.SUBSCRIBE, note)

    def clock_address(self) -> str:
        """Return nothing: a terminal has no clock to ask; the zone is checked by its first ticks."""
        return ""

    async def aclose(self) -> None:
        """Let go of the terminal's thread."""
        await self._session.aclose()
