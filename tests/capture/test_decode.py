"""Decoding is a fold: neither batches, nor restarts, nor checkpoints change what frames become."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from tapebook.bench._capture_sender import CONTRACT
from tapebook.capture.checkpoint import load_checkpoint, save_checkpoint
from tapebook.capture.decode import Decoded, Decoder
from tapebook.capture.notes import Note, write_note
from tapebook.market.errors import StoreError
from tapebook.market.events import Flag, Kind
from tapebook.store.batches import GapRow, QualityRow
from tapebook.store.journal_format import Frame, FrameKind
from tests.capture.some_frames import SOURCES, T0, frames_of


def whole(parts: list[Decoded]) -> tuple[bytes, bytes, list[GapRow], list[QualityRow]]:
    events = np.concatenate([p.events for p in parts])
    sequence = np.concatenate([p.sequence for p in parts])
    gaps = [row for p in parts for row in p.batch.gaps]
    quality = [row for p in parts for row in p.batch.quality]
    return events.tobytes(), sequence.tobytes(), gaps, quality


def decoded(frames: list[Frame], cuts: list[int]) -> list[Decoded]:
    decoder, out = Decoder(SOURCES), []
    for begin, end in zip([0, *cuts], [*cuts, len(frames)], strict=True):
        decoder.feed(frames[begin:end])
        out.append(decoder.build())
    return out


@pytest.mark.parametrize("seed", range(6))
def test_batches_do_not_change_what_frames_become(seed: int) -> None:
    frames = frames_of(3_000, seed)
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(1, len(frames)), 40))
    once, often = decoded(frames, []), decoded(frames, cuts)
    assert whole(often) == whole(once)
    assert once[0].batch.gaps
    assert once[0].batch.quality
    firsts = [p.batch.first_sequence for p in often]
    assert firsts == [1, *(p.batch.last_sequence + 1 for p in often[:-1])]  # no frame between two batches


@pytest.mark.parametrize("seed", range(6))
def test_a_decoder_that_is_restored_goes_on_as_if_nothing_had_been(seed: int, tmp_path: Path) -> None:
    frames = frames_of(2_000, seed)
    chance = random.Random(seed)
    parts, decoder, at = [], Decoder(SOURCES), 0
    while at < len(frames):
        step = chance.randrange(1, 300)
        decoder.feed(frames[at : at + step])
        parts.append(decoder.build())
        at += step
        if chance.random() < 0.5:
            save_checkpoint(tmp_path, decoder.last_sequence, "s", decoder.save())
            found = load_checkpoint(tmp_path, decoder.last_sequence, "s")
            assert found is not None
            decoder = Decoder(SOURCES)
            decoder.restore(found[1])
    assert whole(parts) == whole(decoded(frames, []))


def test_the_newest_checkpoint_that_is_not_ahead_is_taken_and_damaged_ones_are_passed_over(tmp_path: Path) -> None:
    memory = Decoder(SOURCES).save()
    for sequence in (10, 20):
        save_checkpoint(tmp_path, sequence, "s", memory)
    assert [load_checkpoint(tmp_path, w, "s") is not None for w in (9, 10, 20)] == [False, True, True]
    found = load_checkpoint(tmp_path, 25, "s")
    assert found is not None
    assert found[0] == 20
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-3])
    found = load_checkpoint(tmp_path, 25, "s")
    assert found is not None
    assert found[0] == 10
    assert load_checkpoint(tmp_path, 25, "other sources") is None
    for sequence in range(30, 80, 10):
        save_checkpoint(tmp_path, sequence, "s", memory)
    assert sorted(int(p.stem) for p in tmp_path.iterdir()) == [60, 70]


def test_a_lost_connection_is_a_gap_and_the_book_begins_anew() -> None:
    frames = [f for f in frames_of(50) if f.kind == FrameKind.FRAME][:20]
    last = frames[-1].ts_recv_ns
    note = write_note(Note(what="connected", connection=2, since_ns=last, text="again"))
    sequence = frames[-1].sequence + 1
    decoder = Decoder(SOURCES)
    decoder.feed([*frames, Frame(sequence, last + 10**9, 0, FrameKind.CONNECT, note)])
    found = decoder.build()
    assert found.batch.gaps[-1][2:6] == (last, last + 10**9, 0, "")
    assert found.events["kind"][-1] == Kind.CLEAR
    assert not found.events["flags"][-1] & Flag.SNAPSHOT


def test_frames_that_the_journal_lost_are_a_gap() -> None:
    frames = [f for f in frames_of(200) if f.kind == FrameKind.FRAME]
    decoder = Decoder(SOURCES)
    cut = [f._replace(sequence=i + 1) for i, f in enumerate(frames)]
    decoder.feed(cut[:20] + cut[25:])
    gap = decoder.build().batch.gaps[0]
    assert gap.reason == "frames are missing from the journal"
    assert gap.detail == "frames 21 to 25"


def test_rejected_records_are_rows_with_their_bytes() -> None:
    decoder = Decoder(SOURCES)
    decoder.feed([Frame(1, T0, 0, FrameKind.FRAME, b"rubbish\x1e")])
    (row,) = decoder.build().batch.quality
    assert row.raw_payload == b"rubbish"
    assert row.sequence == 1


def test_a_source_that_the_session_does_not_name_is_an_error() -> None:
    with pytest.raises(StoreError, match="unknown source"):
        Decoder(SOURCES).feed([Frame(1, T0, 7, FrameKind.FRAME, b"")])


def test_one_name_at_two_venues_is_told_apart() -> None:
    decoder = Decoder(SOURCES)
    assert decoder.contracts == [(CONTRACT, "MNQM5")]
