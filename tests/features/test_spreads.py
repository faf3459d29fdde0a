from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tapebook.features import effective_spread, quoted_spread
from tapebook.features.realised_spread import RealisedSpread
from tapebook.features.touch import FoldOperator
from tapebook.kernels.realised_spread import SESSION_ENDED
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, Events, Flag, Kind, SideSource, TradeCondition, empty_events
from tests.features.histories import PLAIN, UNIT, random_history, vector
from tests.oracles import touches as oracle

pytestmark = pytest.mark.uncompiled


def realised(horizons_s: list[float]) -> FoldOperator:
    return FoldOperator(PLAIN, 1, RealisedSpread(horizons_s))


def quote(ts: int, bid: float, ask: float) -> Events:
    e = empty_events(2)
    e["instrument_id"], e["kind"], e["side"], e["flags"] = 1, Kind.QUOTE, [1, -1], [0, Flag.LAST]
    e["price"], e["qty_lots"], e["ts_event_ns"] = [round(bid * UNIT), round(ask * UNIT)], 5, ts
    return e


def trade(ts: int, price: float, side: int, qty: int = 1) -> Events:
    e = empty_events(1)
    e["instrument_id"], e["kind"], e["side"], e["flags"] = 1, Kind.TRADE, side, Flag.LAST
    e["side_source"] = SideSource.VENUE if side else SideSource.NONE
    e["price"], e["qty_lots"], e["ts_event_ns"] = round(price * UNIT), qty, ts
    return e


