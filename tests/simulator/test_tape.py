from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import COUNT_MISSING, MISSING, Events, Flag, Kind, Phase, SideSource
from tapebook.market.sessions import calendar
from tapebook.simulator import BTC, ES, PRESETS, Preset, SimulatedTape, simulate
from tests.simulator.small import SMALL_BTC, SMALL_ES, SMALL_NQ

EPISODES = ("iceberg@2:duration_s=5", "sweep@1", "quote_stuffing@3:duration_s=0.2", "informed_flow@5:lead_s=2")


def read(tape: SimulatedTape, events_max: int) -> tuple[Events, list[int]]:
    blocks = list(tape.read(events_max))
    return np.concatenate(blocks), [b.size for b in blocks]


@pytest.mark.uncompiled
def test_the_same_seed_gives_the_same_tape_and_another_seed_another() -> None:
    first = simulate(SMALL_ES, 1, 0.5).events()
    assert first.tobytes() == simulate(SMALL_ES, 1, 0.5).events().tobytes()
    assert first.tobytes() != simulate(SMALL_ES, 2, 0.5).events().tobytes()


@pytest.mark.parametrize("events_max", [1, 7, 1000, 65_536, 1 << 20])
def test_blocks_of_any_size_hold_the_same_events(events_max: int) -> None:
    tape = simulate(ES, 3, 12, EPISODES)
    whole = tape.events()
    cut, sizes = read(tape, events_max)
    assert cut.tobytes() == whole.tobytes()
    assert min(sizes) > 0
    assert max(sizes) <= events_max
    assert tape.events().tobytes() == whole.tobytes(), "the second reading differs"


def test_two_readings_at_once_do_not_disturb_each_other() -> None:
    tape = simulate(ES, 4, 600)
    whole = tape.events()
    assert whole.size > 2 * 65_536, "more than one page is needed to tell"
    slow, fast = tape.read(5000), tape.read(65_536)
    parts = [next(slow)]
    other = np.concatenate(list(fast))
    parts += list(slow)
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert other.tobytes() == whole.tobytes()


def test_handed_out_blocks_are_not_written_to_again() -> None:
    tape = simulate(ES, 4, 600)
    blocks = list(tape.read(65_536))
    copies = [b.tobytes() for b in blocks]
    list(tape.read(65_536))
    assert [b.tobytes() for b in blocks] == copies


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_episodes_change_nothing_before_the_first_begins(preset: Preset) -> None:
    plain = simulate(preset, 5, 40).events()
    planted = simulate(preset, 5, 40, ["sweep@20"]).events()
    start_ns = int(plain["ts_event_ns"][0]) + 20_000_000_000
    before = plain[plain["ts_event_ns"] < start_ns]
    assert before.size > 1000
    assert planted[: before.size].tobytes() == before.tobytes()
    assert planted.tobytes() != plain.tobytes()


@pytest.mark.uncompiled
@pytest.mark.parametrize("preset", [SMALL_ES, SMALL_NQ, SMALL_BTC], ids=["es", "nq", "btc"])
def test_a_tape_opens_with_one_snapshot_message_and_its_phase(preset: Preset) -> None:
    e = simulate(preset, 1, 0.3).events()
    n = int(np.flatnonzero(e["flags"] & Flag.LAST)[0]) + 1
    opening = e[:n]
    assert opening["kind"][0] == Kind.CLEAR
    assert (opening["kind"][1:] == Kind.ADD).all()
    assert (opening["flags"] & Flag.SNAPSHOT).all()
    assert not (e["flags"][n:] & Flag.SNAPSHOT).any()
    assert len(set(opening["sequence"].tolist())) == 1
    assert e["kind"][n] == Kind.STATUS
    assert e["detail"][n] == Phase.OPEN
    assert e["flags"][n] & Flag.LAST


def test_a_future_s_session_opens_and_closes_with_regular_hours() -> None:
    late = msgspec.structs.replace(ES, hours=msgspec.structs.replace(ES.hours, start_s=23_380.0))
    tape = simulate(late, 1)
    e = tape.events()
    session = calendar("CME").session("2026-03-04")
    assert int(e["ts_event_ns"][0]) == session.rth_open_ns + 23_380 * 10**9
    assert e["kind"][-1] == Kind.STATUS
    assert e["detail"][-1] == Phase.CLOSE
    assert int(e["ts_event_ns"][-1]) == session.rth_close_ns
    assert np.count_nonzero(e["kind"] == Kind.STATUS) == 2
    short = simulate(ES, 1, 5).events()
    assert int(short["ts_event_ns"][0]) == session.rth_open_ns
    assert np.count_nonzero(short["kind"] == Kind.STATUS) == 1, "a tape that ends earlier does not say that it closed"


