"""The journal's bytes: records, segments being written, segments sealed. ``docs/journal.md`` describes them for others.

A *record* is a header of 28 bytes, the payload, and zeros up to a multiple of four. Its CRC-32 (zlib's) covers all that
follows it up to the payload's end, the sequence number included, so that a record proves itself wherever it is found:
that is how reading goes on behind a damaged one.

A segment opens with a page of 4096 bytes: magic, length and CRC-32 of a JSON object, the object, zeros.
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import lz4.block
import msgspec
import numpy as np
import zstandard

FORMAT_VERSION: Final = 1
PAGE_BYTES: Final = 4096  # the header of a segment
OPEN_MAGIC: Final = b"TBJOPEN\n"
SEALED_MAGIC: Final = b"TBJSEAL\n"

RECORD: Final = struct.Struct("<IIqqHBB")
"""CRC-32, payload bytes, sequence, ts_recv_ns, source, kind, flags (0)."""
SEALED_PART: Final = struct.Struct("<IqqHBB")  # a record's header without its CRC
CRC: Final = struct.Struct("<I")
RECORD_BYTES: Final = RECORD.size
PAYLOAD_BYTES_MAX: Final = (1 << 31) - PAGE_BYTES

BLOCK: Final = struct.Struct("<4sIIIqII")
"""Magic, packed bytes, raw bytes, records, first sequence, CRC-32 of the packed bytes, CRC-32 of all this."""
_PREAMBLE: Final = struct.Struct("<8sII")
_SCAN_WORDS: Final = 1 << 18

Codec: TypeAlias = Literal["zstd", "lz4", "none"]
Buffer: TypeAlias = Any  # bytes or mmap: what slices to bytes and has the buffer protocol
_MAGICS: Final[dict[Codec, bytes]] = {"zstd": b"TBKZ", "lz4": b"TBKL", "none": b"TBKN"}
_CODECS: Final = {magic: codec for codec, magic in _MAGICS.items()}


class FrameKind(IntEnum):
    """What a journal record is."""

    FRAME = 1  # bytes as the venue sent them
    CONNECT = 2
    DISCONNECT = 3
    SUBSCRIBE = 4
    GAP = 5  # the stream was broken: payload says from when to when and why
    CLOCK = 6
    NOTE = 7


class Frame(NamedTuple):
    """One record of the journal."""

    sequence: int  # 1, 2, 3 … through all segments
    ts_recv_ns: int
    source: int  # connection or stream, as the writer numbers them
    kind: int  # a FrameKind
    payload: bytes


class OpenHeader(msgspec.Struct, frozen=True):
    """The header page of a segment that is being written."""

    version: int
    identity: str  # whose journal this is: a session's name
    first_sequence: int
    first_ts_recv_ns: int
    segment_bytes: int
    segment_events: int
    codec: str


class SealedHeader(msgspec.Struct, frozen=True):
    """The header page of a sealed segment."""

    version: int
    identity: str
    first_sequence: int
    last_sequence: int
    first_ts_recv_ns: int
    last_ts_recv_ns: int
    records: int
    blocks: int
    raw_bytes: int
    codec: str


class Stop(IntEnum):
    """Why reading records ended."""

    ENOUGH = 0
    END = 1  # nothing more is written here
    BAD = 2  # what stands here is no whole record


def page(magic: bytes, header: OpenHeader | SealedHeader) -> bytes:
    """Return a header page."""
    text = msgspec.json.encode(header)
    if _PREAMBLE.size + len(text) > PAGE_BYTES:
        raise ValueError("the journal's identity is too long for its header page")
    return (_PREAMBLE.pack(magic, len(text), zlib.crc32(text)) + text).ljust(PAGE_BYTES, b"\0")


def page_text(data: bytes, magic: bytes) -> bytes | None:
    """Return the JSON of a header page, or None where it is damaged or something else."""
    if len(data) < _PREAMBLE.size:
        return None
    found, size, crc = _PREAMBLE.unpack_from(data)
    text = data[_PREAMBLE.size : _PREAMBLE.size + size]
    return text if found == magic and len(text) == size and zlib.crc32(text) == crc else None


def record(frame: Frame) -> bytes:
    """Return a frame as it stands in the journal.

    >>> data = record(Frame(1, 10**18, 0, FrameKind.FRAME, b"hello"))
    >>> len(data), read_records(data, 0, len(data), out := [], 9), out[0].payload
    (36, (36, <Stop.END: 1>), b'hello')
    """
    head = SEALED_PART.pack(len(frame.payload), frame.sequence, frame.ts_recv_ns, frame.source, frame.kind, 0)
    crc = zlib.crc32(frame.payload, zlib.crc32(head))
    return CRC.pack(crc) + head + frame.payload + bytes(-len(frame.payload) % 4)


def read_records(buffer: Buffer, at: int, end: int, out: list[Frame], frames_max: int) -> tuple[int, Stop]:
    """Append the records from ``at`` on to ``out`` until it holds ``frames_max``; return where and why it ended."""
    unpack, crc32 = RECORD.unpack_from, zlib.crc32
    while len(out) < frames_max:
        if at + RECORD_BYTES > end:
            return at, Stop.END
        crc, size, sequence, ts_recv_ns, source, kind, _flags = unpack(buffer, at)
        if not (size or sequence or crc):
            return at, Stop.END
        stop = at + RECORD_BYTES + size
        if stop > end:
            return at, Stop.BAD
        body = buffer[at + 4 : stop]
        if crc32(body) != crc:
            return at, Stop.BAD
        out.append(Frame(sequence, ts_recv_ns, source, kind, body[24:]))
        at = (stop + 3) & ~3
    return at, Stop.ENOUGH


def find_record(buffer: Buffer, at: int, end: int, last: int) -> int:
    """Return where the next whole record after number ``last`` stands at or behind ``at``; -1 if there is none."""
    start = at
    while at + RECORD_BYTES <= end:
        words = min((end - at) // 4, _SCAN_WORDS)
        found = np.frombuffer(buffer, "<u4", words, at)
        column = found.astype(np.int64) if found.any() else np.zeros(0, np.int64)
        del found  # a mapping cannot be closed while an array looks at it
        sequence = column[2:-3] | (column[3:-2] << 32)  # of the record that would begin at each word
        # So many records at most fit between here and there: whatever is not a number in that span is something else.
        reach = last + 1 + (at - start + 4 * words) // RECORD_BYTES
        for i in np.flatnonzero((sequence > last) & (sequence <= reach)).tolist():
            place = at + 4 * i
            if read_records(buffer, place, end, [], 1)[1] is Stop.ENOUGH:
                return place
        if at + 4 * words + 4 > end:
            break
        at += 4 * (words - 6)  # a record's header may lie across the border
    return -1


def pack_block(codec: Codec, level: int, raw: bytes, first_sequence: int, records: int) -> bytes:
    """Return a block of records as a sealed segment holds it."""
    if codec == "zstd":
        packed = zstandard.ZstdCompressor(level=level).compress(raw)
    elif codec == "lz4":
        packed = lz4.block.compress(raw, store_size=False)
    else:
        packed = raw
    head = BLOCK.pack(_MAGICS[codec], len(packed), len(raw), records, first_sequence, zlib.crc32(packed), 0)[:-4]
    return head + CRC.pack(zlib.crc32(head)) + packed


class BlockHead(NamedTuple):
    """What stands in front of a block."""

    codec: Codec
    packed_bytes: int
    raw_bytes: int
    records: int
    first_sequence: int
    crc: int


def block_head(data: bytes) -> BlockHead | None:
    """Return a block's header, or None where it is damaged."""
    if len(data) < BLOCK.size:
        return None
    magic, packed, raw, records, first, crc, own = BLOCK.unpack(data)
    if magic not in _CODECS or zlib.crc32(data[:-4]) != own:
        return None
    return BlockHead(_CODECS[magic], packed, raw, records, first, crc)


def unpack_block(head: BlockHead, packed: bytes) -> bytes | None:
    """Return a block's records, or None where its bytes are not those that were written."""
    if len(packed) != head.packed_bytes or zlib.crc32(packed) != head.crc:
        return None
    if head.codec == "zstd":
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=head.raw_bytes)
    if head.codec == "lz4":
        return bytes(lz4.block.decompress(packed, uncompressed_size=head.raw_bytes))
    return packed


def find_block(data: Buffer, at: int) -> int:
    """Return where the next whole block header stands at or behind ``at``; -1 if there is none."""
    while (at := data.find(b"TBK", at)) >= 0:
        if block_head(bytes(data[at : at + BLOCK.size])) is not None:
            return at
        at += 1
    return -1
