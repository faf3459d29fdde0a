"""What every reader promises, on every recording: valid events, the same ones whatever the block size, twice.

And what becomes of damage: an error of ours, something told, or the same content; never a foreign exception, never a
change of structure that nobody mentions.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tapebook.market.errors import ReaderError, TickDataError
from tapebook.market.events import COUNT_MISSING, EVENT, MISSING, Events, Flag, Kind
from tapebook.market.tape import Table, Tape
from tapebook.readers import FORMATS, formats, open_source
from tests.conftest import DATA
from tests.damage import Outcome, copies, read_whole

# What a user has to tell because the file does not: where the clock hung.
ZONES = {"sierra/tbt.txt": "UTC", "sierra/ES": "America/Chicago", "nq_time_and_sales": "Europe/Madrid"}
ZONES |= {"ninjatrader": "America/New_York", "b3/winfut": "America/Sao_Paulo"}
SKIPPED_SUFFIXES = {".md"}
SMALL_BYTES = 64 * 1024
COPIES_PER_FILE = 20


def recordings() -> list[Path]:
    if not DATA.exists():
        return []
    return sorted(
        p for p in DATA.rglob("*") if p.is_file() and p.suffix not in SKIPPED_SUFFIXES and p.name != "PROVENANCE.csv"
    )


def options(name: str) -> dict[str, Any]:
    for start, zone in ZONES.items():
        if name.startswith(start):
            return {"zone": ZoneInfo(zone)}
    return {}


def name_of(path: Path) -> str:
    return path.relative_to(DATA).as_posix()


FILES = recordings()
NO_RECORDINGS = pytest.mark.skipif(not FILES, reason="recordings are not on this machine (set TAPEBOOK_DATA)")


def check_events(events: Events) -> None:
    assert events.dtype == EVENT
    assert events.size, "an empty block"
    assert set(np.unique(events["kind"])) <= {int(k) for k in Kind}
    assert set(np.unique(events["side"])) <= {-1, 0, 1}
    assert int(events["flags"].max()) < 2 * max(Flag)
    book = (events["kind"] >= Kind.LEVEL) & (events["kind"] <= Kind.EXECUTE) & (events["flags"] & Flag.INFO == 0)
    assert (events["side"][book] != 0).all(), "a book record without a side"
    level = events["kind"] == Kind.LEVEL
    assert (events["price"][level] != MISSING).all()
    assert (events["qty_lots"][level] != MISSING).all()
    assert (events["count"][events["kind"] == Kind.TRADE] == COUNT_MISSING).all()
    known = (events["side_source"] != 0) & (events["kind"] == Kind.TRADE)
    assert (events["side"][known] != 0).all(), "a side source without a side"


def digest(tape: Tape, events_max: int) -> tuple[int, str]:
    total, n = hashlib.sha256(), 0
    for block in tape.blocks(events_max):
        assert block.size <= events_max
        total.update(block.tobytes())
        n += block.size
    return n, total.hexdigest()


@NO_RECORDINGS
@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=[name_of(p) for p in FILES])
def test_a_recording_is_read_or_refused_with_a_clear_error(path: Path) -> None:
    refusals: list[TickDataError] = []
    whole: list[Events] = []
    try:
        source = open_source(path, **options(name_of(path)))
        if isinstance(source, Table):
            assert source.table().num_rows >= 0
            return
        for block in source.blocks():
            check_events(block)
            whole.append(block)
    except TickDataError as error:
        refusals.append(error)
    for refusal in refusals:
        assert refusal.where or refusal.found, f"says neither where nor what: {refusal}"
        assert refusal.remedy or refusal.expected, f"says not what to do: {refusal}"
        return
    n = sum(b.size for b in whole)
    if n:
        assert whole[-1]["flags"][-1] & Flag.LAST, "the tape ends inside a message"
        last = {int(i) for b in whole for i in np.unique(b["instrument_id"])}
        assert last <= set(source.instruments), "an event of an instrument that the tape does not name"
    assert isinstance(source, Tape)
    assert digest(source, 1 << 16) == (n, hashlib.sha256(b"".join(b.tobytes() for b in whole)).hexdigest())
    if n < 50_000:
        assert digest(source, 7) == digest(source, 1 << 20)


def sample(path: Path) -> bytes:
    """Return a small copy: the file, or the head of a text file (compressed again if it was)."""
    data = path.read_bytes()
    if len(data) <= SMALL_BYTES:
        return data
    if data[:2] == b"\x1f\x8b":
        head = zlib.decompressobj(wbits=31).decompress(data, SMALL_BYTES)  # one of them ends early
        return gzip.compress(head[: head.rfind(b"\n") + 1], mtime=0)
    if b"\0" in data[:4096]:
        return b""
    return data[: data.rfind(b"\n", 0, SMALL_BYTES) + 1]


def judge(kind: str, sound: Outcome, after: Outcome, *, text: bool) -> str:
    """Return what is wrong with an outcome, empty if nothing is."""
    if after.error:
        return "" if kind != "extension" or sound.error else f"refused because of its name: {after.error}"
    if sound.error:
        return ""
    same = (after.n, after.digest) == (sound.n, sound.digest)
    if kind == "empty":
        return "an empty file passed"
    if kind == "extension":
        return "" if same else "another content under another name"
    if same or after.told != sound.told:
        return ""
    # Another content, and nothing was told. What cannot be noticed: a value that is as good as the one that stood
    # there (same number of events), and a text that ends after a whole line.
    if kind in ("flipped", "zeroed") and after.n == sound.n:
        return ""
    if kind == "truncated" and text and after.n < sound.n:
        return ""
    return f"{after.n} events for {sound.n}, and nothing said"


@NO_RECORDINGS
@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=[name_of(p) for p in FILES])
def test_damage_is_told(path: Path, tmp_path: Path) -> None:
    data = sample(path)
    if not data:
        pytest.skip("too large and not text: its format is damaged through smaller recordings")
    told = options(name_of(path))
    text = b"\0" not in data[:4096]
    whole = tmp_path / path.name
    whole.write_bytes(data)
    sound = read_whole(whole, **told)
    wrong = []
    for i, (kind, copy) in enumerate(copies(data, seed=len(data), n=COPIES_PER_FILE)):
        (tmp_path / str(i)).mkdir()
        target = tmp_path / str(i) / path.name
        if kind == "extension":  # the rest of the name may tell the instrument
            target = target.with_suffix(".bin")
        target.write_bytes(copy)
        problem = judge(kind, sound, read_whole(target, **told), text=text)
        if problem:
            wrong.append(f"copy {i}, {kind}: {problem}")
    assert not wrong, "\n".join(wrong)


def test_every_format_has_a_name_a_title_and_an_example() -> None:
    found = formats()
    assert len(found) == len(FORMATS)
    assert len({f.name for f in found}) == len(found)
    for f in found:
        assert f.title
        assert f.example


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 4096, b"hello\nworld\n", b"\x89PNG\r\n\x1a\n" + b"x" * 100, b"{}", b"\xff\xfe"]
)
def test_what_is_no_recording_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.dat"
    path.write_bytes(content)

    def read() -> None:
        source = open_source(path)
        _ = source.table() if isinstance(source, Table) else list(source.blocks())

    with pytest.raises(ReaderError):
        read()
