"""Sessions against a real server: what goes wrong on a network, and that nothing is lost or told to the wrong ears."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pytest

from tapebook.market.clock import WallClock
from tapebook.market.errors import ConfigurationError, VenueDenied, VenueError, VenueThrottled, VenueUnreachable
from tapebook.market.events import EVENT, Flag, Kind
from tapebook.market.instruments import InstrumentTable
from tapebook.venues.credentials import Credentials, Secret
from tapebook.venues.policies import after_failures, at_least
from tapebook.venues.projectx import Parser, codes, rest
from tapebook.venues.projectx.rest_session import Rest
from tapebook.venues.projectx.session import Session
from tapebook.venues.projectx.settings import Received, Settings, Told, What
from tapebook.venues.projectx.subscribe import Channel
from tapebook.venues.projectx.watch import StreamWatch
from tapebook.venues.signalr_hub import HubTimes
from tests.venues.golden_projectx import BOOK, MNQ, QUOTE_BEFORE
from tests.venues.projectx_server import KEY, USER, Gateway, Socket

QUICK = HubTimes(handshake_s=2, answer_s=1, ping_s=0.1, silence_s=0.8)
WHO = Credentials(Secret(USER), Secret(KEY))


def settings_of(gateway: Gateway, **more: Any) -> Settings:
    return replace(
        Settings(
            rest=gateway.url,
            market_hub=f"{gateway.url}/hubs/market",
            user_hub=f"{gateway.url}/hubs/user",
            times=QUICK,
            wait=at_least(0.02),
            use_proxy=False,
        ),
        **more,
    )


def session_of(gateway: Gateway, settings: Settings | None = None, **more: Any) -> Session:
    more = {"contracts": [MNQ]} | more
    return Session(settings or settings_of(gateway), WHO, clock=WallClock(), chance=random.Random(1), **more)


class Heard:
    """Collects what a session yields, and waits for things to happen."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.items: list[Received | Told] = []
        self.error: BaseException | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.session.aclose()

    async def _run(self) -> None:
        try:
            async with aclosing(self.session.frames()) as frames:  # type: ignore[type-var]  # an async generator is one
                async for item in frames:
                    self.items.append(item)
        except VenueError as error:
            self.error = error

    def told(self, what: What) -> list[Told]:
        return [item for item in self.items if isinstance(item, Told) and item.what is what]

    @property
    def data(self) -> list[bytes]:
        return [item.data for item in self.items if isinstance(item, Received)]

    async def until(self, happened: Callable[[], object], s: float = 6) -> None:
        async with asyncio.timeout(s):
            while not happened():  # noqa: ASYNC110 - any condition of a test: there is no event for it
                await asyncio.sleep(0.005)


