"""Faults: each does what its name says, is counted, and is the same again from the same seed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import httpx
import pytest

from tapebook.gateway.faults import KINDS, ON_RECORDS, Fault, Faults, Held, parse_fault
from tapebook.gateway.figures import Stamps
from tapebook.gateway.server import Gateway
from tapebook.gateway.source import Form, Source
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Kind
from tapebook.simulator import simulate
from tapebook.venues.projectx import rest
from tapebook.venues.projectx.settings import What
from tests.gateway.play import Ears, lost, play, settings, until

S = 1_000_000_000
TEN = [(i % 3, b"%d\x1e" % i) for i in range(10)]


def treated(text: str, records: list[tuple[int, bytes]] | None = None, seed: int = 1) -> tuple[list[bytes], Faults]:
    faults = Faults(seed)
    faults.streams_of = lambda fault: frozenset({("quotes", "trades", "depth").index(fault.channel)})
    faults.add(parse_fault(text), 0)
    return [piece.payload for piece in faults.treat(TEN if records is None else records, Held())], faults


WHOLE = [record for _, record in TEN]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lose", WHOLE[1:]),
        ("lose:n=3", WHOLE[3:]),
        ("lose:channel=trades,n=2", [r for i, r in enumerate(WHOLE) if i not in (1, 4)]),
        ("duplicate", [WHOLE[0], *WHOLE]),
        ("reorder", [WHOLE[1], WHOLE[0], *WHOLE[2:]]),
        ("malformed", [b"0"[:1] + b"\x1e", *WHOLE[1:]]),
        ("merge:n=4", [b"".join(WHOLE[:4]), *WHOLE[4:]]),
    ],
)
def test_what_happens_to_records(text: str, expected: list[bytes]) -> None:
    found, faults = treated(text)
    assert found == expected
    assert sum(faults.counts.values()) == max(parse_fault(text).n, 1) if "merge" not in text else True


def test_a_malformed_record_keeps_its_end_and_is_no_json() -> None:
    record = b'{"type":1,"target":"GatewayTrade","arguments":["c",[]]}\x1e'
    (found,), _ = treated("malformed", [(0, record)])
    assert found[-1:] == b"\x1e"
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(found[:-1])


def test_a_split_record_comes_in_two_messages() -> None:
    found, _ = treated("split", [(0, b"abcdef\x1e")])
    assert len(found) == 2
    assert b"".join(found) == b"abcdef\x1e"


def test_a_delay_tells_how_long() -> None:
    faults = Faults(1)
    faults.add(parse_fault("delay:ms=250"), 0)
    assert [piece.wait_ns for piece in faults.treat(TEN, Held())] == [S // 4, *[0] * 9]


def test_a_share_is_drawn_the_same_from_the_same_seed() -> None:
    many = TEN * 300
    first, faults = treated("lose:share=0.1", many)
    assert treated("lose:share=0.1", many)[0] == first
    assert treated("lose:share=0.1", many, seed=2)[0] != first
    assert 200 < faults.counts["lose"] < 400
    assert len(first) + faults.counts["lose"] == len(many)


def test_timed_faults_wait_for_the_beginning_of_the_play_and_come_again() -> None:
    faults = Faults(1)
    faults.add(parse_fault("drop:at_s=2"), 0)
    faults.add(parse_fault("close:every_s=10"), 0)
    assert faults.due(10**6 * S) == []
    faults.begin(100 * S)
    assert faults.due(101 * S) == []
    assert [fault.fault for fault in faults.due(102 * S)] == ["drop"]
    closes = [now for now in range(103, 203) if faults.due(now * S)]
    assert 6 < len(closes) < 16
    faults.clear()
    assert faults.due(10**6 * S) == []
    assert faults.listed() == []


@pytest.mark.parametrize(
    "text", ["rain", "drop:often=1", "drop:every_s", "lose:share=2", "silent:channel=news", "drop:hub=x", "drop:at_s=x"]
)
def test_what_is_no_fault_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_fault(text)


def test_every_kind_can_be_named() -> None:
    for kind in KINDS:
        assert parse_fault(kind.replace("_", "-")).fault == kind


SOURCE = Source(simulate("es", seed=4, duration_s=20), Form(stamps=Stamps.NS))
ADMIN = {"Authorization": "Bearer admin"}


async def switch(gateway: Gateway, **fault: Any) -> None:
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        answer = await client.post("/admin/faults", json=fault, headers=ADMIN)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", ON_RECORDS)
def test_a_share_of_records_is_treated_on_the_wire(kind: str) -> None:
    """What arrives is what was sent, but for what the fault did: counted at both ends."""

    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway)
        await ears.listen(lost)
        raw = b"".join(ears.frames)
        clean = Counter(m.record for chunk in SOURCE.chunks() for m in chunk)
        found = Counter(part + b"\x1e" for part in raw.split(b"\x1e") if b"Gateway" in part)
        n = gateway.faults.counts[kind]
        assert n > 5
        if kind == "lose":
            assert (clean - found).total() == n
            assert not found - clean
        elif kind == "duplicate":
            assert (found - clean).total() == n
            assert not clean - found
        elif kind == "malformed":
            assert ears.count(What.MALFORMED) == n
            assert (clean - found).total() == n
            assert ears.parser.quarantine.total == n
        else:
            assert found == clean
            assert ears.parser.quarantine.total == 0
        if kind == "split":
            assert sum(frame[-1:] != b"\x1e" for frame in ears.frames) == n

    play(SOURCE, settings(Fault(fault=kind, share=0.01, ms=1.0)), scene)


def test_reordered_records_are_all_there_and_not_in_order() -> None:
    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway)
        await ears.listen(lost)
        sent = [m.record for chunk in SOURCE.chunks() for m in chunk]
        heard = [part + b"\x1e" for part in b"".join(ears.frames).split(b"\x1e") if b"Gateway" in part]
        assert heard != sent
        assert Counter(heard) == Counter(sent)
        assert sum(a != b for a, b in zip(heard, sent, strict=True)) <= 3 * gateway.faults.counts["reorder"]

    play(SOURCE, settings(Fault(fault="reorder", share=0.01)), scene)


@pytest.mark.parametrize("kind", ["drop", "close", "restart"])
def test_a_cut_connection_is_told_and_the_client_comes_back(kind: str) -> None:
    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway)
        hearing = asyncio.create_task(ears.listen(lambda e: e.count(What.SUBSCRIBED) >= 2))
        await until(lambda: gateway.play.began_ns)
        await switch(gateway, fault=kind, for_s=2.0 if kind == "restart" else 0.3)
        if kind == "restart":
            async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
                assert (await client.get("/api/Status/ping")).status_code == 503
                assert (await client.post("/hubs/market/negotiate")).status_code == 404
        await hearing
        assert gateway.faults.counts[kind] == 1
        assert ears.count(What.LOST) >= (2 if kind == "restart" else 1)
        if kind == "close":
            told = [t for t in ears.told if t.what is What.LOST]
            assert "Connection closed with an error." in told[0].text

    play(SOURCE, settings(speed=1.0), scene)


@pytest.mark.slow
def test_a_half_open_socket_stays_open_and_says_nothing() -> None:
    """The client finds out by itself, by the silence."""

    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway)
        hearing = asyncio.create_task(ears.listen(lost))
        await until(lambda: gateway.play.began_ns)
        await switch(gateway, fault="half_open")
        await asyncio.sleep(0.2)
        n = len(ears.frames)
        await asyncio.sleep(0.5)
        assert len(ears.frames) == n
        assert [s.frozen for s in gateway.sockets] == [True]
        await hearing
        assert "nothing heard for 5 s" in ears.told[-1].text

    play(SOURCE, settings(speed=1.0), scene)


def test_a_silent_stream_says_nothing_while_the_others_speak() -> None:
    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway)
        hearing = asyncio.create_task(ears.listen(lost))
        await until(lambda: gateway.play.messages[2] > 10)
        await switch(gateway, fault="silent", channel="depth", for_s=600)
        await asyncio.sleep(0.2)
        levels = int((ears.events["kind"] == Kind.LEVEL).sum())
        trades = int((ears.events["kind"] == Kind.TRADE).sum())
        await until(lambda: int((ears.events["kind"] == Kind.TRADE).sum()) > trades)
        assert int((ears.events["kind"] == Kind.LEVEL).sum()) == levels
        assert gateway.faults.counts["silent"] == 1
        assert gateway.faults.counts["records of silent streams"] > 0
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)

    play(SOURCE, settings(speed=5.0), scene)


def test_a_reset_in_mid_stream_clears_and_tells_the_whole_book() -> None:
    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway)
        hearing = asyncio.create_task(ears.listen(lost))
        await until(lambda: gateway.play.messages[2] > 10)
        await switch(gateway, fault="reset")
        # The parser's own at the beginning, and this one.
        await until(lambda: int((ears.events["kind"] == Kind.CLEAR).sum()) == 2)
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)

    play(SOURCE, settings(speed=1.0), scene)


def test_throttling_is_429_and_ends() -> None:
    async def scene(gateway: Gateway) -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            login = {"userName": "me", "apiKey": "key"}
            assert (await client.post("/api/Auth/loginKey", json=login)).status_code == 200
            await switch(gateway, fault="throttle", for_s=0.3)
            assert (await client.post("/api/Auth/loginKey", json=login)).status_code == 429
            await asyncio.sleep(0.35)
            assert (await client.post("/api/Auth/loginKey", json=login)).status_code == 200

    play(SOURCE, settings(), scene)


def test_expired_tokens_are_401_and_a_client_logs_in_again() -> None:
    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway)
        await ears.session.rest.ask(rest.AVAILABLE, live=False)
        await switch(gateway, fault="expire")
        await ears.session.rest.ask(rest.AVAILABLE, live=False)
        assert gateway.desk.counts["HTTP 401"] == 1
        assert gateway.desk.counts["Auth/loginKey"] == 2
        await ears.session.aclose()

    play(SOURCE, settings(), scene)


def test_faults_are_switched_off_and_told_in_the_statistics() -> None:
    async def scene(gateway: Gateway) -> None:
        await switch(gateway, fault="duplicate", share=0.5)
        await switch(gateway, fault="drop", every_s=5)
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            told = (await client.get("/admin/statistics", headers=ADMIN)).json()
            assert [one["fault"] for one in told["faults_on"]] == ["duplicate", "drop"]
            assert (await client.delete("/admin/faults", headers=ADMIN)).json() == {"faults": []}
            told = (await client.get("/admin/statistics", headers=ADMIN)).json()
            assert told["faults_on"] == []

    play(SOURCE, settings(), scene)


@pytest.mark.slow
def test_all_faults_together_leave_the_gateway_standing() -> None:
    kinds = [Fault(fault=kind, share=0.002, ms=5.0) for kind in ON_RECORDS]
    timed = [Fault(fault=kind, every_s=2.0, for_s=0.3) for kind in KINDS if kind not in ON_RECORDS]

    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway)
        hearing = asyncio.create_task(ears.listen(lambda _: False))
        await asyncio.sleep(10)
        assert gateway.play.began_ns
        assert not any(task.done() for task in gateway._tasks)
        assert len([kind for kind in KINDS if gateway.faults.counts.get(kind)]) >= 12
        gateway.faults.clear()
        n = ears.count(What.SUBSCRIBED)
        await until(lambda: any(one.streams for one in gateway.sockets if not one.frozen))
        assert n > 1
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)

    play(SOURCE, settings(*kinds, *timed, speed=0.5, limited=False), scene)
