"""Fan-out: a session's events into Redis Streams, for readers in other processes and on other machines.

It follows the journal as the database's follower does, in a process of its own: a slow or absent Redis never holds the
capture up, it only makes the fan-out late. How far it is stands in Redis, in the same transaction as the entries
(``MULTI``), so that a restart sends nothing twice and leaves nothing out, whenever it was killed; an answer that was
lost with the connection is looked up there too. Streams are bounded (``MAXLEN ~``): a reader that is too late is told
how much it missed. What the keys and entries are: :mod:`tapebook.venues.redis.wire`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from tapebook.capture.checkpoint import load_checkpoint
from tapebook.capture.decode import Decoded, Decoder
from tapebook.capture.sessions import Captured, capturing
from tapebook.capture.settings import CHECKPOINTS
from tapebook.market.errors import ConfigurationError, StoreError, VenueDenied, VenueError
from tapebook.market.events import Events, Flag
from tapebook.store.journal_read import JournalReader
from tapebook.venues.credentials import Secret
from tapebook.venues.redis.settings import shown_url
from tapebook.venues.redis.wire import FIELD, PREFIX, Block, ContractTable, Keys, encode_block, encode_table

__all__ = ["Fanout", "FanoutSettings", "FanoutState"]

_FRAMES: Final = 2_000
_POLL_S: Final = 0.005
_IDLE_S: Final = 0.5  # how often it is asked whether the capture still runs, while nothing comes
_PASSING: Final = ("OOM", "LOADING", "READONLY", "BUSY", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS")
"""How answers begin that say: not now."""
_WAITS_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


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
    follow
        Go on while the session is being captured; else end where it stands.
    request_s
        Patience with the server.
    """

    url: Secret
    prefix: str = PREFIX
    entries_max: int = 10_000
    events_max: int = 512
    follow: bool = True
    request_s: float = 10.0

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("entries_max", "events_max"):
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


