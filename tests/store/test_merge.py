from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import partial

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.events import Events, clock_ns, empty_events
from tapebook.store.merge import Keyed, Stream, merge, message_clock
from tests.store.some_tapes import wild_tapes


def events_of(keys: list[int], stream: int) -> Events:
    """Events that know their key, stream and place."""
    events = empty_events(len(keys))
    events["ts_event_ns"] = keys
    events["order_id"] = stream
    events["sequence"] = np.arange(len(keys))
    return events


STREAMS = st.lists(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=5), min_size=1, max_size=5), max_size=5)


@given(STREAMS)
def test_merging_is_a_stable_sort_of_all_streams_one_after_the_other(blocks: list[list[list[int]]]) -> None:
    streams = [np.sort(np.concatenate([np.array(b, np.int64) for b in stream])) for stream in blocks]
    whole = [events_of(keys.tolist(), i) for i, keys in enumerate(streams)]

    def open_stream(i: int) -> Iterator[Keyed]:
        start = 0
        for block in blocks[i]:
            yield streams[i][start : start + len(block)], whole[i][start : start + len(block)]
            start += len(block)

    def stream(i: int) -> Stream:
        return Stream(int(streams[i][0]), lambda: open_stream(i))

    parts = list(merge([stream(i) for i in range(len(streams))]))
    merged = np.concatenate([e for _, e in parts]) if parts else empty_events(0)
    every = np.concatenate(whole) if whole else empty_events(0)
    expected = every[np.argsort(every["ts_event_ns"], kind="stable")]
    assert merged.tobytes() == expected.tobytes()
    assert all(keys.size for keys, _ in parts)


def test_a_stream_is_opened_only_when_its_first_key_can_be_next() -> None:
    opened: list[int] = []

    def stream(i: int) -> Stream:
        def open_stream() -> Iterator[Keyed]:
            opened.append(i)
            for k in range(3):
                yield np.array([10 * i + k]), events_of([10 * i + k], i)

        return Stream(10 * i, open_stream)

    seen = [(int(keys[0]), list(opened)) for keys, _ in merge([stream(i) for i in range(3)])]
    assert [s for s in seen if s[0] % 10 == 2] == [(2, [0]), (12, [0, 1]), (22, [0, 1, 2])]


def test_what_was_handed_over_is_not_kept_in_memory() -> None:
    handed: list[weakref.ref[Events]] = []

    def open_stream(i: int) -> Iterator[Keyed]:
        for k in range(3):
            events = events_of([10 * i + k], i)
            handed.append(weakref.ref(events))
            yield events["ts_event_ns"].copy(), events

    streams = [Stream(10 * i, partial(open_stream, i)) for i in range(20)]
    most = 0
    for _keys, _events in merge(streams):
        most = max(most, sum(ref() is not None for ref in handed))
    assert len(handed) == 60
    assert most <= 4


@given(wild_tapes(events_max=40))
def test_message_keys_never_fall_never_look_ahead_and_never_part_a_message(case: tuple[Events, list[int]]) -> None:
    events, cuts = case
    blocks = [b for b in np.split(events, sorted(set(cuts))) if b.size]
    keys = np.concatenate([k for k, _ in message_clock(iter(blocks))])
    expected, latest, begins = [], None, True
    key = 0
    for i, clock in enumerate(clock_ns(events).tolist()):  # the definition, one event at a time
        latest = clock if latest is None else max(latest, clock)
        key = latest if begins else key
        expected.append(key)
        begins = bool(events["flags"][i] & 1)
    assert keys.tolist() == expected
