from __future__ import annotations

import numpy as np
import pytest

from tapebook.features.markouts import Markout, make
from tapebook.features.realised_spread import RealisedSpread
from tapebook.features.touch import FoldOperator
from tapebook.market.checks import check_chunks, check_restart
from tapebook.market.errors import ConfigurationError
from tapebook.market.instruments import Instrument
from tests.features.histories import PLAIN, UNIT, random_history
from tests.oracles import touches as oracle


@pytest.mark.uncompiled
@pytest.mark.parametrize("seed", range(4))
def test_markouts_are_half_of_what_the_maker_did_not_keep(seed: int) -> None:
    events, history = random_history(seed, 200, sessions=True, holes=0.1)
    rows = make(PLAIN, 1, horizons_s=(0.5, 2.0)).advance(events)
    told = {
        (int(t), int(h), int(q), int(s)): i
        for i, (t, h, q, s) in enumerate(
            zip(rows["ts_trade_ns"], rows["horizon_ns"], rows["qty_lots"], rows["side"], strict=True)
        )
    }
    checked = 0
    for i, m in enumerate(history):
        for horizon_ns in (UNIT // 2, 2 * UNIT):
            expected = oracle.realised(history, i, horizon_ns) if oracle.effective(m) is not None else None
            same = [o for o in history if (o.t_ns, o.qty, o.side) == (m.t_ns, m.qty, m.side)]
            if expected is None or len(same) > 1:
                continue
            row = told[m.t_ns, horizon_ns, m.qty, m.side]
            realised, impact = (float(x) / UNIT for x in expected)
            assert rows["markout"][row] == pytest.approx(-realised / 2, abs=1e-12)
            assert rows["adverse"][row] == pytest.approx(impact / 2, abs=1e-12)
            assert rows["markout_0"][row] + rows["adverse"][row] == pytest.approx(rows["markout"][row], abs=1e-12)
            checked += 1
    assert checked > 40


@pytest.mark.uncompiled
def test_rows_come_when_those_of_the_realised_spread_do_and_ticks_are_ticks() -> None:
    events, _ = random_history(5, 200)
    quarter = Instrument(symbol="X", venue="Y", tick_e9=UNIT // 4)
    rows = FoldOperator(quarter, 1, Markout(quarter, [1.0])).advance(events)
    spreads = FoldOperator(quarter, 1, RealisedSpread([1.0])).advance(events)
    assert rows["ts_ns"].tolist() == spreads["ts_ns"].tolist()
    assert np.array_equal(rows["markout_ticks"], 4 * rows["markout"], equal_nan=True)
    untold = Instrument(symbol="X", venue="Y")
    assert np.isnan(FoldOperator(untold, 1, Markout(untold, [1.0])).advance(events)["markout_ticks"]).all()


@pytest.mark.uncompiled
def test_the_laws_hold_with_horizons_that_pass() -> None:
    events, _ = random_history(6, 300, sessions=True)
    check_chunks(lambda: make(PLAIN, 1, horizons_s=(0.3, 5.0)), events, [10, 11, 100, 222])
    check_restart(lambda: make(PLAIN, 1, horizons_s=(0.3, 5.0)), events, 150)


def test_wrong_horizons_are_told() -> None:
    with pytest.raises(ConfigurationError, match="above zero"):
        make(PLAIN, 1, horizons_s=(0.0,))
