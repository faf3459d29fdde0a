"""ProjectX's REST answers without a server: each endpoint's refusals, tokens that age, streams that fall silent."""

from __future__ import annotations

import base64
import contextlib
import json
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.errors import (
    VenueDenied,
    VenueError,
    VenueProtocolError,
    VenueRefused,
    VenueThrottled,
    VenueUnreachable,
)
from tapebook.venues.projectx import codes, rest, wire
from tapebook.venues.projectx.rest_session import bad_status
from tapebook.venues.projectx.subscribe import Channel
from tapebook.venues.projectx.token import LIFE_S, read_token
from tapebook.venues.projectx.watch import Step, StreamWatch
from tests.venues.golden_projectx import MES, MNQ

S = 10**9
ENDPOINTS: dict[str, rest.Endpoint[Any]] = {
    name: value for name, value in vars(rest).items() if isinstance(value, rest.Endpoint)
}
GOOD = {"success": True, "errorCode": 0, "errorMessage": None}


def answered(endpoint: rest.Endpoint[Any], status: int = 200, **fields: object) -> Any:
    return rest.answer(endpoint, status, json.dumps(GOOD | fields).encode())


def test_every_endpoint_that_reads_is_there() -> None:
    paths = {endpoint.path.removeprefix("/api/") for endpoint in ENDPOINTS.values()}
    assert paths == {
        *("Auth/loginKey", "Auth/validate", "Auth/logout", "Account/search", "Contract/search", "Contract/searchById"),
        *("Contract/available", "History/retrieveBars", "Order/search", "Order/searchOpen", "Order/searchById"),
        *("Order/v2/query", "Position/searchOpen", "Trade/search"),
    }


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_refusal_names_its_endpoints_own_code(name: str) -> None:
    endpoint = ENDPOINTS[name]
    for code in [*endpoint.codes, 77]:
        if code == 0:
            continue
        with pytest.raises(VenueRefused) as refused:
            answered(endpoint, success=False, errorCode=int(code), errorMessage="Bearer abc.def is not good")
        error = refused.value
        assert isinstance(error, rest.Refused)
        assert (error.code, error.endpoint) == (code, endpoint.path)
        assert isinstance(error.code, IntEnum) == (code != 77)
        assert isinstance(error, VenueDenied) == endpoint.login
        assert "abc.def" not in str(error)
        assert ("error 77" if code == 77 else endpoint.codes(code).name.replace("_", " ").lower()) in str(error)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_statuses_and_bodies_that_are_no_answer_are_typed(name: str) -> None:
    endpoint = ENDPOINTS[name]
    for status, kind in ((401, VenueDenied), (429, VenueThrottled), (500, VenueUnreachable), (503, VenueUnreachable),
                         (400, VenueRefused), (404, VenueProtocolError), (302, VenueProtocolError)):  # fmt: skip
        with pytest.raises(kind):
            answered(endpoint, status)
    for content in (b"", b"[]", b"<html>", b'{"success":1}', b"\xff", b"[" * 3000):
        with pytest.raises(VenueProtocolError):
            rest.answer(endpoint, 200, content)


@given(st.binary(), st.integers(100, 599))
def test_no_answer_raises_anything_but_a_venue_error(content: bytes, status: int) -> None:
    for body in (content, json.dumps(GOOD | {"bars": [], "token": None}).encode() + content):
        with contextlib.suppress(VenueError):
            rest.answer(rest.BARS, status, body)
        with contextlib.suppress(VenueError):
            rest.answer(rest.LOGIN_KEY, status, body)


def test_a_malformed_request_is_refused_with_what_the_server_says() -> None:
    with pytest.raises(rest.Refused) as refused:
        rest.answer(rest.QUERY_ORDERS, 400, b'{"title":"One or more validation errors occurred.","status":400}')
    assert "validation errors" in str(refused.value)
    assert refused.value.code == -1


def test_a_refusal_may_hold_null_where_the_payload_would_be() -> None:
    with pytest.raises(rest.Refused) as refused:
        answered(rest.BARS, bars=None, success=False, errorCode=4)
    assert refused.value.code is codes.BarsCode.LIMIT_INVALID


def test_answers_are_typed_and_fields_to_come_are_passed_over() -> None:
    bar = {"t": "2026-08-19T20:51:00+00:00", "o": 0.0078125, "h": 2, "l": 1, "c": 2, "v": 7, "k": 9, "d": "x"}
    bars = answered(rest.BARS, bars=[bar], extra={"a": 1}).bars
    assert (bars[0].o, bars[0].v) == (Decimal("0.0078125"), 7)
    order = {"id": 7, "accountId": 1, "contractId": MNQ, "status": 8, "type": 4, "side": 1, "size": 1,
             "limitPrice": None, "trailDistance": -20, "parentOrderId": 5}  # fmt: skip
    orders = answered(rest.QUERY_ORDERS, orders=[order, order | {"status": 99}, order | {"status": 2}], totalCount=3)
    assert [o.working for o in orders.orders] == [True, True, False]
    assert orders.totalCount == 3
    position = {"id": 9, "accountId": 1, "contractId": MES, "type": 2, "size": 3, "averagePrice": 7730.25}
    assert answered(rest.POSITIONS, positions=[position]).positions[0].type == wire.PositionType.SHORT
    trade = {"id": 3, "accountId": 1, "contractId": MES, "side": 0, "size": 1, "price": 7730.25, "profitAndLoss": None}
    assert answered(rest.TRADES, trades=[trade]).trades[0].profitAndLoss is None
    token = answered(rest.LOGIN_KEY, token="eyJa.eyJb.c")
    assert "eyJ" not in repr(token) + repr(answered(rest.VALIDATE, newToken="eyJa.eyJb.c"))


