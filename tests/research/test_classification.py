from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tapebook.features.classification import RULES, make
from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.market.events import Events, Kind, SideSource, TradeCondition
from tapebook.market.instruments import InstrumentTable
from tapebook.market.tape import Origin, Tape
from tapebook.readers import open_tape
from tapebook.research.classification import accuracy, most_traded
from tests.features.histories import PLAIN, random_history


def tape_of(events: Events) -> Tape:
    return Tape(
        origin=Origin(name="test", format="test"),
        read=lambda _: iter([events]),
        instruments=InstrumentTable({1: PLAIN}),
    )


@pytest.mark.uncompiled
def test_right_wrong_and_untold_add_up_to_the_prints_whose_side_is_known() -> None:
    events, _ = random_history(1, 400)
    trade = events["kind"] == Kind.TRADE
    events["detail"][np.flatnonzero(trade)[::3]] = TradeCondition.HIDDEN
    events["detail"][np.flatnonzero(trade)[1::7]] = TradeCondition.OFF_BOOK
    rows = make(PLAIN, 1).advance(events)
    table = accuracy(tape_of(events))
    assert len(table) == 2 * len(RULES)
    for a in table:
        detail = TradeCondition.HIDDEN if a.prints == "hidden" else TradeCondition.REGULAR
        of = (rows["detail"] == detail) & (rows["side"] != 0)
        assert a.n == of.sum() == a.right + a.wrong + a.none
        assert a.right == (rows[f"{a.rule}_side"] == rows["side"])[of].sum()
        assert a.lots == rows["qty_lots"][of].sum()
        assert a.to_dict()["share_right"] == a.share


@pytest.mark.uncompiled
def test_sides_that_no_venue_told_are_nothing_to_compare_with() -> None:
    events, _ = random_history(2, 100)
    events["side_source"] = SideSource.LEE_READY
    with pytest.raises(DataQualityError, match="no aggressor"):
        accuracy(tape_of(events))


@pytest.mark.uncompiled
def test_an_instrument_that_did_not_trade_is_told() -> None:
    events, _ = random_history(2, 100)
    assert most_traded(tape_of(events)) == 1
    with pytest.raises(ConfigurationError, match="no such instrument"):
        accuracy(tape_of(events), instrument="Z")


@pytest.mark.recording
@pytest.mark.slow
def test_a_nasdaq_day_has_the_accuracies_known_for_it(recording: Callable[[str], Path]) -> None:
    table = accuracy(open_tape(recording("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip")))
    visible = {a.rule: a.share for a in table if a.prints == "visible"}
    assert visible["lee_ready"] == visible["quote"] == visible["emo"] == visible["clnv"] == 1.0
    assert visible["tick"] == pytest.approx(0.896, abs=0.002)


@pytest.mark.recording
@pytest.mark.slow
def test_on_a_futures_order_book_the_quote_before_knows_the_aggressor(recording: Callable[[str], Path]) -> None:
    table = accuracy(open_tape(recording("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst")))
    visible = {a.rule: a for a in table if a.prints == "visible"}
    assert visible["lee_ready"].n > 2_900
    assert visible["lee_ready"].share > 0.99