def test_a_market_that_never_closes_runs_past_midnight() -> None:
    late = msgspec.structs.replace(BTC, hours=msgspec.structs.replace(BTC.hours, start_s=86_395.0))
    e = simulate(late, 1, 10).events()
    days = e["ts_event_ns"] // (86_400 * 10**9)
    assert len(set(days.tolist())) == 2
    assert np.count_nonzero(e["kind"] == Kind.STATUS) == 1


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_every_event_is_complete_and_in_order(preset: Preset) -> None:
    tape = simulate(preset, 6, 30, EPISODES)
    e = tape.events()
    instrument = tape.instruments.only()
    last = (e["flags"] & Flag.LAST) != 0
    assert last[-1]
    same_message = e["sequence"][1:] == e["sequence"][:-1]
    assert (last[:-1] == ~same_message).all(), "LAST and the end of a sequence number must coincide"
    assert (np.diff(e["sequence"])[~same_message] == 1).all()
    assert (np.diff(e["ts_event_ns"]) >= 0).all()
    assert (np.diff(e["ts_event_ns"])[same_message] == 0).all()
    assert (np.diff(e["ts_recv_ns"])[~same_message] >= preset.latency.line_ns).all()
    assert (e["ts_recv_ns"] - e["ts_event_ns"] >= preset.latency.least_us * 1000).all()
    orders = np.isin(e["kind"], [Kind.ADD, Kind.CANCEL, Kind.MODIFY, Kind.EXECUTE, Kind.TRADE])
    assert (e["qty_lots"][orders] > 0).all()
    assert (e["order_id"][orders] > 0).all()
    assert (e["price"][orders] % instrument.tick_e9 == 0).all()
    assert (e["price"][~orders] == MISSING).all()
    assert (np.abs(e["side"][orders]) == 1).all()
    assert (e["count"] == COUNT_MISSING).all()
    trades = e["kind"] == Kind.TRADE
    assert (e["side_source"] == np.where(trades, SideSource.VENUE, SideSource.NONE)).all()
    assert {int(k) for k in np.unique(e["instrument_id"])} == set(tape.instruments)


def test_progress_runs_to_the_end() -> None:
    tape = simulate(ES, 1, 60)
    seen = [tape.progress.done_bytes for _ in tape.blocks(10_000)]
    assert seen == sorted(seen)
    assert tape.progress.total_bytes > 0
    assert abs(seen[-1] / tape.progress.total_bytes - 1) < 0.01


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), duration_s=st.floats(0.01, 3))
def test_any_seed_and_length_make_a_tape(seed: int, duration_s: float) -> None:
    e = simulate(ES, seed, duration_s).events()
    assert int(e["ts_event_ns"][-1] - e["ts_event_ns"][0]) < duration_s * 1e9 + 1


@pytest.mark.parametrize(
    ("seed", "duration_s", "episodes", "word"),
    [
        (-1, 10, [], "seed"),
        (1, 0, [], "duration_s"),
        (1, -5, [], "duration_s"),
        (1, 30_000, [], "regular hours"),
        (1, 60, ["sweep@61"], "at_s"),
        (1, 60, ["sweep@-1"], "at_s"),
        (1, 60, ["iceberg@10"], "leaves it its 90 s"),
        (1, 60, ["iceberg@10:duration_s=20:lots=5:peak_lots=4"], "peak_lots"),
        (1, 60, ["sweep@1:side=both"], "side"),
        (1, 60, ["wash_trades@1:side=buy:duration_s=5"], "side"),
        (1, 60, ["liquidity_evaporation@1:depth_share=1.5"], "depth_share"),
        (1, 60, ["quote_stuffing@1:life_s=0"], "life_s"),
        (1, 60, ["layering@1:layers=65"], "layers"),
    ],
)
def test_what_makes_no_session_is_refused_with_the_field(
    seed: int, duration_s: float, episodes: Sequence[str], word: str
) -> None:
    with pytest.raises(ConfigurationError, match=word):
        simulate(ES, seed, duration_s, episodes)


def test_a_day_without_a_session_is_refused() -> None:
    sunday = msgspec.structs.replace(ES, hours=msgspec.structs.replace(ES.hours, date="2026-03-08"))
    with pytest.raises(ConfigurationError, match="no session"):
        simulate(sunday, 1, 10)


@pytest.mark.slow
def test_an_hour_of_es_has_half_a_million_events_and_a_full_day_ends_by_the_calendar() -> None:
    hour = simulate(ES, 1, 3600)
    assert sum(b.size for b in hour.blocks()) >= 500_000
    last = 0
    for block in simulate(ES, 1).blocks():
        last = int(block["ts_event_ns"][-1])
    assert last == calendar("CME").session("2026-03-04").rth_close_ns