def test_a_request_has_exactly_the_fields_of_its_endpoint() -> None:
    assert rest.body(rest.VALIDATE) == b""
    assert json.loads(rest.body(rest.ORDERS, accountId=1, startTimestamp="t")) == {
        "accountId": 1,
        "startTimestamp": "t",
    }
    for values in ({}, {"accountId": 1}, {"accountId": 1, "startTimestamp": "t", "x": 1}):
        with pytest.raises(AssertionError):
            rest.body(rest.ORDERS, **values)


def test_statuses_of_a_hub_say_what_to_do_about_them() -> None:
    kinds = {401: VenueDenied, 403: VenueDenied, 429: VenueThrottled, 404: VenueUnreachable, 502: VenueUnreachable}
    for status, kind in kinds.items():
        assert isinstance(bad_status(status, "market hub"), kind)
    assert isinstance(bad_status(418, "market hub"), VenueProtocolError)


# ---- tokens ---------------------------------------------------------------------------------------------------------


def jwt(claims: object) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{part}.sig"


def test_a_token_is_due_at_twenty_of_its_twenty_four_hours() -> None:
    now = 1_787_000_000 * S
    token = read_token(jwt({"exp": 1_787_000_000 + LIFE_S}), now)
    assert not token.due(now + 20 * 3600 * S - 1)
    assert token.due(now + 20 * 3600 * S)
    assert not token.expired(now + LIFE_S * S - 1)
    assert token.expired(now + LIFE_S * S)
    short = read_token(jwt({"exp": 1_787_000_060.5}), now)
    assert short.until_ns == now + 60_500_000_000
    assert short.due(now + 51 * S)


@pytest.mark.parametrize(
    "text",
    ["", "a.b", "a.b.c", "a.!!!!.c", jwt([]), jwt({}), jwt({"exp": "soon"}), jwt({"exp": 5}), jwt({"exp": 1e300}),
     jwt({"exp": None}), jwt({"exp": 1_787_000_000 + 400 * 86400})],
)  # fmt: skip
def test_a_token_that_does_not_say_how_long_lives_for_a_day(text: str) -> None:
    now = 1_787_000_000 * S
    assert read_token(text, now).until_ns == now + LIFE_S * S
    assert "eyJ" not in repr(read_token(text, now))


# ---- silent streams -------------------------------------------------------------------------------------------------


def played(watch: StreamWatch, until_s: int, spoke: dict[Channel, range]) -> list[tuple[int, str, Step]]:
    out = []
    for s in range(until_s):
        for channel, seconds in spoke.items():
            if s in seconds:
                watch.heard(MNQ, channel, s * S)
        out += [(s, silent.channel.name, silent.step) for silent in watch.due(s * S)]
    return out


def test_a_stream_that_stops_is_called_then_subscribed_anew_then_reconnected_each_after_its_time() -> None:
    watch = StreamWatch([MNQ])
    watch.connected(0)
    spoke = {Channel.QUOTES: range(200), Channel.DEPTH: range(10), Channel.TRADES: range(0, 200, 50)}
    steps = played(watch, 60, spoke)
    assert steps == [(24, "DEPTH", Step.AGAIN), (39, "DEPTH", Step.ANEW), (54, "DEPTH", Step.RECONNECT)]
    watch.connected(60 * S)
    assert watch.due(61 * S) == []


def test_a_stream_that_never_spoke_is_not_reconnected_for() -> None:
    watch = StreamWatch([MNQ], [Channel.QUOTES, Channel.DEPTH])
    watch.connected(0)
    steps = played(watch, 100, {Channel.QUOTES: range(100)})
    assert [step for _, _, step in steps] == [Step.AGAIN] + [Step.ANEW] * 5


def test_a_stream_that_wakes_begins_anew() -> None:
    watch = StreamWatch([MNQ])
    watch.connected(0)
    spoke = {Channel.QUOTES: range(200), Channel.TRADES: range(200)}
    steps = played(watch, 100, spoke | {Channel.DEPTH: range(30, 32)})
    assert [(at, step.name) for at, _, step in steps] == [
        (15, "AGAIN"),
        (46, "AGAIN"),
        (61, "ANEW"),
        (76, "RECONNECT"),
        (91, "RECONNECT"),
    ]


def test_a_market_that_sleeps_is_no_silent_stream() -> None:
    watch = StreamWatch([MNQ, MES])
    watch.connected(0)
    assert played(watch, 500, {}) == []
    assert played(watch, 500, dict.fromkeys(Channel, range(10))) == []  # closed after 10 s


def test_trades_get_more_time_and_only_the_first_step() -> None:
    watch = StreamWatch([MNQ])
    watch.connected(0)
    steps = played(watch, 500, {Channel.QUOTES: range(500), Channel.DEPTH: range(500), Channel.TRADES: range(5)})
    assert steps == [(124, "TRADES", Step.AGAIN), (244, "TRADES", Step.AGAIN), (364, "TRADES", Step.AGAIN),
                     (484, "TRADES", Step.AGAIN)]  # fmt: skip
