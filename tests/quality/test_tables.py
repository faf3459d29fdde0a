from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tapebook.market.tape import Origin, Table
from tapebook.quality.findings import Finding
from tapebook.quality.tables import table_findings

MINUTE = 60 * 10**9


def source(columns: dict[str, Any], schema: str = "bars-1m") -> Table:
    table = pa.table(columns)
    return Table(
        origin=Origin(name="t", format="test", schema=schema),
        schema=table.schema,
        read=lambda: iter(table.to_batches()),
    )


def bars(n: int = 100) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    close = 100 + np.cumsum(rng.normal(size=n))
    return {
        "ts_event_ns": 1_700_000_000_000_000_000 + np.arange(n) * MINUTE,
        "open": close,
        "high": close + 1,
        "low": close - 1,
        "close": close,
        "volume": rng.integers(1, 99, n),
    }


def names(found: list[Finding]) -> dict[str, int]:
    return {f.name: f.count for f in found}


def test_tidy_bars_have_no_findings() -> None:
    assert table_findings(source(bars())) == []


def test_newest_first_is_told_as_such() -> None:
    (found,) = table_findings(source({k: v[::-1] for k, v in bars().items()}))
    assert (found.name, found.count, found.details["newest_first"]) == ("rows_backwards", 99, True)


def test_a_repeated_stamp_and_an_impossible_bar_are_found_where_they_stand() -> None:
    columns = bars()
    columns["ts_event_ns"][40] = columns["ts_event_ns"][39]
    columns["high"][7] = columns["low"][7] - 1
    found = table_findings(source(columns))
    assert {f.name: f.first_where for f in found} == {"rows_duplicate": "row 40", "ohlc_impossible": "row 7"}


def test_values_that_stand_still_while_stamps_go_on_are_frozen() -> None:
    columns = bars()
    for name in ("open", "high", "low", "close", "volume"):
        columns[name][30:60] = columns[name][30]
    (found,) = table_findings(source(columns))
    assert (found.name, found.count, found.details["longest_s"]) == ("frozen_values", 1, 29 * 60.0)


def test_one_frozen_series_among_many_is_found() -> None:
    rng = np.random.default_rng(2)
    stamps = np.repeat(1_700_000_000_000_000_000 + np.arange(60) * MINUTE, 4)
    columns = {"ts_event_ns": stamps, "percentage": np.tile([-2, -1, 1, 2], 60), "depth": rng.normal(size=240)}
    assert table_findings(source(columns, "depth")) == []
    columns["depth"][(columns["percentage"] == -1) & (np.arange(240) > 80)] = 17.654
    (found,) = table_findings(source(columns, "depth"))
    assert (found.name, found.symbol, found.severity) == ("frozen_values", "-1", "error")
