"""How a journal is written, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tapebook.market.errors import ConfigurationError
from tapebook.store.journal_format import PAGE_BYTES, Codec

_SEGMENT_BYTES_MIN: Final = 2 * PAGE_BYTES


@dataclass(frozen=True, kw_only=True)
class JournalSettings:
    """How a journal is written.

    Parameters
    ----------
    segment_bytes, segment_events
        A segment is full at whichever comes first. A frame that is larger than a segment gets one of its own size.
    codec
        What sealed segments are compressed with: ``zstd``, ``lz4`` or ``none``.
    level
        Of zstd.
    block_bytes
        Bytes of records that are compressed together: what one damaged byte costs at most.
    background
        Reserve and seal in threads (else in the call that needs it, for tests that count steps).
    """

    segment_bytes: int = 64 << 20
    segment_events: int = 10_000_000
    codec: Codec = "zstd"
    level: int = 1
    block_bytes: int = 512 << 10
    background: bool = True

    def __post_init__(self) -> None:
        """Check the settings."""
        for name, least in (("segment_bytes", _SEGMENT_BYTES_MIN), ("segment_events", 1), ("block_bytes", 1)):
            if getattr(self, name) < least:
                raise ConfigurationError(
                    f"journal.{name} is too small", expected=f"at least {least}", found=str(getattr(self, name))
                )
        if self.codec not in ("zstd", "lz4", "none"):
            raise ConfigurationError(
                "journal.codec is unknown", expected="zstd, lz4 or none", found=repr(self.codec), remedy="choose one"
            )


@dataclass(frozen=True, kw_only=True)
class JournalStatistics:
    """What a journal has done since it was opened."""

    last_sequence: int  # the last frame in it; 0: none
    synced_sequence: int  # the last frame that a power failure cannot take
    frames: int  # appended since it was opened
    frame_bytes: int  # their payloads
    segments_full: int
    segments_sealed: int
    seals_failed: int  # full segments that stay uncompressed; the last reason is in ``failure``
    failure: str
    room: bool  # false: the next segment could not be reserved, stop before this one is full
    cut_bytes: int  # of a torn last record, cut off at the opening
