"""Rows carry events exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapebook.capture.rows import from_rows, to_rows
from tapebook.market.events import COUNT_MISSING, EVENT, MISSING, Events, Flag, Kind, empty_events
from tapebook.store.schema import TABLES
from tests.capture.some_frames import SOURCES, frames_of

CONTRACT_OF = np.array([-1, 1, 0], np.int32)
INSTRUMENT_OF = np.array([2, 1], np.uint32)

times = st.one_of(st.just(MISSING), st.integers(0, 2**62))
numbers = st.one_of(st.just(MISSING), st.integers(-(2**62), 2**62))


@st.composite
def one_event(draw: Any) -> Events:
    event = empty_events(1)
    kind = draw(st.sampled_from(list(Kind)))
    event["kind"] = kind
    event["instrument_id"] = draw(st.integers(1, 2))
    event["channel"] = draw(st.integers(0, 4))
    event["ts_recv_ns"], event["ts_event_ns"] = draw(st.integers(0, 2**62)), draw(times)
    event["sequence"], event["price"], event["qty_lots"] = draw(times), draw(numbers), draw(numbers)
    event["flags"] = draw(st.integers(0, 511))
    event["side"] = draw(st.sampled_from([1, -1] if kind == Kind.QUOTE else [1, 0, -1]))
    if kind == Kind.TRADE and event["price"][0] != MISSING:
        event["detail"], event["side_source"] = draw(st.integers(0, 4)), draw(st.integers(0, 5))
    elif kind == Kind.STATUS:
        event["detail"] = draw(st.integers(0, 6))
    elif kind not in (Kind.TRADE, Kind.QUOTE) or draw(st.booleans()):
        event["count"] = draw(st.sampled_from([COUNT_MISSING, 0, 7]))
    event["order_id"] = draw(st.one_of(st.just(0), st.integers(1, 2**63 - 1), st.integers(2**63 + 1, 2**64 - 1)))
    return event


@st.composite
def some_events(draw: Any) -> Events:
    """Any events, and among them quotes of two sides as venues send them."""
    parts: list[Events] = []
    for event in draw(st.lists(one_event(), max_size=12)):
        parts.append(event)
        if event["kind"][0] == Kind.QUOTE and draw(st.booleans()):
            bid, ask = event.copy(), event.copy()
            bid["side"], ask["side"] = 1, -1
            bid["flags"] &= ~np.uint16(Flag.LAST)
            ask["flags"] = (bid["flags"] & ~np.uint16(draw(st.sampled_from([0, int(Flag.GAP)])))) | Flag.LAST
            ask["price"], ask["qty_lots"] = draw(numbers), draw(numbers)
            parts += [bid, ask]
    return np.concatenate(parts) if parts else empty_events(0)


def keys_of(events: Events, frames: list[int]) -> tuple[np.ndarray, np.ndarray]:
    sequence = np.sort(np.array(frames, np.int64))
    return sequence, np.arange(events.size) - np.searchsorted(sequence, sequence)


@settings(max_examples=300)
@given(some_events(), st.data())
def test_rows_go_back_to_the_same_events_in_the_same_order(events: Events, data: Any) -> None:
    frames = data.draw(st.lists(st.integers(1, 5), min_size=events.size, max_size=events.size))
    sequence, index = keys_of(events, frames)
    tables = to_rows(events, sequence, index, CONTRACT_OF)
    shuffled = {t: np.random.default_rng(1).permutation(rows) for t, rows in tables.items()}
    back, of_frames = from_rows(shuffled, INSTRUMENT_OF)
    assert back.tobytes() == events.tobytes()
    assert of_frames.tolist() == sequence.tolist()
    n = sum(rows.size for rows in tables.values())
    keys = {(int(r["sequence"]), int(r["row_index"])) for rows in tables.values() for r in rows}
    assert len(keys) == n  # each row has a key of its own


def test_bid_and_ask_of_a_message_share_a_row() -> None:
    events = empty_events(2)
    events["kind"], events["channel"], events["instrument_id"] = Kind.QUOTE, 2, 1
    events["side"], events["price"], events["flags"] = [1, -1], [10, 11], [Flag.GAP, Flag.LAST]
    events["ts_recv_ns"] = 5
    rows = to_rows(events, np.array([7, 7]), np.array([0, 1]), CONTRACT_OF)["quotes"]
    assert rows[["bid_price", "ask_price", "type", "sequence"]].tolist() == [(10, 11, 3, 7)]


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_has_a_table(kind: Kind) -> None:
    event = empty_events(1)
    event["kind"], event["instrument_id"], event["price"], event["side"], event["channel"] = kind, 1, 5, 1, 2
    tables = to_rows(event, np.array([1]), np.array([0]), CONTRACT_OF)
    where = {Kind.TRADE: "trades", Kind.QUOTE: "quotes"}.get(kind, "market_depth")
    assert {t: tables[t].size for t in TABLES} == {t: int(t == where) for t in TABLES}


def test_no_events_are_no_rows() -> None:
    tables = to_rows(np.empty(0, EVENT), np.empty(0, np.int64), np.empty(0, np.int64), CONTRACT_OF)
    assert all(not rows.size for rows in tables.values())
    assert from_rows({}, INSTRUMENT_OF)[0].size == 0


def test_what_a_venue_sends_comes_back_from_its_rows() -> None:
    from tapebook.capture.decode import Decoder

    decoder = Decoder(SOURCES)
    for frame in frames_of(3_000):
        decoder.feed([frame])
    decoded = decoder.build()
    back, sequence = from_rows(decoded.batch.tables, decoder.instrument_of)
    assert back.tobytes() == decoded.events.tobytes()
    assert sequence.tolist() == decoded.sequence.tolist()
    assert decoded.events.size > 3_000
