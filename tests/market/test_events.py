from __future__ import annotations

import numpy as np

from tapebook.market.events import COUNT_MISSING, EVENT, EVENT_SCHEMA_VERSION, MISSING, Flag, Kind, Phase, SideSource

LAYOUT = {
    "ts_event_ns": ("<i8", 0),
    "ts_recv_ns": ("<i8", 8),
    "price": ("<i8", 16),
    "qty_lots": ("<i8", 24),
    "order_id": ("<u8", 32),
    "sequence": ("<i8", 40),
    "instrument_id": ("<u4", 48),
    "count": ("<u4", 52),
    "flags": ("<u2", 56),
    "channel": ("<u2", 58),
    "kind": ("|u1", 60),
    "side": ("|i1", 61),
    "side_source": ("|u1", 62),
    "detail": ("|u1", 63),
}


def test_an_event_is_64_bytes_with_pinned_offsets_for_this_schema_version() -> None:
    assert EVENT_SCHEMA_VERSION == 1
    assert EVENT.itemsize == 64
    assert EVENT.fields is not None
    assert {name: (field[0].str, field[1]) for name, field in EVENT.fields.items()} == LAYOUT


def test_the_numbers_of_kinds_and_flags_are_part_of_the_file_format() -> None:
    assert [k.value for k in Kind] == list(range(1, 10))
    assert [f.value for f in Flag] == [1 << i for i in range(9)]
    assert [p.value for p in Phase] == list(range(7))
    assert [s.value for s in SideSource] == list(range(6))


def test_missing_is_what_numpy_calls_not_a_time() -> None:
    assert np.isnat(np.array([MISSING]).view("M8[ns]"))[0]
    assert COUNT_MISSING == 2**32 - 1
