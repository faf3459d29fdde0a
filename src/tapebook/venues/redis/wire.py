"""The words of a fan-out: keys in Redis, and the two frames that its streams hold.

::

    PREFIX:{SESSION}:contracts          the contract table, a frame, for whoever comes later
    PREFIX:{SESSION}:position           a hash: the journal's last frame sent, and whose journal; by contract the events
                                        sent, and the entry of the last book
    PREFIX:{SESSION}:events:CONTRACT    a stream; each entry has one field ``b``, a frame
    PREFIX:{SESSION}:reader:NAME        a hash: up to where a reader has read each contract's stream

The braces keep a session's keys on one node of a cluster, so that they change together. Each stream begins with the
contract table (and its version of the events' layout); then come blocks of events, each numbered by its first event's
place in the stream, so that whoever reads knows what is missing where the beginning was trimmed away. In between stand
books, for who comes later or missed something: the depth as events, which nobody counts and who read all passes over.

A frame, all of it little-endian: magic ``TBEV``, version of this layout (u8), sort (u8: 1 table, 2 block, 3 book),
version of the events' layout (u8), a zero, bytes of the contract's id (u16), CRC-32 of all but magic and itself (u32).
Then the id and, of a table, JSON; of the others the first event's place and the journal's first and last frame (i64
each), then the events as they lie, 64 bytes each.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from tapebook.market.errors import MalformedRecord, SchemaMismatch
from tapebook.market.events import EVENT, EVENT_SCHEMA_VERSION, Events, Flag, Kind
from tapebook.market.instruments import Instrument

__all__ = [
    "FIELD",
    "PREFIX",
    "WIRE_VERSION",
    "Block",
    "ContractTable",
    "Keys",
    "decode",
    "encode_block",
    "encode_table",
]

PREFIX: Final = "tapebook"
FIELD: Final = b"b"
WIRE_VERSION: Final = 1

_MAGIC: Final = b"TBEV"
_HEAD: Final = struct.Struct("<4sBBBxHI")
_PLACE: Final = struct.Struct("<qqq")
_TABLE, _BLOCK, _BOOK = 1, 2, 3
_KINDS: Final = np.array([int(kind) for kind in Kind], np.uint8)


class Keys:
    """The names of a session's keys.

    >>> Keys("monday").stream("CON.F.US.MNQ.U26")
    'tapebook:{monday}:events:CON.F.US.MNQ.U26'
    """

    def __init__(self, session: str, prefix: str = PREFIX) -> None:
        self._root = f"{prefix}:{{{session}}}"
        self.contracts = f"{self._root}:contracts"
        self.position = f"{self._root}:position"

    def stream(self, contract: str) -> str:
        """Return the key of a contract's stream."""
        return f"{self._root}:events:{contract}"

    def reader(self, name: str) -> str:
        """Return the key of a reader's place."""
        return f"{self._root}:reader:{name}"


class ContractTable(msgspec.Struct, frozen=True):
    """What the contracts of a session are."""

    session: str
    contracts: dict[str, Instrument]


@dataclass(frozen=True)
class Block:
    """Events of one contract, in their order.

    Attributes
    ----------
    contract
        Its id.
    first
        The first event's place in the contract's stream, from 0.
    first_frame, last_frame
        Of the source's journal.
    events
        As the source has them; ``instrument_id`` is the source's.
    book
        These are no news: the book as it stood before event ``first``.
    """

    contract: str
    first: int
    first_frame: int
    last_frame: int
    events: Events
    book: bool = False


def encode_table(table: ContractTable) -> bytes:
    """Return a table's frame."""
    return _frame(_TABLE, b"", msgspec.json.encode(table))


def encode_block(block: Block) -> bytes:
    """Return a block's frame.

    >>> from tapebook.market.events import empty_events
    >>> events = empty_events(1)
    >>> events["kind"], events["flags"] = Kind.TRADE, Flag.LAST
    >>> found = decode(encode_block(Block("ES", 7, 1, 1, events)))
    >>> found.first, found.events.tobytes() == events.tobytes()
    (7, True)
    """
    place = _PLACE.pack(block.first, block.first_frame, block.last_frame)
    return _frame(_BOOK if block.book else _BLOCK, block.contract.encode(), place + block.events.tobytes())


def decode(frame: bytes) -> ContractTable | Block:
    """Read a frame.

    Raises
    ------
    SchemaMismatch
        If another version of the program wrote it.
    MalformedRecord
        If it is damaged, or none of ours.
    """
    if len(frame) < _HEAD.size or not frame.startswith(_MAGIC):
        raise MalformedRecord("not a frame of a fan-out", expected=repr(_MAGIC), found=repr(frame[:8]))
    _, version, sort, schema, n_id, crc = _HEAD.unpack_from(frame)
    body = frame[_HEAD.size :]
    if zlib.crc32(body, zlib.crc32(frame[4:10])) != crc:
        raise MalformedRecord("a damaged frame", expected="bytes whose checksum fits", found=f"{len(frame)} bytes")
    if (version, schema) != (WIRE_VERSION, EVENT_SCHEMA_VERSION):
        raise SchemaMismatch(
            "another version of the fan-out",
            expected=f"version {WIRE_VERSION}, events {EVENT_SCHEMA_VERSION}",
            found=f"version {version}, events {schema}",
            remedy="use the same tapebook on both sides",
        )
    try:
        contract = body[:n_id].decode()
        if sort == _TABLE:
            return msgspec.json.decode(body[n_id:], type=ContractTable)
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise MalformedRecord("a contract table that cannot be read", found=str(error)) from None
    n_events, rest = divmod(len(body) - n_id - _PLACE.size, EVENT.itemsize)
    if sort not in (_BLOCK, _BOOK) or n_events < 0 or rest:
        raise MalformedRecord("a frame of unknown form", expected="a table, a block, a book", found=f"sort {sort}")
    events = np.frombuffer(body, EVENT, offset=n_id + _PLACE.size).copy()
    whole = events.size > 0 and bool(events["flags"][-1] & int(Flag.LAST)) and np.isin(events["kind"], _KINDS).all()
    if not whole:
        raise MalformedRecord("a block that is not of whole messages", found=f"{events.size} events")
    first, first_frame, last_frame = _PLACE.unpack_from(body, n_id)
    return Block(contract, first, first_frame, last_frame, events, sort == _BOOK)


def _frame(sort: int, contract: bytes, rest: bytes) -> bytes:
    head = _HEAD.pack(_MAGIC, WIRE_VERSION, sort, EVENT_SCHEMA_VERSION, len(contract), 0)
    body = contract + rest
    crc = zlib.crc32(body, zlib.crc32(head[4:10]))
    return head[:-4] + crc.to_bytes(4, "little") + body
