"""What every live venue promises: its golden pairs, and that parsing is pure, cuts anywhere, and survives anything.

A venue inherits these by being registered in ``tapebook.venues`` and having ``tests/venues/golden_<name>.py`` (with
``_`` for ``-``) with its ``PAIRS``. Where ``Venue.record_end`` is set, frames are a stream of records that may be cut
anywhere; else every frame is a message of its own, and what is cut is the list of frames.
"""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tapebook.market.errors import MalformedRecord
from tapebook.market.events import EVENT, Events, Flag, Kind
from tapebook.market.instruments import InstrumentTable
from tapebook.market.operators import State
from tapebook.market.quarantine import Quarantine
from tapebook.venues import FrameParser, Venue, advance_all, advance_counted, venues
from tests.venues.golden import Golden, rows_of

NOW = 1_787_172_692_000_000_000


def pairs(venue: Venue) -> tuple[Golden, ...]:
    found: tuple[Golden, ...] = import_module(f"tests.venues.golden_{venue.name.replace('-', '_')}").PAIRS
    return found


EACH = [pytest.param(v, id=v.name) for v in venues()]
PAIRS = [pytest.param(v, pair, id=f"{v.name}: {pair.name}") for v in venues() for pair in pairs(v)]


def parser_of(venue: Venue, quarantine: Quarantine, notes: dict[str, int] | None = None) -> FrameParser:
    return venue.parser(venue.contracts, InstrumentTable(), quarantine=quarantine, notes=notes)


def run(venue: Venue, frames: list[bytes]) -> tuple[Events, Quarantine]:
    quarantine = Quarantine()
    parser = parser_of(venue, quarantine)
    blocks = [parser.advance(frame, NOW + i) for i, frame in enumerate(frames)]
    return np.concatenate(blocks), quarantine


def frames_of(venue: Venue) -> list[bytes]:
    return [frame for pair in pairs(venue) for frame in (*pair.before, pair.frame)]


def cut(venue: Venue, frames: list[bytes], places: list[int]) -> list[bytes]:
    """Return the frames as they may also come: the stream cut at these places, or the same frames."""
    if not venue.record_end:
        return frames
    whole = b"".join(frames)
    return [whole[a:b] for a, b in pairwise([0, *sorted(min(p, len(whole)) for p in places), len(whole)])]


