"""Fan-out: a session's events into Redis Streams, for readers in other processes and on other machines.

It follows the journal as the database's follower does, in a process of its own: a slow or absent Redis never holds the
capture up, it only makes the fan-out late. How far it is stands in Redis, in the same transaction as the entries
(``MULTI``), so that a restart sends nothing twice and leaves nothing out, whenever it was killed; an answer that was
lost with the connection is looked up there too. Streams are bounded (``MAXLEN ~``): a reader that is too late is told
how much it missed, and finds the book in the stream every so often. What the keys and entries are:
:mod:`tapebook.venues.redis.wire`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from tapebook.capture.checkpoint import load_checkpoint
from tapebook.capture.decode import Decoded, Decoder
from tapebook.capture.fanout_blocks import Books, blocks_of
from tapebook.capture.fanout_streams import Load, Streams
from tapebook.capture.sessions import Captured, capturing
from tapebook.capture.settings import CHECKPOINTS, JOURNAL
from tapebook.market.errors import ConfigurationError, StoreError, VenueDenied, VenueError
from tapebook.store.journal_read import JournalReader
from tapebook.venues.credentials import Secret
from tapebook.venues.redis.wire import PREFIX, Block, Keys, encode_block

__all__ = ["Fanout", "FanoutSettings", "FanoutState"]

_FRAMES: Final = 2_000
_POLL_S: Final = 0.005
_IDLE_S: Final = 0.5  # how often it is asked whether the capture still runs, while nothing comes
_WAITS_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_PASSING: Final = ("OOM", "LOADING", "READONLY", "BUSY", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS")
"""How answers begin that say: not now."""


@dataclass(frozen=True, kw_only=True)
class FanoutSettings:
    """What a fan-out is told.

    Attributes
    ----------
    url
        Of the server; may hold a password.
    prefix
        Of the keys.
    entries_max
        About how many entries a contract's stream keeps.
    events_max
        In one entry; a message is never cut.
    book_entries, book_s
        After so many entries of a contract, or so long, its book goes into its stream.
    follow
        Go on while the session is being captured; else end where it stands.
    request_s
        Patience with the server.
    """

    url: Secret
    prefix: str = PREFIX
    entries_max: int = 10_000
    events_max: int = 512
    book_entries: int = 200
    book_s: float = 10.0
    follow: bool = True
    request_s: float = 10.0

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("entries_max", "events_max", "book_entries"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is too small", expected="1 or more", found=str(getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class FanoutState:
    """How far a fan-out is.

    Attributes
    ----------
    state
        ``following``, ``waiting`` (for Redis: ``error`` says why), ``done``.
    position
        The journal's last frame that is in Redis.
    frames, events, entries
        Sent by this process.
    """

    state: str
    position: int = 0
    frames: int = 0
    events: int = 0
    entries: int = 0
    error: str = ""


class Fanout:
    """Brings a session's events into Redis, and keeps them coming.

    Parameters
    ----------
    session
        Which one; it needs its journal.
    settings
        See :class:`FanoutSettings`.
    tell
        Gets the state when it changes, and now and then.
    ended
        Whether to stop (a signal).
    sleep, timer
        What waits, and a clock of seconds that does not jump.
    """

    def __init__(
        self,
        session: Captured,
        settings: FanoutSettings,
        *,
        tell: Callable[[FanoutState], None] = lambda _: None,
        ended: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        if session.journal is None and session.state != "running":
            raise StoreError(
                "the session has no journal",
                where=str(session.folder or session.shown),
                remedy="a fan-out runs on the machine of the capture",
            )
        self.session, self.settings = session, settings
        self._tell, self._ended, self._sleep, self._timer = tell, ended, sleep, timer
        decoder = Decoder(session.sources)
        self._instruments = {
            contract: decoder.table[int(decoder.instrument_of[i])] for i, (contract, _) in enumerate(decoder.contracts)
        }
        self._books = Books({contract: instrument.tick_e9 for contract, instrument in self._instruments.items()})
        # By contract: entries since its last book, and when that was.
        self._since = {contract: (0, timer()) for contract in self._instruments}
        self._streams = Streams(
            settings.url,
            Keys(session.name, settings.prefix),
            whose=f"{session.name} {session.started_ns}",
            entries_max=settings.entries_max,
            request_s=settings.request_s,
        )
        self._frames = self._events = self._entries = 0
        self._told_s = -1e9

    def run(self) -> FanoutState:
        """Send until the session has ended (or where it stands, or until told); return the last state.

        Raises
        ------
        VenueDenied
            If the server refuses the password.
        VenueError
            If it refuses something else that waiting would not mend.
        StoreError
            If another session of this name, or another process, writes these streams.
        """
        streams = self._streams
        try:
            if not self._patiently(partial(streams.begin, self.session.name, self._instruments, self._books)):
                return self._state("waiting")
            decoder = self._decoder()
            for decoded, frames in self._decoded(decoder):
                load = self._load(decoder, decoded, frames)
                if not self._patiently(partial(self._send, load)):
                    return self._state("waiting")
                self._say("following")
            self._say("done", force=True)
            return self._state("done")
        finally:
            streams.close()

    # ---- the journal -----------------------------------------------------------------------------------------------

    def _decoder(self) -> Decoder:
        """Return a decoder that knows what it must know of the frames that were sent."""
        folder, position = self.session.folder, self._streams.position
        assert folder is not None
        decoder = Decoder(self.session.sources)
        identity = msgspec.json.encode(list(self.session.sources)).decode()
        found = load_checkpoint(folder / CHECKPOINTS, position, identity)
        if found is not None:
            decoder.restore(found[1])
        if decoder.last_sequence < position:
            with JournalReader(folder / JOURNAL, start=decoder.last_sequence + 1, through=position) as reader:
                while frames := reader.read(_FRAMES):
                    decoder.feed(frames)
                    decoder.build()
            decoder.skip_to(position)
            decoder.build()
        return decoder

    def _decoded(self, decoder: Decoder) -> Iterator[tuple[Decoded, int]]:
        """Yield what frames become, as they come."""
        folder = self.session.folder
        assert folder is not None
        asked_s = -1e9
        over = False
        with JournalReader(folder / JOURNAL, start=self._streams.position + 1) as reader:
            while not self._ended():
                frames = reader.read(_FRAMES)
                if frames:
                    decoder.feed(frames)
                    yield decoder.build(), len(frames)
                elif over or not self.settings.follow:
                    return
                elif self._timer() - asked_s >= _IDLE_S:
                    asked_s = self._timer()
                    over = not capturing(folder)  # then once more: what was written before the end is still to be read
                    self._say("following")
                else:
                    self._sleep(_POLL_S)

    def _load(self, decoder: Decoder, decoded: Decoded, frames: int) -> Load:
        sent = dict(self._streams.sent)
        entries: list[tuple[str, bytes, bool]] = []
        for contract, events, numbers in blocks_of(decoder, decoded, self.settings.events_max):
            block = Block(contract, sent[contract], int(numbers[0]), int(numbers[-1]), events)
            entries.append((contract, encode_block(block), False))
            sent[contract] += events.size
            self._books.see(contract, events)
            count, since_s = self._since[contract]
            self._since[contract] = count + 1, since_s
        now_s, last = self._timer(), decoder.last_sequence
        for contract, (count, since_s) in self._since.items():
            due = count >= self.settings.book_entries or (count and now_s - since_s >= self.settings.book_s)
            book = self._books.events(contract) if due else None
            if book is not None:
                entries.append((contract, encode_block(Block(contract, sent[contract], last, last, book, True)), True))
                self._since[contract] = 0, now_s
        return Load(last, entries, sent, frames, decoded.events.size)

    # ---- Redis -----------------------------------------------------------------------------------------------------

    def _send(self, load: Load) -> None:
        self._streams.send(load)
        self._frames += load.frames
        self._events += load.events
        self._entries += len(load.entries)

    def _patiently(self, work: Callable[[], None]) -> bool:
        """Do something however long Redis is away; return False where it is to end meanwhile."""
        import redis

        failures = 0
        while True:
            try:
                work()
            except redis.AuthenticationError as error:
                found = self._streams.text(error)
                raise VenueDenied("Redis does not let us in", found=found, where=self._streams.where) from None
            except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError, OSError) as error:
                # A full memory, a server that loads its data or is read-only for now: all of that passes.
                text = self._streams.text(error)
                if isinstance(error, redis.ResponseError) and not text.startswith(_PASSING):
                    raise VenueError("Redis refused", found=text, where=self._streams.where) from None
                self._say("waiting", error=text, force=True)
                until = self._timer() + _WAITS_S[min(failures, len(_WAITS_S) - 1)]
                failures += 1
                while self._timer() < until:
                    if self._ended():
                        return False
                    self._sleep(0.05)
            else:
                return True

    def _state(self, state: str, error: str = "") -> FanoutState:
        return FanoutState(
            state=state,
            position=self._streams.position,
            frames=self._frames,
            events=self._events,
            entries=self._entries,
            error=error,
        )

    def _say(self, state: str, *, error: str = "", force: bool = False) -> None:
        now_s = self._timer()
        if force or now_s - self._told_s >= _IDLE_S:
            self._told_s = now_s
            self._tell(self._state(state, error))