def play(scene: Callable[[Gateway], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Gateway() as gateway:
            await scene(gateway)

    asyncio.run(asyncio.wait_for(main(), 30))


def send(socket: Socket, frame: bytes) -> None:
    socket.send_text(frame.decode())


def test_frames_come_as_they_were_sent_and_every_channel_is_subscribed() -> None:
    async def scene(gateway: Gateway) -> None:
        async with Heard(session_of(gateway)) as heard:
            socket = await gateway.socket()
            await heard.until(lambda: heard.told(What.SUBSCRIBED))
            send(socket, QUOTE_BEFORE + BOOK)
            socket.send_text(BOOK[:40].decode(), binary=True)
            socket.send_text(BOOK[40:].decode())
            await heard.until(lambda: len(heard.data) >= 7)
            assert heard.data[-3:] == [QUOTE_BEFORE + BOOK, BOOK[:40], BOOK[40:]]
            assert socket.hub == "/hubs/market"
            names = ("SubscribeContractQuotes", "SubscribeContractTrades", "SubscribeContractMarketDepth")
            assert socket.calls == [(name, [MNQ]) for name in names]
            assert [t.what for t in heard.items if isinstance(t, Told)] == [What.CONNECTED, What.SUBSCRIBED]
            parser = Parser([MNQ], InstrumentTable())
            events = np.concatenate(
                [parser.advance(i.data, i.ts_recv_ns) for i in heard.items if isinstance(i, Received)]
            )
            assert events.size == 2 + 5 + 4
            assert not parser.quarantine.total
            assert (np.diff(events["ts_recv_ns"]) >= 0).all()

    play(scene)


def test_after_a_lost_connection_everything_is_subscribed_again_and_the_gap_is_told() -> None:
    async def scene(gateway: Gateway) -> None:
        async with Heard(session_of(gateway, contracts=[MNQ, "CON.F.US.EP.U26"])) as heard:
            for n in range(1, 5):
                socket = await gateway.socket(count=n)
                await heard.until(lambda n=n: len(heard.told(What.SUBSCRIBED)) == n)  # type: ignore[misc]  # bound
                assert len(socket.calls) == 6
                send(socket, BOOK)
                await heard.until(lambda n=n: heard.data.count(BOOK) == n)  # type: ignore[misc]  # as above
                socket.abort()
            await heard.until(lambda: len(heard.told(What.LOST)) == 4)
            frames = [item for item in heard.items if isinstance(item, Received)]
            for lost in heard.told(What.LOST):
                last = [f for f in frames if f.connection == lost.connection][-1]
                assert lost.since_ns == last.ts_recv_ns <= lost.ts_recv_ns
            assert gateway.logins == 1

    play(scene)


def test_a_reset_parser_clears_the_books_after_a_reconnect() -> None:
    parser = Parser([MNQ], InstrumentTable())
    assert parser.reset(1).size == 0  # the first connection: nothing stood
    parser.advance(BOOK + BOOK[:30], 2)
    cleared = parser.reset(3)
    assert cleared.dtype == EVENT
    assert cleared["kind"].tolist() == [Kind.CLEAR]
    assert cleared["flags"].tolist() == [Flag.GAP | Flag.LAST]
    assert parser.quarantine.counts == {"a record cut off by the end of its connection": 1}
    assert parser.advance(BOOK, 4)["kind"][0] == Kind.CLEAR


def test_a_connection_can_be_negotiated() -> None:
    async def scene(gateway: Gateway) -> None:
        gateway.must_negotiate = True
        async with Heard(session_of(gateway, settings_of(gateway, negotiate=True))) as heard:
            await heard.until(lambda: heard.told(What.SUBSCRIBED))
            assert not heard.told(What.LOST)

    play(scene)


def test_a_hub_may_point_elsewhere_and_our_token_does_not_go_there(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(gateway: Gateway) -> None:
        async with Gateway() as other:
            given = other.grant()
            gateway.away = [(f"{other.url}/hubs/elsewhere?access_token={given}", given)]
            other.must_negotiate = True
            session = session_of(gateway, settings_of(gateway, negotiate=True))
            async with Heard(session) as heard:
                await heard.until(lambda: heard.told(What.SUBSCRIBED))
                ours = (await session.rest.token()).text.reveal()
                assert other.sockets[0].hub == "/hubs/elsewhere"
                assert {token for _, token in other.bearers} == {given}
                assert ours not in caplog.text
                assert given not in caplog.text + repr([record.__dict__ for record in caplog.records])
            gateway.away = [(f"{gateway.url}/hubs/market", "")] * 9
            async with Heard(session_of(gateway, settings_of(gateway, negotiate=True))) as heard:
                await heard.until(lambda: heard.told(What.LOST))
                assert "again and again" in heard.told(What.LOST)[0].text

    with caplog.at_level(logging.DEBUG):
        play(scene)


def test_a_hub_that_wants_a_negotiation_is_told_and_tried_again() -> None:
    async def scene(gateway: Gateway) -> None:
        gateway.must_negotiate = True
        async with Heard(session_of(gateway)) as heard:
            await heard.until(lambda: heard.told(What.LOST))
            assert "HTTP 404" in heard.told(What.LOST)[0].text
            gateway.must_negotiate = False
            await heard.until(lambda: heard.told(What.SUBSCRIBED))

    play(scene)


def test_a_token_that_expired_is_replaced_by_a_login() -> None:
    async def scene(gateway: Gateway) -> None:
        async with Heard(session_of(gateway)) as heard:
            socket = await gateway.socket()
            await heard.until(lambda: heard.told(What.SUBSCRIBED))
            gateway.tokens.clear()
            socket.abort()
            await heard.until(lambda: len(heard.told(What.SUBSCRIBED)) == 2)
            assert gateway.logins == 2
            assert any("HTTP 401" in told.text for told in heard.told(What.LOST))

    play(scene)


def test_a_token_is_renewed_before_it_expires_and_used_by_the_next_connection() -> None:
    async def scene(gateway: Gateway) -> None:
        gateway.life_s = 2.4
        async with Heard(session_of(gateway, settings_of(gateway, renew_check_s=0.05))) as heard:
            await heard.until(lambda: heard.told(What.RENEWED))
            assert [path for path, _ in gateway.requests].count("/api/Auth/validate") >= 1
            assert gateway.logins == 1
            assert len(gateway.sockets) == 1  # an open connection is left alone
            gateway.tokens = {max(gateway.tokens, key=lambda text: int(text.rpartition("l")[2] or 0))}
            gateway.sockets[0].abort()
            await heard.until(lambda: len(heard.told(What.SUBSCRIBED)) == 2)
            assert gateway.logins == 1

    play(scene)


def test_a_half_open_connection_is_given_up() -> None:
    async def scene(gateway: Gateway) -> None:
        async with Heard(session_of(gateway)) as heard:
            socket = await gateway.socket()
            await heard.until(lambda: socket.pings)
            assert not heard.told(What.LOST)
            gateway.mute = True
            await heard.until(lambda: heard.told(What.LOST))
            assert "nothing heard for 0.8 s" in heard.told(What.LOST)[0].text
            gateway.mute = False
            await heard.until(lambda: len(heard.told(What.SUBSCRIBED)) == 2)

    play(scene)


def test_a_subscription_that_is_never_answered_ends_the_connection() -> None:
    async def scene(gateway: Gateway) -> None:
        gateway.answer = False
        async with Heard(session_of(gateway)) as heard:
            await heard.until(lambda: heard.told(What.LOST))
            assert "no answer to SubscribeContractQuotes for 1 s" in heard.told(What.LOST)[0].text

    play(scene)


def test_a_silent_stream_is_woken_then_subscribed_anew_then_reconnected() -> None:
    async def scene(gateway: Gateway) -> None:
        silent = dict.fromkeys(Channel, 0.15)
        watch = StreamWatch([MNQ], [Channel.QUOTES, Channel.DEPTH], silent)
        session = session_of(gateway, channels=[Channel.QUOTES, Channel.DEPTH], watch=watch)
        async with Heard(session) as heard:
            socket = await gateway.socket()
            await heard.until(lambda: heard.told(What.SUBSCRIBED))
            send(socket, BOOK)
            for _ in range(200):  # quotes flow, depth does not
                if len(heard.told(What.SILENT)) >= 3:
                    break
                send(socket, QUOTE_BEFORE)
                await asyncio.sleep(0.02)
            await heard.until(lambda: len(heard.told(What.SUBSCRIBED)) >= 2)
            steps = heard.told(What.SILENT)[:3]
            assert [told.text.rpartition(" ")[2] for told in steps] == ["again", "anew", "reconnect"]
            assert {(told.contract, told.channel) for told in steps} == {(MNQ, "GatewayDepth")}
            depth = ["SubscribeContractMarketDepth", "UnsubscribeContractMarketDepth", "SubscribeContractMarketDepth"]
            assert [name for name, _ in socket.calls[2:]] == depth

    play(scene)


def test_a_record_that_cannot_be_read_is_told_and_kept_and_nothing_else_happens() -> None:
    async def scene(gateway: Gateway) -> None:
        async with Heard(session_of(gateway)) as heard:
            socket = await gateway.socket()
            await heard.until(lambda: heard.told(What.SUBSCRIBED))
            bad = b'{"type":1,"target":"GatewayQ\x1e'
            send(socket, bad)
            send(socket, BOOK)
            await heard.until(lambda: BOOK in heard.data)
            assert bad in heard.data
            assert len(heard.told(What.MALFORMED)) == 1
            assert not heard.told(What.LOST)

    play(scene)


def test_a_refused_subscription_a_closing_hub_and_a_failed_handshake_are_told() -> None:
    async def scene(gateway: Gateway) -> None:
        gateway.errors["SubscribeContractMarketDepth"] = "HubException: no level 2"
        async with Heard(session_of(gateway)) as heard:
            socket = await gateway.socket()
            await heard.until(lambda: heard.told(What.SUBSCRIBED))
            refused = heard.told(What.REFUSED)[0].text
            assert refused == f'SubscribeContractMarketDepth["{MNQ}"]: HubException: no level 2'
            gateway.handshake_error = "no such protocol"
            socket.send({"type": 7, "error": "Connection closed with an error.", "allowReconnect": True})
            await heard.until(lambda: len(heard.told(What.LOST)) >= 2)
            assert "Connection closed with an error." in heard.told(What.LOST)[0].text
            assert "the handshake failed: no such protocol" in heard.told(What.LOST)[1].text

    play(scene)


def test_outages_are_told_and_tried_again_with_growing_waits() -> None:
    async def scene(gateway: Gateway) -> None:
        gateway.hub_statuses = [503, 404, 429, 500]
        gateway.statuses = [500]
        slept: list[float] = []

        async def sleep(s: float) -> None:
            slept.append(s)
            await asyncio.sleep(0)

        settings = replace(Settings(), rest=gateway.url, market_hub=f"{gateway.url}/hubs/market", use_proxy=False)
        async with Heard(session_of(gateway, settings, sleep=sleep)) as heard:
            await heard.until(lambda: heard.told(What.SUBSCRIBED))
            words = ("HTTP 500", "HTTP 503", "HTTP 404", "HTTP 429", "HTTP 500")
            assert all(word in told.text for word, told in zip(words, heard.told(What.LOST), strict=True))
        assert all(0.5 * most <= s <= most for s, most in zip(slept, (0, 2, 5, 10, 30), strict=True))
        draw = random.Random(1)
        assert slept == [most * (1 - 0.5 * draw.random()) for most in (0, 2, 5, 10, 30)]  # the injected chance

    play(scene)


def test_a_policy_may_stop_the_trying() -> None:
    async def scene(gateway: Gateway) -> None:
        gateway.hub_statuses = [503] * 9
        async with Heard(session_of(gateway, settings_of(gateway, stop=after_failures(3)))) as heard:
            await heard.until(lambda: heard.error)
            assert isinstance(heard.error, VenueUnreachable)
            assert len(heard.told(What.LOST)) == 2

    play(scene)


def test_a_wrong_key_ends_the_session_with_what_to_do() -> None:
    async def scene(gateway: Gateway) -> None:
        session = Session(
            settings_of(gateway),
            Credentials(Secret(USER), Secret("wrong-key")),
            clock=WallClock(),
            chance=random.Random(1),
            contracts=[MNQ],
        )
        async with Heard(session) as heard:
            await heard.until(lambda: heard.error)
            assert isinstance(heard.error, VenueDenied)
            assert "invalid credentials" in str(heard.error)
            assert "API key" in heard.error.remedy
            assert "wrong-key" not in str(heard.error)

    play(scene)


def test_the_user_hub_subscribes_accounts_and_is_a_line_of_its_own() -> None:
    async def scene(gateway: Gateway) -> None:
        async with Heard(session_of(gateway, accounts=[7])) as heard:
            await heard.until(lambda: len(heard.told(What.SUBSCRIBED)) == 2)
            hubs = {socket.hub: socket for socket in gateway.sockets}
            names = ("SubscribeOrders", "SubscribePositions", "SubscribeTrades")
            assert hubs["/hubs/user"].calls == [("SubscribeAccounts", []), *((name, [7]) for name in names)]
            hubs["/hubs/user"].abort()
            await heard.until(lambda: len(heard.told(What.SUBSCRIBED)) == 3)
            assert {told.hub for told in heard.told(What.LOST)} == {"user"}

    play(scene)


def test_a_slow_reader_loses_nothing_and_is_not_taken_for_a_silent_hub() -> None:
    async def scene(gateway: Gateway) -> None:
        session = session_of(gateway, settings_of(gateway, queue_frames=2))
        got: list[bytes] = []
        async with aclosing(session.frames()) as frames:  # type: ignore[type-var]  # an async generator is one
            async for item in frames:
                if isinstance(item, Told):
                    assert item.what in (What.CONNECTED, What.SUBSCRIBED), item
                    if item.what is What.SUBSCRIBED:
                        for n in range(400):
                            gateway.sockets[0].send({"type": 1, "target": "X", "arguments": [n, "." * 2000]})
                elif b'"X"' in item.data:
                    got.append(item.data)
                    if len(got) == 3:
                        await asyncio.sleep(1.7)  # more than twice what a hub may be silent
                    if len(got) == 400:
                        break
        await session.aclose()
        assert [int(data.split(b"[")[1].split(b",")[0]) for data in got] == list(range(400))

    play(scene)


def test_what_waits_comes_all_at_once_and_in_order() -> None:
    async def scene(gateway: Gateway) -> None:
        session = session_of(gateway)
        got: list[bytes] = []
        sizes: list[int] = []
        async with aclosing(session.batches()) as batches:
            async for batch in batches:
                if any(isinstance(item, Told) and item.what is What.SUBSCRIBED for item in batch):
                    for n in range(300):
                        gateway.sockets[0].send({"type": 1, "target": "X", "arguments": [n]})
                    await asyncio.sleep(0.1)
                found = [item.data for item in batch if isinstance(item, Received) and b'"X"' in item.data]
                got += found
                sizes.append(len(found))
                if len(got) == 300:
                    break
        await session.aclose()
        assert [int(data.split(b"[")[1].split(b"]")[0]) for data in got] == list(range(300))
        assert max(sizes) > 10

    play(scene)


def test_a_session_that_would_hear_nothing_says_so() -> None:
    async def scene(gateway: Gateway) -> None:
        session = session_of(gateway, contracts=[])
        with pytest.raises(ConfigurationError, match="nothing to hear"):
            async for _ in session.frames():
                pass
        await session.aclose()

    play(scene)


def test_no_secret_is_logged_told_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(gateway: Gateway) -> None:
        gateway.must_negotiate = True
        session = session_of(gateway, settings_of(gateway, negotiate=True), accounts=[7])
        async with Heard(session) as heard:
            await heard.until(lambda: len(heard.told(What.SUBSCRIBED)) == 2)
            token = await session.rest.token()
            with pytest.raises(VenueError) as refused:
                await session.rest.ask(rest.ACCOUNTS, onlyActiveAccounts=True)
            for socket in gateway.sockets:
                socket.send({"type": 7, "error": f"bad token {token.text.reveal()}"})
            gateway.hub_statuses = [503]
            await heard.until(lambda: len(heard.told(What.SUBSCRIBED)) == 4)
            shown = caplog.text + repr(heard.items) + str(refused.value) + repr(session.__dict__) + repr(token)
            shown += repr(session.rest.__dict__) + repr([record.__dict__ for record in caplog.records])
            for secret in (KEY, token.text.reveal(), *gateway.tokens):
                assert secret not in shown

    with caplog.at_level(logging.DEBUG):
        play(scene)


class FakeTime:
    def __init__(self) -> None:
        self.ns = 0
        self.slept: list[float] = []

    def __call__(self) -> int:
        return self.ns

    async def sleep(self, s: float) -> None:
        self.slept.append(s)
        self.ns += round(s * 1e9)


def asked(scene: Callable[[Gateway, Rest, FakeTime], Awaitable[None]]) -> None:
    async def main(gateway: Gateway) -> None:
        time = FakeTime()
        client = Rest(settings_of(gateway), WHO, clock=WallClock(), timer=time, sleep=time.sleep)
        try:
            await scene(gateway, client, time)
        finally:
            await client.aclose()

    play(main)


def test_bars_and_contracts_come_typed_and_refusals_by_their_endpoints_codes() -> None:
    async def scene(gateway: Gateway, client: Rest, _time: FakeTime) -> None:
        found = await client.ask(rest.CONTRACTS, searchText="MNQ", live=False)
        assert (found.contracts[0].id, str(found.contracts[0].tickSize)) == (MNQ, "0.25")
        span: dict[str, Any] = {"startTime": "2026-08-19T20:50:00Z", "endTime": "2026-08-19T20:53:00Z"}
        span |= {"live": False, "unit": 2, "unitNumber": 1, "limit": 100, "includePartialBar": False}
        bars = rest.oldest_first((await client.ask(rest.BARS, contractId=MNQ, **span)).bars)
        assert [bar.t[14:16] for bar in bars] == ["50", "51", "52"]
        assert str(bars[0].l) == "29546.25"
        with pytest.raises(rest.Refused) as refused:
            await client.ask(rest.BARS, contractId="no", **span)
        assert refused.value.code is codes.BarsCode.CONTRACT_NOT_FOUND
        assert refused.value.endpoint == "/api/History/retrieveBars"
        with pytest.raises(rest.Refused) as unknown:
            await client.ask(rest.ORDERS, accountId=1, startTimestamp="2026-08-19T00:00:00Z")
        assert unknown.value.code == 42
        assert "Bearer ***" in str(unknown.value)
        assert gateway.logins == 1

    asked(scene)


def test_a_token_refused_in_the_middle_is_replaced_once() -> None:
    async def scene(gateway: Gateway, client: Rest, _time: FakeTime) -> None:
        await client.token()
        gateway.tokens.clear()
        assert (await client.ask(rest.CONTRACTS, searchText="MNQ", live=False)).contracts
        assert gateway.logins == 2
        gateway.statuses = [401, 200, 401]
        with pytest.raises(rest.Denied):
            await client.ask(rest.CONTRACTS, searchText="MNQ", live=False)

    asked(scene)


def test_http_429_closes_the_window_for_a_while_and_asks_again() -> None:
    async def scene(gateway: Gateway, client: Rest, time: FakeTime) -> None:
        await client.token()
        gateway.statuses = [429, 429]
        assert (await client.ask(rest.CONTRACTS, searchText="MNQ", live=False)).contracts
        assert time.slept == [5.0, 15.0]
        gateway.statuses = [429] * 9
        with pytest.raises(VenueThrottled):
            await client.ask(rest.CONTRACTS, searchText="MNQ", live=False)

    asked(scene)


def test_our_own_windows_keep_below_the_venues_limits() -> None:
    async def scene(gateway: Gateway, client: Rest, time: FakeTime) -> None:
        await client.token()
        stamps = []
        for _ in range(400):
            await client.ask(rest.CONTRACTS, searchText="MNQ", live=False)
            stamps.append(time.ns)
        assert max(sum(t <= s < t + 60 * 10**9 for s in stamps) for t in stamps) <= 170
        assert time.slept

    asked(scene)


def test_no_server_is_unreachable() -> None:
    async def scene(gateway: Gateway, client: Rest, _time: FakeTime) -> None:
        await client.token()
        await gateway.__aexit__()
        with pytest.raises(VenueUnreachable):
            await client.ask(rest.CONTRACTS, searchText="MNQ", live=False)

    asked(scene)
