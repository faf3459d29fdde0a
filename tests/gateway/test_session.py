"""Our own client at the gateway, over real sockets: it hears the source event for event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tapebook.book import Ladder
from tapebook.gateway.clock import MAX
from tapebook.gateway.figures import Stamps
from tapebook.gateway.hubs import ServerTimes
from tapebook.gateway.play import End, Start
from tapebook.gateway.server import Gateway
from tapebook.gateway.settings import GatewaySettings
from tapebook.gateway.source import Form, Source
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, Events, Kind, Side
from tapebook.readers import open_tape
from tapebook.simulator import simulate
from tests.gateway.play import ES, Ears, alike, lost, play, read_back, settings, tape_of, times_told, until
from tests.tapes import random_levels

SIM = "sim:es?duration_s=20&seed=4"
NS = Form(stamps=Stamps.NS)
HELLO = '{"protocol":"json","version":1}\x1e'


def heard_at_full_speed(source: Source, **more: Any) -> Ears:
    found: list[Ears] = []

    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway, **more)
        await ears.listen(lost)
        found.append(ears)
        statistics = gateway.statistics()
        assert sum(statistics["played"].values()) <= statistics["records_sent"]
        assert statistics["ended_connections"]["the source is at its end"] == 1

    play(source, settings(), scene, 300)
    return found[0]


def same_but_for_our_clock(found: Events, expected: Events) -> bool:
    names = [name for name in found.dtype.names or () if name != "ts_recv_ns"]
    return found.size == expected.size and all((found[n] == expected[n]).all() for n in names)


@pytest.mark.parametrize("negotiate", [False, True])
def test_a_simulated_market_arrives_whole_and_in_order(negotiate: bool) -> None:
    source = Source(simulate("es", seed=4, duration_s=20), NS)
    ears = heard_at_full_speed(source, negotiate=negotiate)
    tape = simulate("es", seed=4, duration_s=20).events()
    assert alike(ears.events, tape, Kind.TRADE, "ts_event_ns", "price", "qty_lots", "side", "side_source")
    assert same_but_for_our_clock(ears.events, read_back(source)[0])
    assert ears.parser.quarantine.total == 0


def test_several_contracts_arrive_in_the_order_of_the_source() -> None:
    events = random_levels(2, 4000)
    nq = type(ES)(symbol="NQH4", venue="CME", tick_e9=ES.tick_e9, root="NQ", kind="future", expiry="2024-03")
    source = Source(tape_of(events, ES, nq), NS)
    ears = heard_at_full_speed(source)
    assert len(source.listings) == 2
    assert same_but_for_our_clock(ears.events, read_back(source)[0])


RECORDINGS = (
    ("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip", (Kind.TRADE,)),
    ("databento/es/futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst", (Kind.TRADE, Kind.QUOTE)),
    ("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst", (Kind.TRADE,)),
    ("binance/cm_btcusd_perp_20240809.gz", (Kind.TRADE, Kind.QUOTE)),
    ("topstepx/ES_ticks_20251104_212034.csv.gz", (Kind.TRADE, Kind.QUOTE)),
    ("tardis/deribit_incremental_book_L2_BTC-PERPETUAL.csv", (Kind.LEVEL, Kind.CLEAR)),
)
FIELDS = {
    Kind.TRADE: ("ts_event_ns", "price", "qty_lots", "side"),
    Kind.QUOTE: ("ts_event_ns", "price", "side"),
    Kind.LEVEL: ("ts_event_ns", "price", "qty_lots", "side"),
    Kind.CLEAR: ("ts_event_ns",),
}


@pytest.mark.recording
@pytest.mark.slow
@pytest.mark.parametrize(("name", "kinds"), RECORDINGS, ids=[name.rsplit("/", 1)[1][:12] for name, _ in RECORDINGS])
def test_a_recording_arrives_event_for_event(
    name: str, kinds: tuple[Kind, ...], recording: Callable[[str], Path]
) -> None:
    path = recording(name)
    ears = heard_at_full_speed(Source(open_tape(path), NS))
    tape = times_told(open_tape(path).events())
    assert tape.size
    for kind in kinds:
        assert alike(ears.events, tape, kind, *FIELDS[kind]), kind
    assert ears.parser.quarantine.total == 0


def bare(gateway: Gateway, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {gateway.tokens.grant('me', gateway._clock.now_ns())}"} | more


async def knock(
    gateway: Gateway, path: str = "/hubs/market", headers: dict[str, str] | None = None
) -> ClientConnection:
    url = gateway.url.replace("http", "ws") + path
    return await connect(
        url, additional_headers=bare(gateway) if headers is None else headers, ping_interval=None, proxy=None
    )


async def refused(gateway: Gateway, *args: Any) -> int:
    with pytest.raises(InvalidStatus) as told:
        await knock(gateway, *args)
    return told.value.response.status_code


def post(gateway: Gateway, path: str, **more: Any) -> Any:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            return await client.request(more.pop("verb", "POST"), path, **more)

    return ask()


QUIET = Source(simulate("es", seed=4, duration_s=2))


def test_sockets_without_a_good_token_or_id_are_refused() -> None:
    async def scene(gateway: Gateway) -> None:
        assert await refused(gateway, "/hubs/market", {}) == 401
        assert await refused(gateway, "/hubs/market?access_token=x", {}) == 401
        assert await refused(gateway, "/hubs/news") == 404
        assert await refused(gateway, "/hubs/market?id=unknown") == 404
        token = bare(gateway)["Authorization"].removeprefix("Bearer ")
        head = f"GET /hubs/market?access_token={token} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        for more in ("", "Connection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 7\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(f"{head}{more}\r\n".encode())
            assert (await reader.readline()).startswith(b"HTTP/1.1 400")
            writer.close()
        assert not gateway.sockets
        by_query = await knock(gateway, f"/hubs/market?access_token={token}", {})
        await by_query.close()

    play(QUIET, settings(), scene)


@pytest.mark.parametrize("version", [0, 1])
def test_a_negotiated_id_opens_one_socket(version: int) -> None:
    async def scene(gateway: Gateway) -> None:
        path = f"/hubs/market/negotiate?negotiateVersion={version}"
        assert (await post(gateway, path)).status_code == 401
        told = (await post(gateway, path, headers=bare(gateway))).json()
        assert told["negotiateVersion"] == version
        assert told["availableTransports"] == [{"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}]
        name = told["connectionToken" if version else "connectionId"]
        assert ("connectionToken" in told) == bool(version)
        socket = await knock(gateway, f"/hubs/market?id={name}")
        assert await refused(gateway, f"/hubs/market?id={name}") == 409
        await socket.close()
        await asyncio.sleep(0.05)
        assert await refused(gateway, f"/hubs/market?id={name}") == 404

    play(QUIET, settings(), scene)


def test_a_socket_shakes_hands_is_pinged_and_dropped_when_it_says_nothing() -> None:
    async def scene(gateway: Gateway) -> None:
        silent = await knock(gateway)
        assert await silent.recv() == '{"error":"Handshake was canceled."}\x1e'
        socket = await knock(gateway, "/hubs/user")
        await socket.send(HELLO.encode())  # a binary frame that holds the same text
        assert await socket.recv() == "{}\x1e"
        assert await socket.recv() == '{"type":6}\x1e'
        heard = [record async for record in socket]
        assert heard[-1] == '{"type":7,"error":"Connection closed with an error."}\x1e'

    times = ServerTimes(handshake_s=0.2, ping_s=0.2, silence_s=0.7)
    play(QUIET, settings(times=times), scene)


def test_rest_and_sockets_share_a_port_and_a_connection_serves_many_requests() -> None:
    async def scene(gateway: Gateway) -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            for _ in range(3):
                assert (await client.get("/api/Status/ping")).text == "pong"
                answer = await client.post("/api/Auth/loginKey", json={"userName": "me", "apiKey": "key"})
                assert answer.json()["success"]
            assert (await client.post("/api/Auth/loginKey", content=b"x" * (2 << 20))).status_code == 413
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"NONSENSE\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()

    play(QUIET, settings(), scene)


@pytest.mark.slow
def test_who_subscribes_late_begins_with_the_book_as_it_stands() -> None:
    """Two clients, the second joins in mid-market: both end with the same book."""
    ends: list[tuple[list[Any], list[Any]]] = []

    async def scene(gateway: Gateway) -> None:
        early, late = Ears(gateway), Ears(gateway)
        first = asyncio.create_task(early.listen(lost))
        await until(lambda: gateway.play.messages[2] > 500)
        await asyncio.gather(first, late.listen(lost))
        assert 0 < late.events.size < early.events.size
        for ears in (early, late):
            ladder = Ladder(tick_e9=250_000_000)
            book = ears.events
            ladder.advance(book[(book["kind"] != Kind.TRADE)])
            levels = [ladder.levels(side, 10) for side in (Side.BID, Side.ASK)]
            ends.append(tuple([(one.price, one.qty_lots) for one in side] for side in levels))  # type: ignore[arg-type]  # two sides

    play(Source(simulate("es", seed=4, duration_s=40)), settings(speed=20.0), scene)
    assert ends[0] == ends[1]
    assert len(ends[0][0]) == 10


def test_a_factor_paces_the_source_and_shift_moves_it_to_now() -> None:
    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway)
        began = gateway._clock.now_ns()
        await ears.listen(lost)
        took_s = (gateway._clock.now_ns() - began) / 1e9
        assert 0.8 < took_s < 4
        told = ears.events["ts_event_ns"]
        told = told[told != MISSING]
        assert began - 1e9 < told.min()
        assert told.max() < began + 12e9
        assert np.ptp(told) > 9e9

    source = Source(simulate("es", seed=4, duration_s=10))
    play(source, settings(speed=10.0, play={"shift": True}), scene)


def test_the_market_begins_when_it_is_asked_to_and_goes_round() -> None:
    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway)
        hearing = asyncio.create_task(ears.listen(lambda e: gateway.play.loops >= 2))
        await asyncio.sleep(0.3)
        assert not gateway.play.began_ns
        answer = await post(gateway, "/admin/start", headers={"Authorization": "Bearer admin"})
        assert answer.status_code == 200
        await hearing

    how = settings(play={"start": Start.ASKED, "end": End.LOOP, "prepare": True})
    play(QUIET, how, scene)


def test_the_end_may_be_silent() -> None:
    async def scene(gateway: Gateway) -> None:
        ears = Ears(gateway)
        hearing = asyncio.create_task(ears.listen(lost))
        await until(lambda: gateway.play.ended)
        await asyncio.sleep(0.1)
        assert not hearing.done()
        assert [one.name for one in gateway.sockets] == ["market"]
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)

    play(QUIET, settings(play={"end": End.SILENT}), scene)


def test_admin_calls_need_their_token() -> None:
    async def scene(gateway: Gateway) -> None:
        for headers in ({}, bare(gateway)):
            assert (await post(gateway, "/admin/statistics", verb="GET", headers=headers)).status_code == 401
        good = {"Authorization": "Bearer admin"}
        told = (await post(gateway, "/admin/statistics", verb="GET", headers=good)).json()
        assert told["played"] == {"quotes": 0, "trades": 0, "depth": 0}
        assert (await post(gateway, "/admin/faults", headers=good, content=b"{")).status_code == 400
        assert (await post(gateway, "/admin/faults", headers=good, json={"fault": "rain"})).status_code == 400

    play(QUIET, settings(), scene)


def test_a_gateway_that_others_can_reach_needs_keys_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match="keys of its own"):
        GatewaySettings(host="0.0.0.0", users={"me": "key"})
    assert json.dumps(GatewaySettings(host="0.0.0.0", users={"me": "key"}, admin_token="x").port) == "0"
    assert settings(speed=MAX).play.speed == MAX
