"""The book against what vendors published of the same day."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import astuple
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tapebook.book import Level, OrderBook, Snapshots, Touch, level_columns
from tapebook.market.events import MISSING, PRICE_SCALE, Flag, Kind, Side
from tapebook.readers import open_tape
from tests.oracles.book import OracleBook

pytestmark = pytest.mark.recording
Recording = Callable[[str], Path]

PRE_OPEN_ENDS_NS = 1_703_545_200_000_000_000  # 2023-12-25 23:00 UTC
ES_BY_ORDERS = "databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst"


@pytest.mark.parametrize("n_levels", [1, 5])
def test_lobster_the_book_equals_the_vendors_on_every_row(recording: Recording, n_levels: int) -> None:
    path = recording(f"lobster/LOBSTER_SampleFile_AMZN_2012-06-21_{n_levels}.zip")
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if "orderbook" in n)
        theirs = np.loadtxt(io.BytesIO(archive.read(name)), delimiter=",", dtype=np.int64)
    tape = open_tape(path)
    events = tape.events()
    (instrument_id, instrument), *_ = tape.instruments.items()
    operator = Snapshots(instrument, instrument_id, levels=n_levels)
    rows = operator.advance(events)
    operator.memory.check()
    # One row before the first message (the state that the pair of files begins in), then one for each.
    assert rows["ts_ns"].size == len(theirs) + 1
    for i in range(n_levels):
        for j, what in enumerate(("ask_px", "ask_sz", "bid_px", "bid_sz")):
            column = theirs[:, 4 * i + j]
            absent = theirs[:, 4 * i + (j | 1)] == 0
            scaled = np.where(absent, MISSING, column * (PRICE_SCALE // 10_000 if j % 2 == 0 else 1))
            assert np.array_equal(rows[f"{what}_{i:02d}"][1:], scaled)
    found = operator.statistics()
    assert found.anomalies() == {}
    assert found.crossed == found.locked == 0


def levels_of(row: dict[str, str]) -> list[int]:
    """A row of the vendor's MBP-10 as our columns."""
    values = []
    for name in level_columns(10):
        price = row[name[:4] + "px" + name[6:]]
        what = name[4:6]
        values.append(MISSING if not price else int(Decimal(row[name]) * (PRICE_SCALE if what == "px" else 1)))
    return values


def test_databento_our_orders_give_the_vendors_depth_row_by_row(recording: Recording) -> None:
    """The vendor made its MBP-10 from the same messages, and how its rows pair with them is found here.

    A row stands for one order record: same ``ts_event``, ``sequence``, action, side and order, and shows the book after
    it, even inside a message (its LAST flags are those of the order records). The one exception: an execution (T, F,
    C) is one row with the action T, the side of the resting order and no order id, showing the book after its C.
    Records without a row are those that leave the best ten levels as they are.
    """
    mbo = recording("databento_csv_arl/mbo.csv")
    with mbo.open() as file:
        records = list(csv.DictReader(file))
    with recording("databento_csv_arl/mbp_actual.csv").open() as file:
        theirs = list(csv.DictReader(file))
    tape = open_tape(mbo)
    events = tape.events()
    (instrument_id, instrument), *_ = tape.instruments.items()
    assert events.size == len(records)
    events["flags"] |= np.uint16(Flag.LAST)
    operator = Snapshots(instrument, instrument_id, levels=10)
    rows = operator.advance(events)
    ours = np.array([rows[name] for name in level_columns(10)]).T
    operator.memory.check()

    by_key: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, r in enumerate(records):
        by_key[r["ts_event"], r["sequence"], r["action"], r["side"], r["order_id"]].append(i)
        if r["action"] == "C":
            by_key[r["ts_event"], r["sequence"], "T", r["side"], "0"].append(i)
    paired = []
    for row in theirs:
        (i,) = by_key[row["ts_event"], row["sequence"], row["action"], row["side"], row["order_id"]]
        assert ours[i].tolist() == levels_of(row), row
        paired.append(i)
    assert len(paired) == 3_928
    assert paired == sorted(set(paired)), "the rows are in the order of the records, no record has two"
    silent = sorted(set(range(1, len(records))) - set(paired))
    assert all(np.array_equal(ours[i], ours[i - 1]) for i in silent), "a record that changed the depth has no row"
    assert operator.statistics().anomalies() == {}


