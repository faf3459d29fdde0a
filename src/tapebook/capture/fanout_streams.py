"""A session's streams in Redis: entries and position go in together, and what is in already is never put in again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from tapebook.capture.fanout_blocks import Books
from tapebook.market.errors import StoreError
from tapebook.market.instruments import Instrument
from tapebook.venues.credentials import Secret
from tapebook.venues.redis.settings import shown_url
from tapebook.venues.redis.wire import FIELD, Block, ContractTable, Keys, decode, encode_table

__all__ = ["Load", "Streams"]

_READ: int = 500


@dataclass(frozen=True)
class Load:
    """What goes into Redis in one transaction.

    Attributes
    ----------
    position
        The journal's last frame that is in it.
    entries
        (contract, frame, whether it is a book) in their order.
    sent
        Events by contract, with these.
    frames, events
        How many.
    """

    position: int
    entries: list[tuple[str, bytes, bool]]
    sent: dict[str, int]
    frames: int
    events: int


class Streams:
    """The streams of one session.

    Parameters
    ----------
    url
        Of the server.
    keys
        Of the session.
    whose
        Tells this session from another of its name.
    entries_max
        About how many entries a stream keeps.
    request_s
        Patience with the server.

    Attributes
    ----------
    position
        The journal's last frame that is in Redis.
    sent
        Events by contract.
    """

    def __init__(self, url: Secret, keys: Keys, *, whose: str, entries_max: int, request_s: float) -> None:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self.position = 0
        self.sent: dict[str, int] = {}
        self.where = shown_url(url.reveal())
        self._password = urlsplit(url.reveal()).password or ""
        self._keys, self._whose, self._entries_max = keys, whose, entries_max
        self._books: dict[str, bytes] = {}  # by contract: the entry of its last book
        self._client: Any = redis.Redis.from_url(
            url.reveal(),
            socket_timeout=request_s,
            socket_connect_timeout=request_s,
            retry=Retry(NoBackoff(), 0),  # what is tried again, and when, is decided above
        )

    def begin(self, session: str, instruments: Mapping[str, Instrument], books: Books) -> None:
        """Find out how far it is; make the streams if they are not there.

        Raises
        ------
        StoreError
            If they are another session's.
        """
        import redis

        known = self._client.hgetall(self._keys.position)
        if known:
            self._check(known)
            self.position = int(known[b"sequence"])
            for contract in instruments:
                self.sent[contract] = int(known[f"events {contract}".encode()])
                self._rebuild(contract, known.get(f"book {contract}".encode()), books)
            return
        table = encode_table(ContractTable(session, dict(instruments)))
        with self._client.pipeline(transaction=True) as pipe:
            pipe.watch(self._keys.position)
            if pipe.exists(self._keys.position):
                raise redis.ConnectionError("another fan-out began at this moment")  # looked at again
            pipe.multi()
            pipe.set(self._keys.contracts, table)
            for contract in instruments:
                books.begin(contract, known=True)
                self.sent[contract] = 0
                pipe.delete(self._keys.stream(contract))
                pipe.xadd(self._keys.stream(contract), {FIELD: table})
            values = {"whose": self._whose, "sequence": 0} | {f"events {c}": 0 for c in self.sent}
            pipe.hset(self._keys.position, mapping=values)
            pipe.execute()

    def send(self, load: Load) -> None:
        """Put entries and position into Redis; what is there already (the answer was lost) is not put there again.

        Raises
        ------
        StoreError
            If another process writes these streams, or they are gone.
        """
        import redis

        with self._client.pipeline(transaction=True) as pipe:
            pipe.watch(self._keys.position)
            known = pipe.hgetall(self._keys.position)
            self._check(known)
            position = int(known[b"sequence"])
            if position == load.position > self.position:
                pipe.unwatch()
            elif position != self.position:
                raise StoreError(
                    "another process sends this session",
                    expected=f"frame {self.position}",
                    found=f"frame {position}",
                    where=self.where,
                    remedy="run one fan-out for a session",
                )
            else:
                pipe.multi()
                for contract, frame, _ in load.entries:
                    key = self._keys.stream(contract)
                    pipe.xadd(key, {FIELD: frame}, maxlen=self._entries_max, approximate=True)
                values: dict[str, Any] = {"sequence": load.position}
                values |= {f"events {contract}": n for contract, n in load.sent.items()}
                # Where the last books are is a hint for readers: that it comes one transaction late costs them nothing.
                values |= {f"book {contract}": entry for contract, entry in self._books.items()}
                pipe.hset(self._keys.position, mapping=values)
                try:
                    answers = pipe.execute()
                except redis.WatchError:  # whoever it was, the position says it when we look again
                    raise redis.ConnectionError("the position changed meanwhile") from None
                for (contract, _, book), entry in zip(load.entries, answers, strict=False):
                    if book:
                        self._books[contract] = entry
        self.position, self.sent = load.position, load.sent

    def text(self, error: Exception) -> str:
        """Return an error's text without the URL's password."""
        text = str(error) or type(error).__name__
        for secret in (self._password, unquote(self._password)) if self._password else ():
            text = text.replace(secret, "***")
        return text

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _rebuild(self, contract: str, book: bytes | None, books: Books) -> None:
        """Make a contract's book of its stream: from the last one there on, or from the begin if all of it is there."""
        books.begin(contract, known=False)
        if book is not None:
            self._books[contract] = book
        following = -1
        at: bytes = book or b"-"
        while entries := self._client.xrange(self._keys.stream(contract), at, count=_READ):
            for _, fields in entries:
                found = decode(fields[FIELD])
                if not isinstance(found, Block):
                    continue
                if following < 0 and (found.book or found.first == 0):
                    books.begin(contract, known=True)
                    following = found.first
                elif found.book:
                    continue
                if following == found.first:
                    books.see(contract, found.events)
                    following += 0 if found.book else found.events.size
            at = b"(" + entries[-1][0]

    def _check(self, known: dict[bytes, bytes]) -> None:
        if known.get(b"whose", b"").decode() != self._whose:
            raise StoreError(
                "these streams are another session's" if known else "Redis has lost how far it was",
                expected=self._whose,
                found=known.get(b"whose", b"nothing").decode(),
                where=self.where,
                remedy="name another --prefix" if known else "start the fan-out again: it begins with the journal",
            )
