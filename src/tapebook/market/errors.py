"""Everything that can go wrong, as one tree.

::

    TickDataError
    ├── ConfigurationError        a setting, a catalogue entry, a command's argument
    │   └── UnknownInstrument
    ├── DataQualityError          the data contradict themselves, and --strict was asked for
    ├── OrderBookError            a book was asked for what it cannot give
    ├── OperatorError             an operator was fed or restored wrongly
    ├── ReaderError               a file or payload could not be read
    │   ├── UnknownFormat
    │   ├── UnsupportedSchema     known format, a part of it that holds no events (or that the library cannot decode)
    │   ├── MalformedRecord
    │   ├── TruncatedFile
    │   └── SequenceGap
    ├── StoreError                the lake or a database
    │   ├── SchemaMismatch
    │   └── StoreCorrupted
    └── VenueError                a live venue did not do what was asked
        ├── VenueRefused          it understood, and said no
        │   └── VenueDenied       … to who is asking: user name, key, token, permission
        ├── VenueThrottled        too many requests
        ├── VenueUnreachable      no connection, no answer in time, or an outage: the outcome is unknown
        └── VenueProtocolError    what came is not the protocol

A message says what was expected, what came, where, and what to do; the same four stand as attributes, so that a
caller branches on types and attributes and never on words.
"""

from __future__ import annotations


class TickDataError(Exception):
    """Root of every error that tapebook raises on purpose.

    Parameters
    ----------
    message
        What went wrong, in one sentence.
    expected, found
        What should have been there and what was; empty where the sentence says it all.
    where
        File, line or byte offset, field: whatever finds the place again.
    remedy
        What the reader of the message can do.

    Examples
    --------
    >>> where, remedy = "es.csv line 7, field price", "pass --decimal-comma"
    >>> print(TickDataError("bad price", expected="a number", found="'12,5'", where=where, remedy=remedy))
    bad price: expected a number, found '12,5' (es.csv line 7, field price); pass --decimal-comma
    """

    def __init__(self, message: str, *, expected: str = "", found: str = "", where: str = "", remedy: str = "") -> None:
        self.message = message
        self.expected = expected
        self.found = found
        self.where = where
        self.remedy = remedy
        super().__init__(message)

    def __str__(self) -> str:
        text = self.message
        if self.expected:
            text += f": expected {self.expected}"
        if self.found:
            text += f"{', ' if self.expected else ': '}found {self.found}"
        if self.where:
            text += f" ({self.where})"
        if self.remedy:
            text += f"; {self.remedy}"
        return text


class ConfigurationError(TickDataError):
    """A setting, a catalogue entry or a command's argument is wrong."""


class UnknownInstrument(ConfigurationError):  # noqa: N818 - reads as the thing that happened, as the tree above does
    """No catalogue entry or rule names this instrument."""


class DataQualityError(TickDataError):
    """The data contradict themselves and the caller asked to stop at that (``--strict``)."""


class OrderBookError(TickDataError):
    """A book was asked for something it cannot give."""


class OperatorError(TickDataError):
    """An operator was fed, configured or restored wrongly."""


class ReaderError(TickDataError):
    """A file or payload could not be read."""


class UnknownFormat(ReaderError):  # noqa: N818 - as UnknownInstrument
    """No reader recognises the content."""


class UnsupportedSchema(ReaderError):  # noqa: N818 - as UnknownInstrument
    """The format is known, but this part of it cannot be read as what was asked for."""


class MalformedRecord(ReaderError):  # noqa: N818 - as UnknownInstrument
    """One record does not follow its format."""


class TruncatedFile(ReaderError):  # noqa: N818 - as UnknownInstrument
    """The file ends inside a record or a compressed frame."""


class SequenceGap(ReaderError):  # noqa: N818 - as UnknownInstrument
    """The venue's sequence says that messages are missing."""


class StoreError(TickDataError):
    """The lake or a database could not do what was asked."""


class SchemaMismatch(StoreError):  # noqa: N818 - as UnknownInstrument
    """Stored data have another schema version than this program reads."""


class StoreCorrupted(StoreError):  # noqa: N818 - as UnknownInstrument
    """Stored data fail their own checks."""


class VenueError(TickDataError):
    """A live venue did not do what was asked."""


class VenueRefused(VenueError):  # noqa: N818 - as UnknownInstrument
    """The venue understood the request and refused it."""


class VenueDenied(VenueRefused):
    """The venue does not accept who is asking: user name, key, token, permission or agreement."""


class VenueThrottled(VenueError):  # noqa: N818 - as UnknownInstrument
    """More was asked of the venue than its rate limits allow."""


class VenueUnreachable(VenueError):  # noqa: N818 - as UnknownInstrument
    """No connection, no answer in time, or an outage: what became of the request is unknown."""


class VenueProtocolError(VenueError):
    """What the venue sent is not its protocol."""
