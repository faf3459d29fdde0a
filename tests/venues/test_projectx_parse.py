"""ProjectX's parser beyond the golden pairs: both of its paths agree, its books stand, and it says what is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tapebook.book.ladder import Ladder
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import EVENT, MISSING, Events, Flag, Kind, Side
from tapebook.market.instruments import InstrumentTable
from tapebook.market.quarantine import Quarantine
from tapebook.venues.pack import pack_one, what_word, who_word
from tapebook.venues.projectx import Parser, wire
from tapebook.venues.projectx.contracts import Contract, ContractMap, instrument_of
from tapebook.venues.projectx.subscribe import Channel, anew, channel_of, market_calls, user_calls
from tapebook.venues.projectx.user import UserEvent, read_user_event
from tapebook.venues.signalr import Malformed
from tests.contracts.test_venues import mutated
from tests.venues.golden_projectx import BOOK, MES, MNQ, PAIRS, QUOTE_BEFORE, depth, event

FRAMES = [frame for pair in PAIRS for frame in (*pair.before, pair.frame)]


def parser_of(**more: Any) -> Parser:
    return Parser([MNQ, MES], InstrumentTable(), **more)


def told(parser: Parser, frames: list[bytes]) -> tuple[Events, list[tuple[str, bytes]], dict[str, int]]:
    events = np.concatenate([parser.advance(frame, i) for i, frame in enumerate(frames)])
    return events, [(r.reason, r.raw) for r in parser.quarantine.records], parser.notes


def test_the_fast_and_the_slow_path_say_the_same_of_damaged_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    frames = FRAMES + [mutated(FRAMES[int(rng.integers(0, len(FRAMES)))], rng, FRAMES) for _ in range(6000)]
    fast = told(parser_of(), frames)

    def never(_: bytes) -> None:
        raise msgspec.ValidationError

    monkeypatch.setattr(wire, "market_event", never)
    slow = told(parser_of(), frames)
    assert fast[0].tobytes() == slow[0].tobytes()
    assert fast[1:] == slow[1:]
    assert fast[0].size > 1000


def test_whitespace_and_another_order_of_fields_change_nothing() -> None:
    frames = [
        json.dumps(json.loads(frame[:-1]), indent=1, sort_keys=True).encode() + b"\x1e"
        for pair in PAIRS
        for frame in (*pair.before, pair.frame)
        if frame.count(b"\x1e") == 1 and not pair.quarantined
    ]
    plain = [f for p in PAIRS for f in (*p.before, p.frame) if f.count(b"\x1e") == 1 and not p.quarantined]
    assert told(parser_of(), frames)[0].tobytes() == told(parser_of(), plain)[0].tobytes()


@pytest.mark.parametrize("levels_max", [1000, 4])
def test_the_prices_that_stand_here_are_those_of_a_book_that_folds_the_events(levels_max: int) -> None:
    rng = np.random.default_rng(5)
    parser = parser_of(levels_max=levels_max)
    book = Ladder(tick_e9=250_000_000, instrument_id=1)
    for _ in range(600):
        entries = []
        for _ in range(int(rng.integers(1, 6))):
            kind = int(rng.choice([1, 1, 1, 2, 2, 2, 3, 4, 9, 10, 5, 6], p=[0.083] * 11 + [0.087]))
            if kind == 6 and rng.random() < 0.8:
                continue
            side = 1 if kind in (2, 4, 9) else -1
            entries.append((kind, 100 - side * int(rng.integers(-2, 12)) * 0.25, int(rng.integers(0, 4))))
        if entries:
            book.advance(parser.advance(depth(*entries), 1))
        levels = parser._all[0].levels
        for side, keys in ((Side.BID, levels.bids), (Side.ASK, levels.asks)):
            stands = [level.price for level in book.levels(side)]
            assert sorted(stands, reverse=side > 0) == [side * key for key in reversed(keys)]
            assert len(keys) <= levels_max


def test_levels_let_go_carry_view_and_do_not_count_as_the_venues_word() -> None:
    parser = parser_of(levels_max=2)
    events = parser.advance(depth(*((2, 100 - i, 1) for i in range(4)), (1, 101, 1)), 1)
    gone = events[(events["flags"] & Flag.VIEW) > 0]
    assert gone["price"].tolist() == [97 * 10**9, 98 * 10**9]
    assert (gone["qty_lots"] == 0).all()
    with pytest.raises(ConfigurationError):
        parser_of(levels_max=0)


def test_one_contract_can_be_reset_while_the_others_stand() -> None:
    parser = parser_of()
    parser.advance(BOOK + event("GatewayQuote", '{"bestBid":7730,"bestAsk":7730.25}', MES) + BOOK[:10], 1)
    cleared = parser.reset(2, MNQ)
    assert cleared["instrument_id"].tolist() == [1]
    assert (cleared["kind"].tolist(), cleared["flags"].tolist()) == ([Kind.CLEAR], [Flag.GAP | Flag.LAST])
    after = parser.advance(BOOK[10:] + event("GatewayQuote", '{"bestBid":7729.75}', MES), 3)
    assert not parser.quarantine.total  # the connection is the same, and so is the record that it is in the middle of
    assert after["kind"][0] == Kind.CLEAR
    assert after["price"][-1] == 7730_250_000_000
    assert parser.reset(4, "CON.F.US.EP.U26").size == 0


def test_a_contract_may_come_later() -> None:
    parser = Parser([MNQ], InstrumentTable())
    frame = event("GatewayQuote", '{"bestBid":7730,"bestAsk":7730.25}', MES)
    assert parser.advance(frame, 1).size == 0
    assert parser.add(MES) == 2
    assert parser.add(MES) == 2
    assert parser.advance(frame, 2)["instrument_id"].tolist() == [2, 2]
    with pytest.raises(ConfigurationError):
        parser.restore(Parser([MNQ], InstrumentTable()).save())


def test_a_bad_record_of_nobody_knows_whose_marks_every_contract() -> None:
    parser = parser_of()
    quote = event("GatewayQuote", '{"bestBid":7730,"bestAsk":7730.25}', MES)
    parser.advance(QUOTE_BEFORE + quote, 1)
    events = parser.advance(b"nonsense\x1e" + QUOTE_BEFORE + quote + quote, 2)
    assert ((events["flags"] & Flag.GAP) > 0).tolist() == [True, False, True, False, False, False]
    events = parser.advance(event("GatewayNews", "{}") + QUOTE_BEFORE, 3)  # no market data: nothing is missing
    assert not (events["flags"] & Flag.GAP).any()


def test_a_record_over_the_limit_is_kept_in_part_and_told() -> None:
    parser = parser_of()
    parser._splitter.bytes_max = 200  # not 4 MiB of test
    parser.advance(QUOTE_BEFORE, 1)
    events = parser.advance(event("GatewayQuote", '{"x":"' + "y" * 300 + '"}') + QUOTE_BEFORE, 2)
    assert parser.quarantine.counts == {"a record over the size limit": 1}
    assert len(parser.quarantine.records[0].raw) == 200
    assert events["flags"][0] & Flag.GAP


def test_prints_on_the_depth_channel_are_counted_against_the_trades_channel() -> None:
    parser = parser_of()
    entry = '[{"type":5,"price":100,"volume":70,"currentVolume":3}]'
    parser.advance(event("GatewayDepth", entry) + event("GatewayTrade", '[{"price":100,"type":0,"volume":3}]'), 1)
    assert parser.lots_of(MNQ) == (3, 3)
    assert parser.lots_of("MNQU6") == (3, 3)
    with pytest.raises(ConfigurationError):
        parser.lots_of("CON.F.US.EP.U26")


def test_a_bad_message_changes_nothing_but_the_mark() -> None:
    good, bad = parser_of(), parser_of(quarantine=Quarantine())
    for parser in (good, bad):
        parser.advance(BOOK + QUOTE_BEFORE, 1)
    bad.advance(depth((2, 99.5, 1), (2, 99.6, 1)) + event("GatewayQuote", '{"bestBid":99,"bestAsk":99.1}'), 2)
    before, after = good.save(), bad.save()
    before["contracts"][0, 3] = 1  # broken
    assert all((before[name] == after[name]).all() for name in before)


def test_words_are_the_fields_of_an_event() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        made = np.zeros(1, EVENT)
        for name, most in (("instrument_id", 2**32), ("count", 2**32), ("flags", 2**16), ("channel", 2**15)):
            made[name] = rng.integers(0, most)
        made["kind"], made["side"], made["side_source"] = rng.integers(1, 10), rng.integers(-1, 2), rng.integers(0, 6)
        e = {name: int(made[name][0]) for name in EVENT.names or ()}
        what = what_word(e["kind"], e["side"], channel=e["channel"], side_source=e["side_source"], flags=e["flags"])
        assert pack_one(0, 0, 0, 0, 0, 0, who_word(e["instrument_id"], e["count"]), what) == made.tobytes()


# ---- contracts, subscriptions, accounts -----------------------------------------------------------------------------


def test_ticks_and_tick_values_are_those_that_the_gateway_lists(reference: Callable[[str], Path]) -> None:
    text = reference("projectx-gateway.md").read_text(encoding="utf-8")
    table = text[text.index("## 10.") : text.index("Seen elsewhere")]
    rows = re.findall(r"\| (\w+) \| (\w+) \| [^|]+ \| ([\d.]+) \| ([\d.]+) (?=\|)", table)
    assert len(rows) == 51
    unknown = []
    for root, short, tick, value in rows:
        contract = Contract(
            id=f"CON.F.US.{root}.Z26", name=f"{short}Z6", tickSize=Decimal(tick), tickValue=Decimal(value)
        )
        said, known = instrument_of(contract), instrument_of(contract.id)
        assert (said.tick, said.tick * said.multiplier) == (Decimal(tick), Decimal(value)), root
        assert ContractMap().add(contract.id, contract.name) == 0
        if known.tick_e9 == 0:
            unknown.append(short)
            continue
        assert (known.tick, known.tick * known.multiplier) == (Decimal(tick), Decimal(value)), root
        assert ContractMap([contract.id]).find(contract.name) == 0, root
    assert set(unknown) <= {"NKD", "MBT", "MET", "ZC", "ZW", "ZS", "ZL", "ZM", "LE", "HE"}


def test_a_contract_that_the_catalogue_does_not_know_is_what_the_venue_says() -> None:
    unknown = Contract(id="CON.F.US.XYZ.U26", tickSize=Decimal("0.1"), tickValue=Decimal(5))
    assert (instrument_of(unknown).tick, instrument_of(unknown).multiplier) == (Decimal("0.1"), Decimal(50))
    for tick in ("-0.25", "0.0000000001"):
        with pytest.raises(ConfigurationError):
            instrument_of(Contract(id=MNQ, tickSize=Decimal(tick)))


def test_a_short_name_of_two_contracts_is_nobodys() -> None:
    contracts = ContractMap([MNQ, "CON.F.US.MNQ.U36"])
    assert (contracts.find("MNQU6"), contracts.find("MNQU26"), contracts.find("MNQU36")) == (-1, 0, 1)
    assert contracts.find(None) == -1
    contracts.add("CON.F.US.GMET.Z26", "METZ6")  # the venue's own name, which its root does not tell
    assert contracts.find("METZ6") == 2


def test_calls_are_spelt_as_the_hub_spells_them() -> None:
    names = [call.target for call in market_calls([MNQ], [Channel.DEPTH, Channel.QUOTES])]
    assert names == ["SubscribeContractQuotes", "SubscribeContractMarketDepth"]
    assert [channel_of(c.target) for c in anew(MNQ, Channel.TRADES)] == [None, Channel.TRADES]
    assert [c.arguments for c in user_calls([7, 8])] == [(), (7,), (7,), (7,), (8,), (8,), (8,)]


ACCOUNT = '{"id":1,"name":"PRAC-1","balance":149848.64,"canTrade":true,"isVisible":true,"simulated":true,"new":[1]}'
ORDER = '{"id":7,"accountId":1,"contractId":"CON.F.US.MNQ.U26","status":8,"type":4,"side":1,"size":1}'
USER: dict[str, tuple[str, type]] = {
    "GatewayUserAccount": (ACCOUNT, wire.Account),
    "GatewayUserOrder": (ORDER, wire.Order),
}


@pytest.mark.parametrize("name", USER)
def test_events_of_an_account_are_read_wrapped_and_bare(name: str) -> None:
    text, kind = USER[name]
    for data, action in ((text, -1), (f'{{"action":1,"data":{text}}}', 1)):
        read = read_user_event(f'{{"type":1,"target":"{name}","arguments":[{data}]}}'.encode())
        assert isinstance(read, UserEvent)
        assert isinstance(read.item, kind)
        assert read.action == action
        assert not isinstance(read.item, wire.Order) or read.item.working


def test_what_is_no_event_of_an_account_is_none_or_malformed() -> None:
    assert read_user_event(b'{"type":6}') is None
    assert read_user_event(QUOTE_BEFORE[:-1]) is None
    for raw in (b"x", b'{"type":1,"target":"GatewayUserOrder","arguments":[]}',
                b'{"type":1,"target":"GatewayUserOrder","arguments":[{"action":1,"data":{"id":"x"}}]}'):  # fmt: skip
        assert isinstance(read_user_event(raw), Malformed)


def test_golden_prices_miss_nothing() -> None:
    events, _, _ = told(parser_of(), FRAMES)
    assert set(np.unique(events["kind"])) == {Kind.TRADE, Kind.LEVEL, Kind.QUOTE, Kind.CLEAR}
    assert (events["sequence"] == MISSING).all()
