"""What a journal says between the frames: connections, gaps, clocks. Small JSON objects, one a record."""

from __future__ import annotations

import msgspec

__all__ = ["Note", "read_note", "write_note"]


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The payload of every record that is no frame.

    Attributes
    ----------
    what
        ``connected``, ``subscribed``, ``lost``, ``silent``, ``refused``, ``resumed``, ``ended`` and the like.
    text
        For people; holds no secret.
    connection
        Which connection of the line, from 1.
    since_ns
        When the last frame came before it; 0: none did. A gap reaches from there to the record's own time.
    contract, channel
        Whose stream it is; empty: all of the line.
    offset_ns, error_ns, samples
        Of a clock: the venue's time minus ours, how far that may be off either way, and from how many answers.
    """

    what: str
    text: str = ""
    connection: int = 0
    since_ns: int = 0
    contract: str = ""
    channel: str = ""
    offset_ns: int | None = None
    error_ns: int | None = None
    samples: int = 0


_decode = msgspec.json.Decoder(Note).decode
_encode = msgspec.json.Encoder().encode


def write_note(note: Note) -> bytes:
    """Return a note's bytes.

    >>> read_note(write_note(Note(what="lost", since_ns=5))).since_ns
    5
    """
    return _encode(note)


def read_note(payload: bytes) -> Note:
    """Read a note; what cannot be read becomes one that says so."""
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Note(what="unreadable", text=str(error))
