"""Timetables against recordings: a market that traded was open, and where it did not trade for long it was closed."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from tapebook.market.sessions import SessionPhase, calendar

BAR_NS = 300_000_000_000

pytestmark = pytest.mark.recording


def ns(moment: dt.datetime, zone: str) -> int:
    return int(moment.replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000_000


def sierra_bars(path: Path) -> NDArray[np.int64]:
    """Return the starts of the bars of a Sierra Chart export, which has Chicago time."""
    with path.open() as file:
        rows = list(csv.reader(file))[1:]
    moments = [dt.datetime.strptime(row[0] + row[1], "%Y/%m/%d %H:%M:%S") for row in rows]  # noqa: DTZ007 - zone added next
    return np.array([ns(moment, "America/Chicago") for moment in moments], dtype=np.int64)


@pytest.mark.parametrize("contract", ["ESZ23", "ESH24", "ESM24"])
def test_es_traded_when_cme_was_open_and_nearly_always_then(recording: Callable[[str], Path], contract: str) -> None:
    bars = sierra_bars(recording(f"sierra/{contract}-CME.scid_BarData__5m.txt"))
    cme = calendar("CME")
    assert cme.is_open(bars).all()
    every = np.arange(bars[0], bars[-1], BAR_NS)
    open_slots = every[cme.is_open(every)]
    silent = np.setdiff1d(open_slots, bars)
    # A front month trades in nearly every five minutes; after the roll a few slots of the night stay empty.
    assert silent.size <= 0.001 * open_slots.size, silent.astype("M8[ns]")[:5]
    for before, after in pairwise(bars):  # each long gap is one of the timetable
        if after - before > 3 * BAR_NS:
            gap = np.arange(before + BAR_NS, after, BAR_NS)
            assert not cme.is_open(gap).any(), (np.datetime64(int(before), "ns"), np.datetime64(int(after), "ns"))


def test_the_mini_index_traded_when_b3_was_open(recording: Callable[[str], Path]) -> None:
    with recording("b3/winfut_five_minute.csv").open(encoding="utf-8-sig") as file:
        moments = [dt.datetime.strptime(row["Data"], "%d/%m/%Y %H:%M") for row in csv.DictReader(file, delimiter=";")]  # noqa: DTZ007 - zone added next
    bars = np.sort(np.array([ns(moment, "America/Sao_Paulo") for moment in moments], dtype=np.int64))
    b3 = calendar("B3")
    assert b3.in_rth(bars).all()
    dates = np.unique(b3.trade_dates(bars))
    sessions = b3.sessions_between(int(bars[0]), int(bars[-1]))
    assert dates.tolist() == [s.trade_date for s in sessions]
    last = [int(bars[bars < s.close_ns].max()) for s in sessions]
    # The index stops five minutes before the dollar, whose close is the calendar's: its last bar starts ten before.
    assert all(s.close_ns - bar == 2 * BAR_NS for s, bar in zip(sessions, last, strict=True))


@pytest.mark.parametrize("day", ["05", "06", "07", "10", "11", "14", "17", "21", "28", "31"])
def test_petr4_traded_when_b3_was_open_but_for_the_print_of_the_closing_call(
    recording: Callable[[str], Path], day: str
) -> None:
    with recording(f"b3/PETR4_{day}032025.csv").open() as file:
        rows = [row["network_received_time"] for row in csv.DictReader(file) if row["event_type"] == "trade"]
    trades = np.array([row.removesuffix("+00:00") for row in rows], dtype="M8[ns]").view(np.int64)
    shares = calendar("B3-STOCKS")
    session = shares.session(f"2025-03-{day}")
    assert (shares.trade_dates(trades) == np.datetime64(session.trade_date)).all()
    closed = trades[~shares.is_open(trades)]
    late = closed - session.rth_close_ns
    assert ((late >= 0) & (late < 900_000_000_000)).all()  # prolonged closing auctions
    assert shares.in_rth(trades).mean() > 0.7


def test_es_took_orders_before_it_opened_on_christmas_day(recording: Callable[[str], Path]) -> None:
    import databento_dbn
    import zstandard

    path = recording("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst")
    decoder = databento_dbn.DBNDecoder()
    decoder.write(zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read())
    events = [record for record in decoder.decode() if isinstance(record, databento_dbn.MBOMsg)]
    session = calendar("CME").session("2023-12-26")
    stamps = np.array([event.ts_event for event in events], dtype=np.int64)
    live = stamps[stamps >= session.pre_open_ns - 7_200_000_000_000]
    assert 0 <= live.min() - session.pre_open_ns < 1_000_000_000
    trades = np.array([event.ts_event for event in events if str(event.action) == "T"], dtype=np.int64)
    assert trades.size == 2973
    assert trades.min() == session.open_ns
    assert (calendar("CME").phases(trades) == SessionPhase.OPEN).all()
