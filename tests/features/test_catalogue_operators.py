"""The catalogue's columns are those of the single operators, and it comes through recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapebook.features import technical as _technical  # noqa: F401 - registers rsi, macd, bollinger
from tapebook.features.catalogue import COLUMNS, Catalogue
from tapebook.features.fracdiff import make as fracdiff
from tapebook.features.hawkes import make as hawkes
from tapebook.features.imbalance import make as imbalance
from tapebook.features.microprice import make as microprice
from tapebook.features.ofi import make as ofi
from tapebook.features.quoted_spread import make as quoted_spread
from tapebook.features.touch import TouchFeed
from tapebook.market.events import MISSING, Events, Flag, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Operator, Rows, registered
from tapebook.readers import open_tape
from tapebook.simulator import simulate
from tests.features.histories import vector, vector_rows
from tests.features.test_catalogue import PLAIN, START, depth_history

AMZN = "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"
ES = "databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst"
BINANCE = "binance/usdm_btcusdt_20240808.gz"


def changes(events: Events, instrument: Instrument, who: int, *, sizes: bool, threads: bool = False) -> np.ndarray:
    """Return the events (of this instrument) at which the operators of the touch make a row."""
    view = TouchFeed(instrument, who).see(events)
    arrays = [view.bid_px, view.ask_px] + ([view.bid_sz, view.ask_sz] if sizes else [])
    if threads:
        arrays.append(view.thread)
    changed: np.ndarray = np.flatnonzero(np.any([a[1:] != a[:-1] for a in arrays], axis=0))
    return changed


def same(a: np.ndarray, b: np.ndarray) -> None:
    assert a.tobytes() == b.tobytes()


def compare(events: Events, instrument: Instrument, who: int) -> Rows:
    """Bit for bit where the touch changed; the catalogue is NaN outside trading and off a two-sided touch."""
    rows = Catalogue(instrument, who, levels=1).advance(events)
    valid = np.isfinite(rows["mid"])

    def single(make: Callable[[Instrument, int], Operator]) -> Rows:
        return make(instrument, who).advance(events)

    at = changes(events, instrument, who, sizes=True, threads=True)
    same(rows["ofi_1"][at], single(ofi)["ofi_lots"])
    others = np.delete(rows["ofi_1"], at)
    assert not np.any(others[np.isfinite(others)])
    at = changes(events, instrument, who, sizes=True)
    good = valid[at]
    same(rows["micro_price"][at][good], single(microprice)["microprice"][good])
    same(rows["imbalance"][at][good], single(imbalance)["imbalance"][good])
    spreads = single(quoted_spread)
    at = changes(events, instrument, who, sizes=False)
    mine = np.isin(spreads["ts_ns"], rows["ts_ns"][at])
    if mine.all() and at.size == mine.size:  # no row of its own for a market that opens or stops
        for ours, theirs in (("mid", "mid"), ("spread", "quoted_spread"), ("relative_spread_bp", "quoted_spread_bp")):
            same(rows[ours][at], spreads[theirs])
    else:
        finite = np.isfinite(spreads["quoted_spread"])
        known = dict(zip(spreads["ts_ns"][finite].tolist(), spreads["quoted_spread"][finite].tolist(), strict=True))
        last = dict(zip(rows["ts_ns"][at].tolist(), rows["spread"][at].tolist(), strict=True))
        assert all(np.isnan(value) or known.get(t) == value for t, value in last.items())
    orders = single(hawkes)
    places = order_places(events, who)
    assert places.size == orders["ts_ns"].size
    for name in ("hawkes_buy_per_s", "hawkes_sell_per_s", "hawkes_ratio", "hawkes_self_excitation"):
        same(rows[name][places], orders[name])
    return rows


def compare_bars(events: Events, instrument: Instrument, who: int, **clock: Any) -> int:
    """What a bar closed at an event is what the operators on a bar clock of their own say; return how many numbers."""
    rows = Catalogue(instrument, who, **clock).advance(events)
    steady = TouchFeed(instrument, who).time(events).clock_ns
    n = 0
    for name, columns in (
        ("rsi", {"rsi": "rsi_14"}),
        ("macd", {"macd": "macd", "macd_signal": "macd_signal"}),
        ("bollinger", {"bollinger_position": "bollinger_position"}),
        ("fracdiff", {"fracdiff_log_price": "fracdiff_log_price", "fracdiff_volume_lots": "fracdiff_volume_lots"}),
    ):
        make = fracdiff if name == "fracdiff" else registered()[name].make
        bars = make(instrument, who, **clock).advance(events)
        at = np.searchsorted(steady, bars["ts_ns"])  # the event that closed it
        last = np.append(at[1:] != at[:-1], True)  # the one that the event shows
        for theirs, ours in columns.items():
            mine, other = rows[ours][at[last]], bars[theirs][last]
            defined = np.isfinite(mine)  # not where bars began afresh with that very event
            same(mine[defined], other[defined])
            n += int(defined.sum())
            assert defined.sum() >= 0.8 * np.isfinite(other).sum()
    return n


@pytest.mark.parametrize("seed", range(2))
def test_bars_are_those_of_the_operators_on_a_clock_of_their_own(seed: int) -> None:
    assert compare_bars(depth_history(seed, 9_000, wild=0.001), PLAIN, 1) > 500
    tape = simulate("es", 6 + seed, duration_s=400.0)
    events = tape.events()[:400_000]
    assert compare_bars(events, tape.instruments.only(), int(events["instrument_id"][0]), bar_s=0.5) > 500


def order_places(events: Events, who: int) -> np.ndarray:
    """Return where aggressive orders begin: a print that does not go on with the one before."""
    places, last = [], (MISSING, 0)
    for i, e in enumerate(events[events["instrument_id"] == who]):
        if e["kind"] != 1 or e["price"] == MISSING or e["qty_lots"] <= 0 or e["side"] == 0 or e["detail"] in (2, 3):
            continue
        now = (int(e["ts_event_ns"]), int(e["side"]))
        if now != last or now[0] < 0:
            places.append(i)
        last = now
    return np.array(places, np.int64)


@pytest.mark.parametrize("seed", range(4))
def test_on_random_histories_the_columns_are_those_of_the_single_operators(seed: int) -> None:
    compare(depth_history(seed, 3_000), PLAIN, 1)


def test_on_a_simulated_session_too() -> None:
    tape = simulate("es", 5, duration_s=400.0)
    events = tape.events()[:400_000]
    rows = compare(events, tape.instruments.only(), int(events["instrument_id"][0]))
    assert np.isfinite(rows["hawkes_buy_per_s"]).any()


@pytest.mark.recording
@pytest.mark.slow
@pytest.mark.parametrize("name", [AMZN, ES, BINANCE])
def test_on_recordings_too_and_every_column_is_there(name: str, recording: Callable[[str], Path]) -> None:
    tape = open_tape(recording(name))
    events = tape.events()
    ids, counts = np.unique(events["instrument_id"], return_counts=True)
    who = int(ids[counts.argmax()])
    rows = compare(events, tape.instruments[who], who)
    assert compare_bars(events, tape.instruments[who], who) > 300
    whole = Catalogue(tape.instruments[who], who).advance(events)
    for column in COLUMNS[1:]:
        share = np.isfinite(whole[column.name]).mean()
        assert share > 0.05, column.name
    inside = np.isfinite(whole["mid"])
    assert inside.mean() > 0.5
    for c in ("imbalance", "weighted_imbalance", "book_pressure"):
        assert np.abs(whole[c][inside]).max() <= 1
    off = np.abs(whole["weighted_mid"] - whole["mid"])[inside]
    assert (off <= whole["spread"][inside] / 2 * (1 + 1e-9) + 1e-9).all()  # the literature's form stays in the touch
    assert np.nanmin(rows["spread"]) > 0


def test_the_flow_of_the_reference_vector() -> None:
    touches = np.array(vector_rows("ofi_cases.csv"))
    e = empty_events(2 * len(touches))
    e["instrument_id"], e["kind"], e["ts_event_ns"] = 1, Kind.QUOTE, START + np.arange(e.size)
    for s, side in enumerate((1, -1)):
        e["side"][s::2], e["price"][s::2], e["qty_lots"][s::2] = side, touches[:, 2 * s], touches[:, 2 * s + 1]
    e["flags"][1::2] = Flag.LAST
    flow = Catalogue(PLAIN, 1).advance(e)["ofi_1"]
    assert flow[3::2].tolist() == vector("ofi_best_level__hand")["cks"][1:]
    assert not flow[2::2].any()  # inside a message nothing has happened yet


@pytest.mark.recording
@pytest.mark.slow
def test_flows_explain_the_moves_of_amazon_as_an_independent_study_of_the_day_says(
    recording: Callable[[str], Path],
) -> None:
    """Adjusted R2 of the mid's change in 10 s: 0.312 by the best level, 0.589 by the sum of five."""
    tape = open_tape(recording(AMZN))
    events = tape.events()
    rows = Catalogue(tape.instruments.only(), int(events["instrument_id"][0])).advance(events)
    bucket = rows["ts_ns"] // 10_000_000_000
    edges = np.flatnonzero(np.append(bucket[1:] != bucket[:-1], True))  # the last row of each interval
    mid = rows["mid"][edges]
    for name, studied in (("ofi_1", 0.312), ("ofi_5", 0.589)):
        flow = np.diff(np.cumsum(np.nan_to_num(rows[name]))[edges])
        change = np.diff(mid)
        good = np.isfinite(change)
        r2 = np.corrcoef(flow[good], change[good])[0, 1] ** 2
        adjusted = 1 - (1 - r2) * (good.sum() - 1) / (good.sum() - 2)
        assert adjusted == pytest.approx(studied, abs=0.03), name