def some_cuts(venue: Venue, n: int, seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    size = sum(map(len, frames_of(venue)))
    return [sorted(rng.integers(0, size, int(k)).tolist()) for k in rng.integers(1, 60, n)]


def same(a: Events, b: Events) -> bool:
    return a.tobytes() == b.tobytes()


@pytest.mark.parametrize(("venue", "pair"), PAIRS)
def test_a_message_means_the_events_written_down_for_it(venue: Venue, pair: Golden) -> None:
    quarantine = Quarantine()
    notes: dict[str, int] = {}
    parser = parser_of(venue, quarantine, notes)
    for frame in pair.before:
        parser.advance(frame, NOW - 1)
    events = parser.advance(pair.frame, NOW)
    assert events.dtype == EVENT
    assert rows_of(events, NOW, pair) == pair.rows
    assert tuple(record.reason for record in quarantine.records) == pair.quarantined
    assert {text: notes.get(text, 0) for text in pair.notes} == pair.notes


@pytest.mark.parametrize("venue", EACH)
def test_there_are_golden_pairs_of_every_kind_of_market_data(venue: Venue) -> None:
    kinds = {row[0] for pair in pairs(venue) for row in pair.rows}
    assert {int(Kind.TRADE), int(Kind.LEVEL), int(Kind.QUOTE), int(Kind.CLEAR)} <= kinds
    assert any(pair.quarantined for pair in pairs(venue))


@pytest.mark.parametrize("venue", EACH)
def test_parsing_is_pure(venue: Venue) -> None:
    frames = frames_of(venue)
    copies = [bytes(bytearray(frame)) for frame in frames]
    (first, bad), (again, bad_again) = run(venue, frames), run(venue, copies)
    assert same(first, again)
    assert bad.records == bad_again.records
    assert frames == copies


def at_once(venue: Venue, frames: list[bytes]) -> tuple[Events, Quarantine]:
    """Return what comes of frames that all came at one time."""
    quarantine = Quarantine()
    parser = parser_of(venue, quarantine)
    return np.concatenate([parser.advance(frame, NOW) for frame in frames]), quarantine


@pytest.mark.parametrize("venue", EACH)
def test_any_cut_of_the_bytes_gives_the_same_events(venue: Venue) -> None:
    frames = frames_of(venue)
    expected, quarantine = at_once(venue, frames)
    assert expected.size
    for places in (*some_cuts(venue, 60, 7), [], list(range(sum(map(len, frames))))):
        events, kept = at_once(venue, cut(venue, frames, places))
        assert same(events, expected)
        assert kept.records == quarantine.records


@pytest.mark.parametrize("venue", EACH)
def test_many_frames_at_once_give_what_they_give_one_by_one(venue: Venue) -> None:
    frames = [(frame, NOW + i) for i, frame in enumerate(frames_of(venue))]
    expected, quarantine = run(venue, frames_of(venue))
    rng = np.random.default_rng(9)
    for n in (1, 2, 7, 30):
        edges = [0, *sorted(rng.integers(0, len(frames), n).tolist()), len(frames)]
        kept = Quarantine()
        parser = parser_of(venue, kept)
        blocks = [advance_all(parser, frames[a:b]) for a, b in pairwise(edges)]
        assert same(np.concatenate(blocks), expected)
        assert kept.records == quarantine.records
    events, sizes = advance_counted(parser_of(venue, Quarantine()), frames)
    one_by_one = parser_of(venue, Quarantine())
    assert same(events, expected)
    assert sizes == [one_by_one.advance(*frame).size for frame in frames]


@pytest.mark.parametrize("venue", EACH)
def test_a_saved_parser_goes_on_elsewhere_as_if_nothing_had_been(venue: Venue) -> None:
    whole = frames_of(venue)
    expected, _ = at_once(venue, whole)
    rng = np.random.default_rng(8)
    for places in some_cuts(venue, 100, 8):
        frames = cut(venue, whole, places)
        k = int(rng.integers(0, len(frames) + 1))
        first, second = parser_of(venue, Quarantine()), parser_of(venue, Quarantine())
        start = advance_all(first, [(frame, NOW) for frame in frames[:k]])
        saved = first.save()
        assert all(isinstance(array, np.ndarray) for array in saved.values())
        rest = [(frame, NOW) for frame in frames[k:]]
        advance_all(first, rest)  # must not reach into what was saved
        second.restore(saved)
        assert same(np.concatenate([start, advance_all(second, rest)]), expected)


@pytest.mark.parametrize("venue", EACH)
def test_events_are_whole_messages_of_known_kinds(venue: Venue) -> None:
    for pair in pairs(venue):
        events, _ = run(venue, [*pair.before, pair.frame])
        assert events.size == 0 or events["flags"][-1] & Flag.LAST
        assert set(events["kind"].tolist()) <= {int(k) for k in Kind}
        book = np.isin(events["kind"], (Kind.LEVEL, Kind.QUOTE))
        assert (events["side"][book] != 0).all()
        known = (events["side_source"] != 0) & (events["kind"] == Kind.TRADE)
        assert (events["side"][known] != 0).all()


def mutated(frame: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """Return a damaged frame: bits flipped, cut short, a part repeated, swapped, dropped or taken from another one."""
    out = bytearray(frame)
    kind = int(rng.integers(0, 7))
    a, b = sorted(rng.integers(0, len(out) + 1, 2).tolist())
    if kind == 0:
        for place in rng.integers(0, len(out), int(rng.integers(1, 5))):
            out[place] ^= 1 << int(rng.integers(0, 8))
    elif kind == 1:
        del out[a:]
    elif kind == 2:
        del out[a:b]
    elif kind == 3:
        out[a:a] = out[a:b]
    elif kind == 4:
        other = others[int(rng.integers(0, len(others)))]
        out[a:b] = other[a:b]
    elif kind == 5:
        words = (b"null", b"-1", b"1e308", b"9" * 25, b'"\\ud800"', b"[" * 50, b"{}", b"\x1e", b"\xff", b"0.1234567891")
        out[a:a] = words[int(rng.integers(0, len(words)))]
    else:
        digits = [i for i, c in enumerate(out) if 48 <= c <= 57]
        for place in rng.choice(digits, min(3, len(digits)), replace=False) if digits else []:
            out[place] = 48 + int(rng.integers(0, 10))
    return bytes(out)


def changed(before: State, after: State) -> bool:
    return any(before[name].tobytes() != after[name].tobytes() for name in before)


def fuzz(venue: Venue, n: int, seed: int) -> tuple[int, int, int]:
    """Play damaged frames; no record may vanish: each makes events, a note or a bad record that is kept and counted.

    Where every frame is a message, one may also wait in the parser's memory (for a snapshot, say).
    """
    rng = np.random.default_rng(seed)
    frames = frames_of(venue)
    quarantine = Quarantine(keep=n * 8)
    notes: dict[str, int] = {}
    parser = parser_of(venue, quarantine, notes)
    n_events = accounted = 0
    unfinished = False
    for i in range(n):
        frame = mutated(frames[int(rng.integers(0, len(frames)))], rng, frames)
        held = {} if venue.record_end else parser.save()
        events = parser.advance(frame, NOW + i)
        n_events += events.size
        before, accounted = accounted, n_events + quarantine.total + sum(notes.values())
        whole = bool(frame)
        if venue.record_end:
            *ended, rest = frame.split(venue.record_end)
            whole = any(ended) or (unfinished and bool(ended))
            unfinished = bool(rest) or (unfinished and not ended)
        assert accounted > before or not whole or (held and changed(held, parser.save())), frame
        if events.size:
            assert events["flags"][-1] & Flag.LAST
            level = events["kind"] == Kind.LEVEL
            assert (events["qty_lots"][level] >= 0).all()
            assert (events["ts_recv_ns"] <= NOW + i).all()
    assert len(quarantine.records) == quarantine.total
    assert all(record.raw and record.reason and record.where for record in quarantine.records)
    return n_events, quarantine.total, sum(notes.values())


@pytest.mark.parametrize("venue", EACH)
def test_damaged_frames_are_told_and_never_break_the_parser(venue: Venue) -> None:
    n_events, n_bad, _ = fuzz(venue, 4000, 1)
    assert n_events > 100
    assert n_bad > 1000


@pytest.mark.slow
@pytest.mark.parametrize("venue", EACH)
def test_many_damaged_frames_are_told_and_never_break_the_parser(venue: Venue) -> None:
    """Millions of them, guided by coverage, are for ``make fuzz``."""
    n_events, n_bad, _ = fuzz(venue, 30_000, 2)
    assert n_events > 750  # of a venue whose messages make one event each, few damaged ones make any
    assert n_bad > 7_500


@pytest.mark.parametrize("venue", EACH)
def test_strict_parsing_stops_at_the_first_bad_record(venue: Venue) -> None:
    bad: Any = next(pair for pair in pairs(venue) if pair.quarantined)
    parser = parser_of(venue, Quarantine(strict=True))
    for frame in bad.before:
        parser.advance(frame, NOW)
    with pytest.raises(MalformedRecord, match=bad.quarantined[0]):
        parser.advance(bad.frame, NOW)