def test_the_reference_vector() -> None:
    expected = vector("spread_decomposition__hand")
    tape = [quote(0, 99.98, 100.02), trade(1, 100.03, 1), quote(UNIT, 100.03, 100.07), trade(3 * UNIT, 100.07, 1)]
    rows = realised([2.0]).advance(np.concatenate(tape))
    assert rows["effective_spread"].tolist() == pytest.approx([expected["effective"]], abs=1e-12)
    assert rows["realised_spread"].tolist() == pytest.approx([expected["realised"]], abs=1e-12)
    assert rows["price_impact"].tolist() == pytest.approx([expected["impact"]], abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_effective_spread_equals_the_definition(seed: int) -> None:
    events, history = random_history(seed, 200)
    rows = effective_spread.make(PLAIN, 1).advance(events)
    trades = [m for m in history if m.price is not None]
    assert rows["ts_ns"].tolist() == [m.t_ns for m in trades]
    for got, moment in zip(rows["effective_spread"].tolist(), trades, strict=True):
        expected = oracle.effective(moment)
        assert (np.isnan(got) and expected is None) or Fraction(got) * UNIT == expected


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("horizon_s", [1e-9, 0.25, 1.0, 20.0])
def test_realised_spread_and_impact_equal_the_definition(seed: int, horizon_s: float) -> None:
    events, history = random_history(seed, 160, sessions=seed % 2 == 0)
    rows = realised([horizon_s]).advance(events)
    expected = {
        i: oracle.realised(history, i, round(horizon_s * 1e9))
        for i, m in enumerate(history)
        if oracle.effective(m) is not None
    }
    told = [v for v in expected.values() if v is not None]
    good = np.isfinite(rows["realised_spread"])
    got = sorted(zip(rows["realised_spread"][good].tolist(), rows["price_impact"][good].tolist(), strict=True))
    assert got == sorted((float(r / UNIT), float(p / UNIT)) for r, p in told)


@pytest.mark.parametrize("seed", range(6))
def test_effective_is_realised_plus_impact_to_the_last_unit(seed: int) -> None:
    events, _ = random_history(seed, 300)
    rows = realised([0.25, 1.0, 5.0]).advance(events)
    good = np.isfinite(rows["realised_spread"])
    assert good.sum() > 50
    e9 = {n: np.round(rows[n][good] * 1e9).astype(np.int64) for n in rows if n.endswith(("spread", "impact"))}
    assert (e9["effective_spread"] == e9["realised_spread"] + e9["price_impact"]).all()


def test_no_row_stands_before_its_horizon_has_passed() -> None:
    events, _ = random_history(1, 300)
    rows = realised([0.25, 1.0]).advance(events)
    good = rows["why"] < SESSION_ENDED
    assert good.any()
    assert (rows["ts_ns"] - rows["ts_trade_ns"] > rows["horizon_ns"])[good].all()


def test_every_print_with_an_effective_spread_has_a_row_or_is_waiting() -> None:
    events, history = random_history(2, 300, sessions=True)
    fold = RealisedSpread([0.25, 1.0, 300.0])
    rows = FoldOperator(PLAIN, 1, fold).advance(events)
    defined = sum(oracle.effective(m) is not None for m in history)
    assert rows["ts_ns"].size + fold.pending == 3 * defined


def test_many_prints_wait_in_any_chunks() -> None:
    quotes = quote(0, 100, 101)
    prints = np.concatenate([trade(1 + i, 101, 1) for i in range(700)])
    late = quote(10 * UNIT, 102, 103)
    operator = realised([1.0, 2.0])
    parts = [operator.advance(part) for part in (quotes, prints[:3], prints[3:], late)]
    assert [p["ts_ns"].size for p in parts] == [0, 0, 0, 1400]
    assert set(parts[-1]["realised_spread"].tolist()) == {2 * (101 - 100.5)}  # the mid that stood up to the due time


def test_a_session_that_ends_takes_its_waiting_prints_with_it() -> None:
    tape = [quote(0, 100, 101), trade(1, 101, 1), quote(86_400 * UNIT, 200, 201)]
    rows = realised([5.0]).advance(np.concatenate(tape))
    assert np.isnan(rows["realised_spread"]).all()
    assert rows["why"].tolist() == [SESSION_ENDED]


def test_a_print_meets_the_quote_before_its_own_message() -> None:
    # One message: the print, and the level that it took, which makes a new best ask.
    message = np.concatenate([trade(5, 101, 1), quote(5, 100, 103)])
    message["flags"] = [0, 0, Flag.LAST]
    rows = effective_spread.make(PLAIN, 1).advance(np.concatenate([quote(0, 100, 101), message]))
    assert rows["mid"].tolist() == [100.5]
    # The same where the venue tells the change of the book first.
    message = np.concatenate([quote(5, 100, 103), trade(5, 101, 1)])
    message["flags"] = [0, 0, Flag.LAST]
    rows = effective_spread.make(PLAIN, 1).advance(np.concatenate([quote(0, 100, 101), message]))
    assert rows["mid"].tolist() == [100.5]


@pytest.mark.parametrize(("condition", "why"), [(TradeCondition.CROSS, 3), (TradeCondition.OFF_BOOK, 3), (0, 0)])
def test_auction_and_block_prints_have_no_effective_spread(condition: int, why: int) -> None:
    print_ = trade(5, 101, 1)
    print_["detail"] = condition
    rows = effective_spread.make(PLAIN, 1).advance(np.concatenate([quote(0, 100, 101), print_]))
    assert rows["why"].tolist() == [why]
    assert np.isnan(rows["effective_spread"][0]) == bool(why)


def test_an_unknown_aggressor_gives_no_spread_and_no_zero() -> None:
    rows = effective_spread.make(PLAIN, 1).advance(np.concatenate([quote(0, 100, 101), trade(5, 101, 0)]))
    assert np.isnan(rows["effective_spread"]).all()
    assert rows["why"].tolist() == [1]


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_quoted_spread_is_weighted_by_time(seed: int) -> None:
    events, history = random_history(seed, 200)
    rows = quoted_spread.make(PLAIN, 1).advance(events)
    last = max(i for i, m in enumerate(history) if m.before[::2] != m.after[::2])
    expected = oracle.mean_spread(history[: last + 1])
    assert expected is not None
    assert rows["quoted_spread_mean"][-1] == pytest.approx(float(expected / UNIT), rel=1e-12)


def test_a_locked_or_one_sided_touch_has_no_spread() -> None:
    tape = [quote(0, 100, 101), quote(1, 101, 101), quote(2, 102, 101), quote(3, 100, 101)]
    tape[3]["price"][0] = MISSING
    rows = quoted_spread.make(PLAIN, 1).advance(np.concatenate(tape))
    assert rows["touch_state"].tolist() == [0, 3, 4, 1]
    assert np.isnan(rows["quoted_spread"][1:]).all()


def test_an_auction_has_no_spread_and_its_time_does_not_count() -> None:
    halt = empty_events(1)
    halt["instrument_id"], halt["kind"], halt["detail"], halt["flags"] = 1, Kind.STATUS, 5, Flag.LAST
    halt["ts_event_ns"] = 2 * UNIT
    resume = halt.copy()
    resume["detail"], resume["ts_event_ns"] = 2, 100 * UNIT
    tape = [quote(0, 100, 101), halt, resume, quote(101 * UNIT, 100, 103), quote(103 * UNIT, 100, 101)]
    rows = quoted_spread.make(PLAIN, 1).advance(np.concatenate(tape))
    assert rows["touch_state"].tolist() == [0, 5, 0, 0, 0]
    # Spread 1 for one second after the resumption, 3 for two: the two seconds up to the halt are not trusted to it.
    assert rows["quoted_spread_mean"][-1] == pytest.approx((1 * 1 + 3 * 2) / 3)


@pytest.mark.parametrize("horizons", [[], [0.0], [-1.0]])
def test_horizons_that_make_no_sense_are_refused(horizons: list[float]) -> None:
    with pytest.raises(ConfigurationError):
        RealisedSpread(horizons)


def test_a_saved_state_of_other_horizons_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        RealisedSpread([1.0]).restore(RealisedSpread([1.0, 2.0]).save())