@pytest.fixture(scope="module")
def es(recording: Recording) -> Any:
    return open_tape(recording(ES_BY_ORDERS)).events()


def test_es_by_orders_is_sound_and_crosses_only_before_the_open(recording: Recording, es: Any) -> None:
    trades = es[es["kind"] == Kind.TRADE]
    assert (trades.size, int(trades["qty_lots"].sum())) == (2_973, 9_892)
    tape = open_tape(recording(ES_BY_ORDERS))
    tape.events()
    (instrument_id, instrument), *_ = tape.instruments.items()
    touch = Touch(instrument, instrument_id)
    rows = touch.advance(es)
    two_sided = (rows["bid_px"] != MISSING) & (rows["ask_px"] != MISSING)
    crossed = two_sided & (rows["bid_px"] > rows["ask_px"])
    assert int(crossed.sum()) == 891
    assert int(rows["ts_event_ns"][crossed].max()) < PRE_OPEN_ENDS_NS
    book = OrderBook(instrument_id=instrument_id)
    book.advance(es)
    book.check()
    assert book.statistics().anomalies() == {"crossed": 891}


def test_es_a_second_snapshot_restates_every_order(recording: Recording, es: Any) -> None:
    day_before = open_tape(recording("databento/es/esh4-glbx-mdp3-20231224.mbo.dbn.zst")).events()
    book, alone = OrderBook(), OrderBook()
    book.advance(np.concatenate([day_before, es]))
    alone.advance(es)
    book.check()
    assert book.statistics().restated_adds == day_before.size == 8_725
    assert both_sides(book) == both_sides(alone)
    assert book.statistics().anomalies() == {"crossed": 891}


@pytest.mark.slow
def test_es_is_sane_all_day_and_ends_in_the_oracles_book(es: Any) -> None:
    book, oracle = OrderBook(), OracleBook()
    for start in range(0, es.size, 1_000):
        block = es[start : start + 1_000]
        book.advance(block)
        book.check()
        for event in block:
            oracle.apply(event)
        for side in (Side.BID, Side.ASK):
            assert [astuple(level) for level in book.levels(side)] == oracle.levels(side)
    for side in (Side.BID, Side.ASK):
        for price, rest in oracle.sides[side].items():
            assert [(k.order_id, k.qty_lots) for k in book.queue(side, price)] == list(rest.orders.items())


@pytest.mark.parametrize("name", ["spot_btcusdt_20240808", "usdm_btcusdt_20240808", "cm_btcusd_perp_20240808"])
def test_binance_diffs_give_a_sane_book_that_never_crosses(recording: Recording, name: str) -> None:
    tape = open_tape(recording(f"binance/{name}.gz"))
    events = tape.events()
    (instrument_id, instrument), *_ = tape.instruments.items()
    book = OrderBook(tick_e9=instrument.tick_e9, instrument_id=instrument_id)
    unknown_grid = OrderBook(instrument_id=instrument_id)
    book.advance(events)
    unknown_grid.advance(events)
    book.check()
    unknown_grid.check()
    assert book.statistics().anomalies() == {}
    assert book.statistics().locked == 0
    assert min(len(both_sides(book)), len(both_sides(unknown_grid))) > 2_000
    assert both_sides(book) == both_sides(unknown_grid)


def both_sides(book: OrderBook) -> list[Level]:
    return book.levels(Side.BID) + book.levels(Side.ASK)


def test_a_snapshot_of_the_last_moment_is_the_book(recording: Recording) -> None:
    tape = open_tape(recording("binance/usdm_btcusdt_20240808.gz"))
    events = tape.events()
    (instrument_id, instrument), *_ = tape.instruments.items()
    operator = Snapshots(instrument, instrument_id, levels=20)
    rows = operator.advance(events)
    book = OrderBook(instrument_id=instrument_id)
    book.advance(events)
    last: NDArray[np.int64] = np.array([rows[name][-1] for name in level_columns(20)]).reshape(20, 2, 3)
    for s, side in enumerate((Side.BID, Side.ASK)):
        assert last[:, s].tolist() == [list(astuple(x)) for x in book.levels(side, 20)]
