"""Statistics are shown in three ways, and served."""

from __future__ import annotations

import io
import json
import urllib.request
from pathlib import Path

import pytest

from tapebook.capture.clock_offset import ClockOffset
from tapebook.capture.metrics import Metrics
from tapebook.capture.status import CaptureStatistics, StreamStatistics, line_of, table_of
from tapebook.market.errors import ConfigurationError
from tests.capture.live import capturing, quote, run

NOW = CaptureStatistics(
    name="mnq",
    state="running",
    uptime_s=12.0,
    frames=1200,
    frame_bytes=240_000,
    frames_per_s=100.0,
    journal_mb=0.25,
    synced_frames=1190,
    lag_frames=20,
    lag_bytes=4_000,
    lag_s=0.2,
    database="waiting",
    database_error="the server cannot be reached",
    follower_restarts=1,
    batch_rows=5000,
    rows={"quotes": 800, "trades": 300, "market_depth": 50, "gaps": 1, "quality": 1},
    rows_per_s={"quotes": 80.0},
    events=2000,
    latency_p50_us=20.0,
    latency_p99_us=90.0,
    receiver_mb=60.0,
    follower_mb=70.0,
    disk_free_mb=10_000.0,
    streams=[
        StreamStatistics(
            name="projectx/market",
            state="live",
            frames=1200,
            frame_bytes=240_000,
            frames_per_s=100.0,
            connections=1,
            silences=0,
            refused=0,
            last_age_s=0.1,
            clock_offset_s=0.012,
            clock_error_s=0.05,
        )
    ],
    last={"CON.F.US.MNQ.U26": {"trade": 29547.25, "bid": 29547.0, "ask": None}},
    findings={"a price off the grid": 1},
    warnings=["1,000 MB of disk are left"],
)


def test_a_line_tells_what_matters() -> None:
    line = line_of(NOW)
    for words in ("1,200 frames", "20 frames behind", "the server cannot be reached", "projectx/market live", "disk"):
        assert words in line
    assert "\n" not in line


def test_the_live_view_shows_it_all() -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=140)
    console.print(table_of(NOW))
    shown = console.file.getvalue()  # type: ignore[attr-defined] # it is a StringIO
    for words in ("29,547.25", "projectx/market", "+12 ± 50 ms", "waiting", "p99 90 µs", "price off the grid"):
        assert words in shown


def test_statistics_are_one_line_of_json() -> None:
    line = NOW.as_json()
    assert "\n" not in line
    assert json.loads(line)["streams"][0]["name"] == "projectx/market"


def test_metrics_are_served_on_the_loopback() -> None:
    pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")
    metrics = Metrics(0, lambda: NOW)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            text = answer.read().decode()
        with pytest.raises(ConfigurationError, match="not free"):
            Metrics(metrics.port, lambda: None)
    finally:
        metrics.close()
    assert "tapebook_lag_frames 20.0" in text
    assert 'tapebook_rows_total{table="trades"} 300.0' in text
    assert 'tapebook_frames_total{line="projectx/market"} 1200.0' in text


def test_a_capture_serves_its_metrics(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")
    import asyncio

    def get(port: int) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text: str = answer.read().decode()
            return text

    async def work() -> None:
        async with capturing(tmp_path, metrics_port=0) as c:
            (await c.socket()).send(quote(1000, 1001))
            await c.committed(1)
            c.capture.statistics()
            text = await asyncio.to_thread(get, c.capture.metrics_port)
            assert 'tapebook_rows_total{table="quotes"} 1.0' in text
            await c.end()

    run(work())


def test_answers_at_many_parts_of_a_second_narrow_an_offset_down() -> None:
    offset, s = ClockOffset(), 10**9
    theirs = 12_345_678  # their clock is ahead by 12.3 ms
    for i in range(50):
        asked = 1_000 * s + i * 1_130_000_000
        answered = asked + 4_000_000
        date = (asked + 2_000_000 + theirs) // s * s
        offset.add(asked, answered, date)
    low, high = offset.bounds_ns
    assert low <= theirs <= high
    assert high - low < 50_000_000
    offset.add(2_000 * s, 2_000 * s + 10, 2_100 * s)  # somebody set a clock
    low, high = offset.bounds_ns
    assert low <= 100 * s <= high
    assert offset.samples == 1
