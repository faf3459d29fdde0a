from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.arrow import (
    EVENT_SCHEMA,
    INSTRUMENTS_KEY,
    MISSING_VALUES,
    VERSION_KEY,
    check_version,
    from_arrow,
    instruments_of,
    origin_of,
    to_arrow,
)
from tapebook.market.errors import SchemaMismatch
from tapebook.market.events import COUNT_MISSING, EVENT, MISSING, Events, Kind, empty_events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin
from tests.tapes import random_levels, random_orders


@st.composite
def wild_events(draw: st.DrawFn) -> Events:
    """Every kind, any bits, and the missing constants more often than chance has it."""
    n = draw(st.integers(0, 40))
    events = np.frombuffer(draw(st.binary(min_size=64 * n, max_size=64 * n)), EVENT).copy()
    events["kind"] = draw(st.lists(st.sampled_from([int(k) for k in Kind]), min_size=n, max_size=n))
    for name, constant in MISSING_VALUES.items():
        events[name][np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)] = constant
    return events


@given(wild_events())
def test_every_event_comes_back_from_arrow_bit_for_bit(events: Events) -> None:
    assert from_arrow(to_arrow(events)).tobytes() == events.tobytes()


@given(wild_events(), st.integers(0, 40), st.integers(0, 40))
def test_a_slice_of_a_batch_and_a_table_of_several_chunks_come_back_too(events: Events, start: int, cut: int) -> None:
    batch = to_arrow(events)
    assert from_arrow(batch.slice(start)).tobytes() == events[start:].tobytes()
    table = pa.Table.from_batches([batch.slice(0, cut), batch.slice(cut)])
    assert from_arrow(table).tobytes() == events.tobytes()


@pytest.mark.parametrize("events", [random_levels(1, 500), random_orders(2, 500)], ids=["levels", "orders"])
def test_polars_takes_the_columns_and_gives_them_back_unchanged(events: Events) -> None:
    frame = pl.DataFrame(to_arrow(events))
    assert frame["ts_event_ns"].dtype == pl.Int64
    assert from_arrow(frame.to_arrow()).tobytes() == events.tobytes()


def test_each_missing_constant_is_a_null_and_nothing_else_is() -> None:
    events = empty_events(3)
    events["price"] = [5, MISSING, -1]
    events["count"] = [1, COUNT_MISSING, 0]
    events["order_id"] = [0, 9, 0]
    batch = to_arrow(events)
    assert batch["price"].to_pylist() == [5, None, -1]
    assert batch["count"].to_pylist() == [1, None, 0]
    assert batch["order_id"].to_pylist() == [None, 9, None]
    assert batch["ts_recv_ns"].null_count == 3
    assert all(batch[name].null_count == 0 for name in EVENT_SCHEMA.names if name not in MISSING_VALUES)


def test_the_columns_are_the_fields_of_the_event() -> None:
    assert EVENT.names is not None
    assert EVENT_SCHEMA.names == list(EVENT.names)
    assert [str(field.type) for field in EVENT_SCHEMA] == [EVENT[name].name for name in EVENT.names]
    assert set(MISSING_VALUES) == {field.name for field in EVENT_SCHEMA if field.nullable}


def test_instruments_and_origin_travel_in_the_metadata() -> None:
    table = InstrumentTable({3: Instrument(symbol="ESH4", venue="CME", tick_e9=250_000_000)})
    origin = Origin(name="x.dbn", format="dbn", schema="mbo", venue="CME", details={"version": 3})
    batch = to_arrow(empty_events(1), instruments=table, origin=origin)
    assert dict(instruments_of(batch.schema.metadata)) == dict(table)
    assert origin_of(batch.schema.metadata) == origin
    assert origin_of(EVENT_SCHEMA.metadata) is None
    assert len(instruments_of(None)) == 0


def test_an_older_layout_says_to_import_again_and_a_newer_one_to_upgrade() -> None:
    with pytest.raises(SchemaMismatch, match=r"expected version 1, found version 0 .*import the original"):
        check_version({VERSION_KEY: b"0"}, "a.parquet")
    with pytest.raises(SchemaMismatch, match=r"found version 2 .*newer tapebook"):
        check_version({VERSION_KEY: b"2"}, "a.parquet")
    with pytest.raises(SchemaMismatch, match=r"found version"):
        check_version({VERSION_KEY: b"\xff\xfe"}, "a.parquet")


def test_a_column_that_is_absent_or_of_another_type_is_named() -> None:
    batch = to_arrow(empty_events(2))
    with pytest.raises(SchemaMismatch, match=r"one column price of type int64, found none"):
        from_arrow(batch.drop_columns(["price"]))
    wrong = batch.set_column(2, "price", pa.array([1.0, 2.0]))
    with pytest.raises(SchemaMismatch, match="price of type int64, found double"):
        from_arrow(wrong)


def test_a_null_where_none_can_be_is_refused() -> None:
    batch = to_arrow(empty_events(2))
    at = batch.schema.get_field_index("kind")
    with pytest.raises(SchemaMismatch, match="no null in kind, found 1 nulls"):
        from_arrow(batch.set_column(at, "kind", pa.array([1, None], pa.uint8())))


def test_metadata_that_are_no_json_are_a_schema_error_not_a_crash() -> None:
    damaged = {INSTRUMENTS_KEY: b'{"1": {"symbol": 5}}'}
    with pytest.raises(SchemaMismatch, match=r"JSON in tapebook\.instruments"):
        instruments_of(damaged, "a.parquet")
