from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tapebook.market.errors import ConfigurationError, UnsupportedSchema
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Table
from tapebook.report.analyze import analyze

MINUTE = 60_000_000_000
ES = Instrument(symbol="ESH4", venue="CME", tick_e9=250_000_000, calendar="CME", kind="future")


def bars(n: int = 500, *, sides: bool = True, symbols: int = 1, schema: str = "bars-60s") -> Table:
    rng = np.random.default_rng(1)
    start = int(np.datetime64("2024-03-04T14:00", "ns").astype(np.int64))
    ts = np.repeat(start + np.arange(n) * MINUTE, symbols)
    close = 5_000 + np.cumsum(rng.integers(-4, 5, ts.size)) * 0.25
    high, low = close + 0.5, close - 0.5
    volume = rng.integers(1, 100, ts.size)
    columns: dict[str, Any] = {
        "ts_event_ns": ts,
        "symbol": np.tile([f"ES{'HMUZ'[i]}4" for i in range(symbols)], n),
        "open": close,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
    }
    if sides:
        ask = rng.binomial(volume, 0.5)
        columns |= {"ask_volume": ask, "bid_volume": volume - ask}
    table = pa.table(columns)

    def read() -> Iterator[pa.RecordBatch]:
        yield from table.to_batches()

    origin = Origin(name="bars.csv", format="test", schema=schema)
    return Table(origin=origin, schema=table.schema, read=read, instruments=InstrumentTable({1: ES}))


def test_bars_make_a_smaller_report(tmp_path: Path) -> None:
    analysis = analyze(bars(), tmp_path)
    html = analysis.page.read_text(encoding="utf-8")
    assert html.count("<svg") == 3
    assert "Everything else" in html
    d = json.loads(analysis.numbers.read_text(encoding="utf-8"))
    assert (d["kind"], d["bars"]["count"], d["bars"]["seconds"]) == ("bars", 500, 60.0)
    table = pq.read_table(tmp_path / "bars.parquet")
    assert d["trades"]["volume"] == sum(table["volume"].to_pylist())
    delta = sum(a - b for a, b in zip(table["ask_volume"].to_pylist(), table["bid_volume"].to_pylist(), strict=True))
    assert d["trades"]["delta"] == delta == table["cum_delta"].to_pylist()[-1]
    assert d["price"]["close"] == table["close"].to_pylist()[-1]
    assert d["price"]["high"] == max(table["high"].to_pylist())


def test_delta_starts_anew_with_each_trade_date(tmp_path: Path) -> None:
    analyze(bars(2_000), tmp_path)
    table = pq.read_table(tmp_path / "bars.parquet")
    dates, delta = table["trade_date"].to_pylist(), table["cum_delta"].to_pylist()
    signed = np.array(table["ask_volume"].to_pylist()) - np.array(table["bid_volume"].to_pylist())
    starts = [i for i in range(1, len(dates)) if dates[i] != dates[i - 1]]
    assert starts
    for i in starts:
        assert delta[i] == signed[i]


def test_bars_without_sides_say_so(tmp_path: Path) -> None:
    analysis = analyze(bars(sides=False), tmp_path)
    assert analysis.document["missing"]["delta"] == "these bars do not tell bid and ask volume"
    assert "cum_delta" not in pq.read_table(tmp_path / "bars.parquet").column_names


def test_one_symbol_of_several_is_chosen_by_name(tmp_path: Path) -> None:
    analysis = analyze(bars(50, symbols=3), tmp_path, instrument="ESM4")
    assert analysis.document["instrument"]["symbol"] == "ESM4"
    assert {o["symbol"] for o in analysis.document["others"]} == {"ESH4", "ESU4"}
    with pytest.raises(ConfigurationError):
        analyze(bars(50, symbols=3), tmp_path, instrument="NQH4")


def test_rows_that_are_no_bars_are_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedSchema, match="tapebook info"):
        analyze(bars(schema="definition"), tmp_path)


def test_a_single_bar_makes_a_report(tmp_path: Path) -> None:
    assert analyze(bars(1), tmp_path).document["bars"]["count"] == 1


def test_bars_newest_first_are_put_in_order(tmp_path: Path) -> None:
    table = bars()
    whole = table.table()
    table.read = lambda: iter(whole.take(list(range(whole.num_rows))[::-1]).to_batches())
    analysis = analyze(table, tmp_path)
    stamps = pq.read_table(tmp_path / "bars.parquet")["ts_event_ns"].to_pylist()
    assert stamps == sorted(stamps)
    assert any(f["name"] == "rows_backwards" for f in analysis.document["quality"]["findings"])