@dataclass(frozen=True)
class _Load:
    """What goes into Redis in one transaction."""

    position: int
    frames: int
    n_events: int
    entries: list[tuple[str, bytes]]
    sent: dict[str, int]  # events by contract, with these


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
        if session.journal is None and not (session.folder and session.state == "running"):
            raise StoreError(
                "the session has no journal",
                where=str(session.folder or session.shown),
                remedy="a fan-out runs on the machine of the capture",
            )
        self.session, self.settings = session, settings
        self._tell, self._ended, self._sleep, self._timer = tell, ended, sleep, timer
        self._keys = Keys(session.name, settings.prefix)
        self._whose = f"{session.name} {session.started_ns}"
        self._client: Any = None
        self._position = self._frames = self._events = self._entries = 0
        self._sent: dict[str, int] = {}
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
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        timeout = self.settings.request_s
        self._client = redis.Redis.from_url(
            self.settings.url.reveal(),
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),  # what is tried again, and when, is decided here
        )
        try:
            if not self._patiently(self._begin):
                return self._state("waiting")
            decoder = self._decoder()
            for decoded, frames in self._decoded(decoder):
                load = self._load(decoder, decoded, frames)
                if not self._patiently(lambda load=load: self._send(load)):  # type: ignore[misc] # mypy does not infer the default's type
                    return self._state("waiting")
                self._say("following")
            self._say("done", force=True)
            return self._state("done")
        finally:
            self._client.close()

    # ---- the journal -----------------------------------------------------------------------------------------------

    def _decoder(self) -> Decoder:
        """Return a decoder that knows what it must know of the frames that were sent."""
        session = self.session
        assert session.folder is not None
        decoder = Decoder(session.sources)
        identity = msgspec.json.encode(list(session.sources)).decode()
        found = load_checkpoint(session.folder / CHECKPOINTS, self._position, identity)
        if found is not None:
            decoder.restore(found[1])
        if decoder.last_sequence < self._position:
            with JournalReader(
                session.folder / "journal", start=decoder.last_sequence + 1, through=self._position
            ) as reader:
                while frames := reader.read(_FRAMES):
                    decoder.feed(frames)
                    decoder.build()
            decoder.skip_to(self._position)
            decoder.build()
        return decoder

    def _decoded(self, decoder: Decoder) -> Iterator[tuple[Decoded, int]]:
        """Yield what frames become, as they come."""
        folder = self.session.folder
        assert folder is not None
        asked_s = -1e9
        with JournalReader(folder / "journal", start=self._position + 1) as reader:
            over = False
            while not self._ended():
                frames = reader.read(_FRAMES)
                if frames:
                    decoder.feed(frames)
                    yield decoder.build(), len(frames)
                    continue
                if over or not self.settings.follow:
                    return
                if self._timer() - asked_s >= _IDLE_S:
                    asked_s = self._timer()
                    over = not capturing(folder)  # then once more: what was written before the end is still to be read
                    self._say("following")
                    continue
                self._sleep(_POLL_S)

    def _load(self, decoder: Decoder, decoded: Decoded, frames: int) -> _Load:
        sent = dict(self._sent)
        entries: list[tuple[str, bytes]] = []
        for contract, events, numbers in _blocks(decoder, decoded, self.settings.events_max):
            first = sent.get(contract, 0)
            block = Block(contract, first, int(numbers[0]), int(numbers[-1]), events)
            entries.append((contract, encode_block(block)))
            sent[contract] = first + events.size
        return _Load(decoder.last_sequence, frames, decoded.events.size, entries, sent)

    # ---- Redis -----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Find out how far it is; make the streams if they are not there."""
        known = self._client.hgetall(self._keys.position)
        if known:
            self._check(known)
            self._position = int(known[b"sequence"])
            self._sent = {
                name.decode().removeprefix("events "): int(n)
                for name, n in known.items()
                if name.startswith(b"events ")
            }
            return
        decoder = Decoder(self.session.sources)
        table = encode_table(
            ContractTable(
                self.session.name,
                {
                    contract: decoder.table[int(decoder.instrument_of[i])]
                    for i, (contract, _) in enumerate(decoder.contracts)
                },
            )
        )
        import redis

        with self._client.pipeline(transaction=True) as pipe:
            pipe.watch(self._keys.position)
            if pipe.exists(self._keys.position):
                raise redis.ConnectionError("another fan-out began at this moment")  # looked at again
            pipe.multi()
            pipe.set(self._keys.contracts, table)
            for contract, _ in decoder.contracts:
                pipe.delete(self._keys.stream(contract))
                pipe.xadd(self._keys.stream(contract), {FIELD: table})
                self._sent[contract] = 0
            values = {"whose": self._whose, "sequence": 0} | {f"events {c}": 0 for c in self._sent}
            pipe.hset(self._keys.position, mapping=values)
            pipe.execute()

    def _send(self, load: _Load) -> None:
        """Put entries and position into Redis; what is there already (the answer was lost) is not put there again."""
        import redis

        with self._client.pipeline(transaction=True) as pipe:
            pipe.watch(self._keys.position)
            known = pipe.hgetall(self._keys.position)
            self._check(known)
            position = int(known[b"sequence"])
            if position == load.position > self._position:
                pipe.unwatch()
            elif position != self._position:
                raise StoreError(
                    "another process sends this session",
                    expected=f"frame {self._position}",
                    found=f"frame {position}",
                    where=self._where,
                    remedy="run one fan-out for a session",
                )
            else:
                pipe.multi()
                for contract, frame in load.entries:
                    pipe.xadd(
                        self._keys.stream(contract), {FIELD: frame}, maxlen=self.settings.entries_max, approximate=True
                    )
                values = {"sequence": load.position} | {f"events {c}": n for c, n in load.sent.items()}
                pipe.hset(self._keys.position, mapping=values)
                try:
                    pipe.execute()
                except redis.WatchError:  # whoever it was, the position says it when we look again
                    raise redis.ConnectionError("the position changed meanwhile") from None
        self._position, self._sent = load.position, load.sent
        self._frames += load.frames
        self._events += load.n_events
        self._entries += len(load.entries)

    def _check(self, known: dict[bytes, bytes]) -> None:
        if known.get(b"whose", b"").decode() != self._whose:
            raise StoreError(
                "these streams are another session's" if known else "Redis has lost how far it was",
                expected=self._whose,
                found=known.get(b"whose", b"nothing").decode(),
                where=self._where,
                remedy="name another --prefix" if known else "start the fan-out again: it begins with the journal",
            )

    def _patiently(self, work: Callable[[], None]) -> bool:
        """Do something however long Redis is away; return False where it is to end meanwhile."""
        import redis

        failures = 0
        while True:
            try:
                work()
            except redis.AuthenticationError as error:
                raise VenueDenied("Redis does not let us in", found=self._text(error), where=self._where) from None
            except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError, OSError) as error:
                # A full memory, a server that loads its data or is read-only for now: all of that passes.
                text = self._text(error)
                if isinstance(error, redis.ResponseError) and not text.startswith(_PASSING):
                    raise VenueError("Redis refused", found=text, where=self._where) from None
                failures += 1
                self._say("waiting", error=text, force=True)
                until = self._timer() + _WAITS_S[min(failures, len(_WAITS_S)) - 1]
                while self._timer() < until:
                    if self._ended():
                        return False
                    self._sleep(0.05)
            else:
                return True

    @property
    def _where(self) -> str:
        return shown_url(self.settings.url.reveal())

    def _text(self, error: Exception) -> str:
        text = str(error) or type(error).__name__
        password = urlsplit(self.settings.url.reveal()).password
        for secret in (password, unquote(password)) if password else ():
            text = text.replace(secret, "***")
        return text

    def _state(self, state: str, error: str = "") -> FanoutState:
        return FanoutState(
            state=state,
            position=self._position,
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


def _passes(error: Exception) -> bool:
    return str(error).startswith(
        ("OOM", "LOADING", "READONLY", "BUSY", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS")
    )


def _blocks(decoder: Decoder, decoded: Decoded, events_max: int) -> Iterator[tuple[str, Events, NDArray[np.int64]]]:
    """Yield each contract's events, cut behind whole messages, with their frames."""
    ids = decoded.events["instrument_id"]
    for instrument_id in np.unique(ids).tolist():
        contract = decoder.contracts[int(decoder.contract_of[instrument_id])][0]
        mine = np.flatnonzero(ids == instrument_id)
        events, numbers = decoded.events[mine], decoded.sequence[mine]
        ends = np.flatnonzero(events["flags"] & int(Flag.LAST)) + 1
        start = 0
        while start < events.size:
            after = ends[(ends > start) & (ends <= start + events_max)]
            beyond = ends[ends > start]
            # A message longer than a block stays whole.
            end = int(after[-1] if after.size else beyond[0] if beyond.size else events.size)
            yield contract, events[start:end], numbers[start:end]
            start = end
