"""Damaged DBN files: only our errors, the place of everything that is bad, and no change of structure in silence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from tapebook.market.errors import MalformedRecord, TickDataError
from tapebook.market.events import Events
from tapebook.market.tape import Table, Tape
from tapebook.readers import open_source, open_tape
from tests.readers.test_dbn import depth, mbo, metadata, write

NAMES = {"ESH4": [("2023-01-01", "2024-01-01", 17)]}
HEADS = {"mbo": metadata("mbo", NAMES), "mbp-10": metadata("mbp-10", NAMES)}
T0 = 1_700_000_000_000_000_000


def orders(n: int) -> list[Any]:
    return [mbo(order_id=i, sequence=i, ts_event=T0 + i, ts_recv=T0 + i) for i in range(n)]


def views(n: int) -> list[Any]:
    return [
        depth(17, [(100 - i, 5 + k * (i == 0), 101 + i, 5) for i in range(10)], sequence=k, price=100) for k in range(n)
    ]


def small(schema: str) -> bytes:
    parts = orders(4) if schema == "mbo" else views(3)
    return HEADS[schema] + b"".join(bytes(p) for p in parts)


def read(path: Path, **options: Any) -> tuple[str, Events | None, Tape | Table | None]:
    """Read a file to its end; what is not our own error goes through."""
    try:
        source = open_source(path, **options)
        events = source.events() if isinstance(source, Tape) else None
        if isinstance(source, Table):
            source.table()
    except TickDataError as error:
        return f"{type(error).__name__}: {error}", None, None
    return "", events, source


def told(source: Tape | Table) -> list[str]:
    found = [f"{k} {n}" for k, n in source.quarantine.counts.items()] + [f"{k} {n}" for k, n in source.notes.items()]
    return found + [source.quarantine.truncated] * bool(source.quarantine.truncated)


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "zst"])
@pytest.mark.parametrize("schema", ["mbo", "mbp-10"])
def test_a_file_cut_at_any_byte_is_refused_or_says_so(schema: str, zipped: bool, tmp_path: Path) -> None:
    raw = small(schema)
    length = 56 if schema == "mbo" else 368
    data = zstandard.ZstdCompressor(write_checksum=True).compress(raw) if zipped else raw
    path = tmp_path / "x.dbn"
    path.write_bytes(data)
    whole = open_tape(path).events()
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        error, events, source = read(path)
        if error:
            continue
        assert source is not None
        assert events is not None
        if not zipped and (cut - len(HEADS[schema])) % length == 0:
            # Whole records: nothing in the format tells that there were more.
            assert not told(source)
        else:
            assert source.quarantine.truncated, f"cut at {cut}"
        assert events.tobytes() == whole[: events.size].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "zst"])
@pytest.mark.parametrize("schema", ["mbo", "mbp-10"])
def test_a_flipped_bit_is_refused_told_or_harmless(schema: str, zipped: bool, tmp_path: Path) -> None:
    raw = small(schema)
    data = zstandard.ZstdCompressor(write_checksum=True).compress(raw) if zipped else raw
    path = tmp_path / "x.dbn"
    path.write_bytes(data)
    sound = open_tape(path)
    whole = sound.events()
    names = [(i.symbol, i.venue) for i in sound.instruments.values()]
    silent = []
    rng = np.random.default_rng(11)
    for place in range(len(data)):
        for bit in rng.permutation(8)[: 8 if schema == "mbo" else 2].tolist():
            copy = bytearray(data)
            copy[place] ^= 1 << bit
            path.write_bytes(copy)
            error, events, source = read(path)
            if error or source is None or events is None:
                continue
            same_names = [(i.symbol, i.venue) for i in source.instruments.values()] == names
            if events.size != whole.size and not told(source) and same_names:
                silent.append((place, bit, events.size))
            elif zipped and events.tobytes() != whole.tobytes() and not told(source) and same_names:
                silent.append((place, bit, -1))
    assert not silent


@pytest.mark.uncompiled
@pytest.mark.parametrize(("byte", "reason"), [(0, "record length does not fit"), (1, "record type not of this file")])
def test_a_record_with_a_damaged_header_is_left_out_and_the_next_one_found(
    byte: int, reason: str, tmp_path: Path
) -> None:
    parts = orders(5)
    raw = bytearray(HEADS["mbo"] + b"".join(bytes(p) for p in parts))
    at = len(HEADS["mbo"]) + 2 * 56
    raw[at + byte] ^= 0x08
    path = write(tmp_path / "x.dbn", bytes(raw), [])
    tape = open_tape(path)
    assert tape.events()["order_id"].tolist() == [0, 1, 3, 4]
    (bad,) = tape.quarantine.records
    assert bad.reason.startswith(reason)
    assert bad.where == f"{path}, byte {at}"
    assert bad.raw == bytes(raw[at : at + 56])
    with pytest.raises(MalformedRecord, match=rf"{reason}.*byte {at}"):
        open_tape(path, strict=True).events()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"at": 38, "to": ord("X")}, "bad action"),
        ({"at": 39, "to": ord("Q")}, "bad side"),
        ({"at": 39, "to": ord("N")}, "bad side"),
        ({"at": 47, "to": 0x80}, "bad time"),
    ],
)
def test_a_record_with_a_bad_field_is_left_out(given: dict[str, int], reason: str, tmp_path: Path) -> None:
    raw = bytearray(HEADS["mbo"] + b"".join(bytes(p) for p in orders(3)))
    raw[len(HEADS["mbo"]) + 56 + given["at"]] = given["to"]
    tape = open_tape(write(tmp_path / "x.dbn", bytes(raw), []))
    assert tape.events()["order_id"].tolist() == [0, 2]
    assert dict(tape.quarantine.counts) == {reason: 1}


@pytest.mark.uncompiled
def test_levels_out_of_order_are_left_out(tmp_path: Path) -> None:
    wrong = depth(17, [(100, 5, 101, 5), (100, 6, 102, 5)])
    tape = open_tape(write(tmp_path / "x.dbn", HEADS["mbp-10"], [*views(2), wrong, *views(1)]))
    events = tape.events()
    assert dict(tape.quarantine.counts) == {"levels out of order": 1}
    assert events.size == 21 + 1 + 1


@pytest.mark.uncompiled
def test_a_change_that_the_action_does_not_explain_is_counted(tmp_path: Path) -> None:
    first, second = views(2)
    other = depth(17, [(100 - i, 6 + (i == 4), 101 + i, 5) for i in range(10)], price=100)
    tape = open_tape(write(tmp_path / "x.dbn", HEADS["mbp-10"], [first, second, other]))
    tape.events()
    assert tape.notes == {"unexplained_level_changes": 9}
    explained = open_tape(write(tmp_path / "y.dbn", HEADS["mbp-10"], [first, second]))
    explained.events()
    assert not explained.notes


@pytest.mark.uncompiled
def test_what_cannot_be_followed_is_told_with_the_bytes_that_are_left(tmp_path: Path) -> None:
    raw = bytearray(HEADS["mbo"] + b"".join(bytes(p) for p in orders(60)))
    at = len(HEADS["mbo"]) + 10 * 56
    raw[at : at + 200] = bytes(200)
    path = write(tmp_path / "x.dbn", bytes(raw), [])
    tape = open_tape(path)
    assert tape.events().size == 10
    assert tape.notes == {"bytes_unread": 50 * 56}
    (bad,) = tape.quarantine.records
    assert (bad.where, bad.raw[:200]) == (f"{path}, byte {at}", bytes(200))


@pytest.mark.uncompiled
def test_a_file_of_nothing_but_bad_records_is_refused(tmp_path: Path) -> None:
    parts = [bytes(p)[:38] + b"X" + bytes(p)[39:] for p in orders(3)]
    path = write(tmp_path / "x.dbn", HEADS["mbo"], parts)
    with pytest.raises(MalformedRecord, match=r"none of the 3 records could be read; 3 times: bad action"):
        open_tape(path).events()


def test_zeros_behind_a_compressed_file_are_padding(tmp_path: Path) -> None:
    raw = small("mbo")
    path = tmp_path / "x.dbn.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(raw) + bytes(100_000))
    tape = open_tape(path)
    assert tape.events().size == 4
    assert not tape.quarantine.truncated


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "zst"])
def test_a_file_of_a_gigabyte_is_streamed_in_less_than_half_of_one(
    zipped: bool, recording: Callable[[str], Path], tmp_path: Path
) -> None:
    """Compressed, the tiled file is a thousand times smaller: a careless reader would unpack all of it at once."""
    source = recording("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst")
    raw = zstandard.ZstdDecompressor().stream_reader(source.read_bytes()).read()
    start = 8 + int.from_bytes(raw[4:8], "little")
    head, body = raw[:start], raw[start:]
    times = -(-(1 << 30) // len(body))
    path = tmp_path / "large.dbn"
    with path.open("wb") as file:
        if zipped:
            parameters = zstandard.ZstdCompressionParameters.from_level(1, enable_ldm=True, window_log=24)
            with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(file) as writer:
                writer.write(head)
                for _ in range(times):
                    writer.write(body)
        else:
            file.write(head)
            for _ in range(times):
                file.write(body)
    program = (
        "import re, sys\n"  # not ru_maxrss: a child begins with its parent's, and a test worker is large
        "from tapebook.readers import open_tape\n"
        "n = sum(block.size for block in open_tape(sys.argv[1]).blocks())\n"
        "status = open('/proc/self/status').read()\n"
        "print(n, int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) // 1024)\n"
    )
    out = subprocess.run([sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True).stdout
    n, peak_mib = map(int, out.split())
    assert n == 68_792 * times
    assert peak_mib < 500, f"{peak_mib} MiB for {path.stat().st_size >> 20} MiB on disk"


def test_whatever_a_header_says_reading_ends(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    path = tmp_path / "x.dbn"
    for _ in range(100):
        raw = bytearray(small("mbo"))
        for place in rng.integers(0, len(raw), 6):
            raw[place] = int(rng.integers(0, 256))
        path.write_bytes(raw)
        read(path)
