"""Tables of features: sampled by bars, over everything that is registered, and what a tape lacks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tapebook.bars.bars import Bars
from tapebook.bars.rules import BarRule
from tapebook.features.sampling import Part, Sampled
from tapebook.features.touch import View
from tapebook.market.checks import check_all, check_chunks, check_restart
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Events, Kind
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Registered, Rows, State
from tapebook.market.tape import Tape
from tapebook.report.sources import open_any
from tapebook.research.feature_sets import choose_features, describe, features
from tapebook.research.features import BarCloses, Request, table_of, write_features
from tests.tapes import TICK, random_anything, random_levels

ES = Instrument(symbol="ESH4", venue="CME", tick_e9=TICK, root="ES", calendar="CME", kind="future")
RULES = (
    "time:50ms",
    "tick:7",
    "volume:40",
    "dollar:300000",
    "range:3",
    "reversal:2",
    "renko:2",
    "delta:20",
    "volume-imbalance:10",
    "tick-runs:8",
)


class Traded:
    """The lots of each print, as a flow."""

    def fold(self, view: View) -> Rows:
        at = np.flatnonzero((view.events["kind"] == Kind.TRADE) & (view.events["qty_lots"] > 0))
        return {"ts_ns": view.ts_ns[at], "lots": view.events["qty_lots"][at].astype(np.float64)}

    def save(self) -> State:
        return {}

    def restore(self, state: State) -> None: ...


TRADED = Part("traded", (Column("ts_ns", "ns", "clock"), Column("lots", "lots", "traded", flow=True)), Traded)


@cache
def events() -> Events:
    made = random_levels(6, 3000)
    made["ts_recv_ns"] = np.sort(made["ts_recv_ns"] // 20_000_000) * 20_000_000  # stamped many at a time
    mine: Events = made[made["instrument_id"] == 1]
    return mine


@pytest.mark.parametrize("rule", RULES)
def test_a_flow_sampled_by_bars_is_the_bar_s(rule: str) -> None:
    bars, _ = Bars(ES, 1, BarRule.parse(rule)).fold(events())
    rows = Sampled(ES, 1, [TRADED], BarCloses(ES, 1, BarRule.parse(rule))).advance(events())
    assert bars.size > 5
    assert rows["bar"].tolist() == bars["bar"].tolist()
    assert rows["ts_ns"].tolist() == bars["ts_ns"].tolist()
    volume = np.nan_to_num(rows["lots"])
    if rule.startswith("renko"):  # several bricks of one print: the print's lots are the first one's
        assert volume.sum() == bars["volume"].sum()
    else:
        assert volume.tolist() == bars["volume"].tolist()


@pytest.mark.parametrize("rule", RULES)
def test_bar_closes_keep_the_laws(rule: str) -> None:
    check_all(lambda: Sampled(ES, 1, [TRADED], BarCloses(ES, 1, BarRule.parse(rule))), events()[:800])
    wild = random_anything(7, 200)
    check_chunks(lambda: Sampled(ES, 1, [TRADED], BarCloses(ES, 1, BarRule.parse(rule))), wild, [3, 50, 51])


@cache
def known() -> dict[str, Registered]:
    return features()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(known()))
@pytest.mark.parametrize("every", ["event", "trade", "20ms", "bar=tick:5"])
def test_every_registered_feature_can_be_sampled_and_keeps_the_laws(name: str, every: str) -> None:
    request = Request(tuple(choose_features(name, known())), every)

    def new() -> Sampled:
        table = table_of(request, ES, 1)
        assert isinstance(table, Sampled)
        return table

    check_all(new, events()[:500])
    check_chunks(new, random_anything(2, 200), [10, 100])
    check_restart(new, random_anything(2, 200), 77)


@pytest.mark.parametrize("name", list(known()))
def test_every_registered_feature_says_what_it_is(name: str) -> None:
    told = describe(known()[name])
    assert told["summary"]
    assert told["columns"][0]["name"] == "ts_ns"
    text = ",".join(f"{p['name']}={p['default']}" for p in told["parameters"])
    again = choose_features(f"{name}:{text}" if text else name, known())[0]  # what is shown can be typed
    again.entry.make(ES, 1, **again.parameters)


def test_a_set_is_read_with_its_parameters() -> None:
    chosen = choose_features("hawkes, windows:windows_ms=5/50 , ofi,windows:windows_ms=7,.5", known())
    assert [c.label for c in chosen] == ["hawkes", "windows", "ofi", "windows_2"]
    assert chosen[1].parameters == {"windows_ms": (5.0, 50.0)}
    assert chosen[3].parameters == {"windows_ms": (7.0, 0.5)}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("nothing_such", "no such feature"),
        ("ofi:depth=3", "no such parameter"),
        ("windows:windows_ms=slow", "bad value"),
        ("windows:windows_ms", "parameter is wrong"),
        ("a=3", "parameter is wrong"),
        ("", "no such feature"),
    ],
)
def test_a_set_that_means_nothing_is_refused(text: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        choose_features(text, known())


def test_several_features_need_common_moments() -> None:
    with pytest.raises(ConfigurationError, match="no common rows"):
        table_of(Request(tuple(choose_features("ofi,hawkes", known()))), ES, 1)


def _tape(which: Events) -> Tape:
    from tapebook.market.instruments import InstrumentTable
    from tapebook.market.tape import Origin

    return Tape(origin=Origin(name="x", format="x"), read=lambda _: iter([which]), instruments=InstrumentTable({1: ES}))


def test_what_a_tape_lacks_is_named_and_its_columns_are_null(tmp_path: Path) -> None:
    chosen = tuple(choose_features("ofi,windows:windows_ms=20,hawkes,cumulative_delta", known()))
    trades = events()[events()["kind"] == Kind.TRADE]
    told = write_features(_tape(trades), tmp_path / "a.parquet", Request(chosen, "trade"), ES, 1)
    assert told.lacks == {"ofi": "quotes, levels or orders", "windows": "quotes, levels or orders"}
    rows = pl.read_parquet(tmp_path / "a.parquet")
    for name in ("ofi_lots", "spread_mean_20ms", "quotes_per_s_20ms"):
        assert rows[name].null_count() == rows.height == trades.size
        assert told.warm_up[name] is None
    assert rows["cum_delta_lots"].null_count() < 5
    quiet = trades.copy()
    quiet["side"] = 0
    told = write_features(_tape(quiet), tmp_path / "b.parquet", Request(chosen[2:], "trade"), ES, 1)
    assert told.lacks["hawkes"] == "prints that name their aggressor"
    quotes = events()[events()["kind"] != Kind.TRADE]
    told = write_features(_tape(quotes), tmp_path / "c.parquet", Request(chosen, "20ms"), ES, 1)
    assert {"windows", "hawkes"} <= set(told.lacks)
    assert told.lacks["hawkes"] == "trades"
    assert "ofi" not in told.lacks


def test_rows_stream_into_row_groups_and_the_block_size_changes_none(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    tape = open_any("sim:es?duration_s=120&seed=2")
    assert isinstance(tape, Tape)
    chosen = tuple(choose_features("ofi,microprice", known()))
    instrument_id = next(iter(tape.instruments))
    request = Request(chosen, "event")
    told = write_features(tape, tmp_path / "a.parquet", request, tape.instruments.only(), instrument_id)
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == -(-told.rows // (1 << 16)) or told.rows < 1 << 17
    table = table_of(request, tape.instruments.only(), instrument_id)
    small = [table.advance(block) for block in tape.blocks(777)]
    for name in small[0]:
        whole = pl.read_parquet(tmp_path / "a.parquet")[name]
        joined = pl.Series(np.concatenate([rows[name] for rows in small])).fill_nan(None)
        assert whole.to_list() == joined.to_list()
