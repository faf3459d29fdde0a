"""The REST interface without its socket: envelopes, codes, statuses and limits as the reference lists them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from tapebook.gateway.listings import Listing, listing
from tapebook.gateway.market import Market
from tapebook.gateway.rest import ACCOUNT, NO_ORDERS, Desk, Request
from tapebook.gateway.source import Message
from tapebook.gateway.tokens import Standing, Tokens
from tapebook.venues.projectx import codes, rest
from tests.gateway.play import ES

S = 1_000_000_000
NOW = 1_708_531_200 * S
EP = "CON.F.US.EP.H24"


class Asking:
    """A desk, and what asks it."""

    def __init__(self, listings: list[Listing] | None = None, **more: Any) -> None:
        self.market = Market()
        self.listings = listings or [listing(ES, EP, ES.tick_e9)]
        self.tokens = Tokens(3600, random.Random(1).randbytes)
        self.now_ns, self.timer_ns = NOW, 0
        self.desk = Desk(
            lambda: self.listings,
            lambda _place: self.market,
            {"me": "key"},
            self.tokens,
            now_of=lambda: self.now_ns,
            **more,
        )
        self.token = self.tokens.grant("me", NOW)

    def raw(self, path: str, body: bytes = b"", *, verb: str = "POST") -> tuple[int, bytes]:
        answer = self.desk.answer(Request(verb, path, body, self.token), self.now_ns, self.timer_ns)
        return answer.status, answer.body

    def __call__(self, path: str, **asked: Any) -> dict[str, Any]:
        status, body = self.raw(f"/api/{path}", json.dumps(asked).encode())
        assert status == 200
        told: dict[str, Any] = json.loads(body)
        assert told["success"] == (told["errorCode"] == 0)
        assert "errorMessage" in told
        return told


@pytest.fixture
def ask() -> Asking:
    return Asking(limited=False)


def test_login_takes_the_right_key_alone(ask: Asking) -> None:
    token = ask("Auth/loginKey", userName="me", apiKey="key")["token"]
    assert ask.tokens.judge(token, NOW) is Standing.GOOD
    assert len(token.split(".")) == 3
    for user, key, code in (("me", "no", 3), ("you", "key", 1)):
        told = ask("Auth/loginKey", userName=user, apiKey=key)
        assert (told["errorCode"], told["token"]) == (code, None)
    assert ask("Auth/loginApp", userName="me")["errorCode"] == codes.LoginCode.APP_NOT_FOUND


def test_validate_gives_a_new_token_and_the_old_one_stays_good(ask: Asking) -> None:
    old = ask.token
    ask.now_ns = NOW + 3000 * S
    ask.token = ask("Auth/validate")["newToken"]
    ask.now_ns = NOW + 3599 * S
    assert ask.tokens.judge(old, ask.now_ns) is Standing.GOOD
    ask.now_ns = NOW + 3600 * S
    assert ask.tokens.judge(old, ask.now_ns) is Standing.EXPIRED
    assert ask("Account/search", onlyActiveAccounts=True)["accounts"] == [ACCOUNT]


def test_after_a_logout_the_token_is_good_for_nothing(ask: Asking) -> None:
    ask("Auth/logout")
    assert ask.raw("/api/Account/search", b'{"onlyActiveAccounts":true}')[0] == 401


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é"])
def test_no_token_is_401(ask: Asking, token: str) -> None:
    ask.token = token
    assert ask.raw("/api/Contract/available", b'{"live":false}')[0] == 401


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"userName":1,"apiKey":"k"}', b'{"userName":"me"}', b"\xff\xfe", b"[" * 5000]
)
def test_a_body_that_is_none_is_400_with_a_problem(ask: Asking, body: bytes) -> None:
    status, told = ask.raw("/api/Auth/loginKey", body)
    assert status == 400
    problem = json.loads(told)
    assert problem["status"] == 400
    assert {"type", "title", "errors"} <= problem.keys()


def test_addresses_and_verbs(ask: Asking) -> None:
    assert ask.raw("/api/Status/ping", verb="GET") == (200, b"pong")
    assert ask.raw("/api/News/search")[0] == 404
    assert ask.raw("/api/Contract/available", verb="GET")[0] == 405
    assert ask.raw("/API/contract/AVAILABLE", b'{"live":true}')[0] == 200


def test_contracts_are_found_by_any_part_of_their_names(ask: Asking) -> None:
    row = {"id": EP, "name": "ESH4", "tickSize": 0.25, "tickValue": 12.5, "activeContract": True, "symbolId": "F.US.EP"}
    for text in ("ES", "esh4", "F.US.EP", "cme", ""):
        (found,) = ask("Contract/search", searchText=text, live=False)["contracts"]
        assert row.items() <= found.items()
    assert ask("Contract/search", searchText="NQ", live=False)["contracts"] == []
    assert ask("Contract/searchById", contractId=EP)["contract"] == found
    assert ask("Contract/searchById", contractId="CON.F.US.EP.Z99")["errorCode"] == 1
    assert ask("Contract/available", live=False)["contracts"] == [found]


def test_a_search_gives_at_most_20() -> None:
    many = [listing(ES, f"CON.F.US.E{i:02d}.H24", ES.tick_e9) for i in range(30)]
    ask = Asking(many, limited=False)
    assert len(ask("Contract/search", searchText="", live=False)["contracts"]) == 20
    assert len(ask("Contract/available", live=False)["contracts"]) == 30


def bars_asked(**more: Any) -> dict[str, Any]:
    asked = {"contractId": EP, "live": False, "startTime": "2024-02-21T00:00:00Z", "endTime": "2024-02-22T00:00:00Z"}
    return asked | {"unit": 2, "unitNumber": 1, "limit": 100, "includePartialBar": False} | more


def test_bars_come_newest_first_up_to_now(ask: Asking) -> None:
    for s, price in ((0, 100), (30, 102), (59, 101), (60, 99), (125, 98)):
        ask.market.apply(Message(0, 1, b"", (NOW + s * S, price * S, 2)))
    ask.now_ns = NOW + 130 * S
    first = {"t": "2024-02-21T16:00:00+00:00", "o": 100, "h": 102, "l": 100, "c": 101, "v": 6}
    second = {"t": "2024-02-21T16:01:00+00:00", "o": 99, "h": 99, "l": 99, "c": 99, "v": 2}
    told = ask("History/retrieveBars", **bars_asked())
    assert told["bars"] == [second, first]
    partial = ask("History/retrieveBars", **bars_asked(includePartialBar=True))["bars"]
    assert [bar["c"] for bar in partial] == [98, 99, 101]
    assert ask("History/retrieveBars", **bars_asked(limit=1))["bars"] == [second]
    assert ask("History/retrieveBars", **bars_asked(startTime="2024-02-21T16:01:00Z"))["bars"] == [second]
    assert ask("History/retrieveBars", **bars_asked(endTime="2024-02-21T16:01:00Z"))["bars"] == [first]
    ours = rest.answer(rest.BARS, 200, ask.raw("/api/History/retrieveBars", json.dumps(bars_asked()).encode())[1])
    assert [float(bar.c) for bar in rest.oldest_first(ours.bars)] == [101, 99]


@pytest.mark.parametrize(
    ("unit", "number", "starts"),
    [(1, 30, 3), (3, 1, 1), (4, 1, 1), (5, 1, 1), (6, 1, 1), (2, 2, 2)],
)
def test_bars_of_any_unit_sum_to_the_trades(ask: Asking, unit: int, number: int, starts: int) -> None:
    for s, price in ((0, 100), (31, 102), (130, 98)):
        ask.market.apply(Message(0, 1, b"", (NOW + s * S, price * S, 2)))
    wide = {"startTime": "2024-01-01T00:00:00Z", "includePartialBar": True}
    bars = ask("History/retrieveBars", **bars_asked(unit=unit, unitNumber=number, **wide))["bars"]
    assert len(bars) == starts
    assert sum(bar["v"] for bar in bars) == 6


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"contractId": "x"}, 1),
        ({"unit": 0}, 2),
        ({"unit": 7}, 2),
        ({"unitNumber": 0}, 3),
        ({"limit": 0}, 4),
        ({"limit": 20_001}, 4),
    ],
)
def test_bars_have_their_own_codes(ask: Asking, wrong: dict[str, Any], code: int) -> None:
    told = ask("History/retrieveBars", **bars_asked(**wrong))
    assert (told["errorCode"], told["bars"]) == (code, None)


ME = ACCOUNT["id"]


@pytest.mark.parametrize(
    ("path", "asked", "payload"),
    [
        ("Order/search", {"startTimestamp": "2024-01-01T00:00:00Z"}, "orders"),
        ("Order/searchOpen", {}, "orders"),
        ("Position/searchOpen", {}, "positions"),
        ("Trade/search", {"startTimestamp": "2024-01-01T00:00:00Z"}, "trades"),
    ],
)
def test_searches_of_an_account_are_empty(ask: Asking, path: str, asked: dict[str, Any], payload: str) -> None:
    assert ask(path, accountId=ME, **asked)[payload] == []
    assert ask(path, accountId=5, **asked)["errorCode"] == codes.AccountCode.ACCOUNT_NOT_FOUND


def test_the_second_order_query_counts_when_asked_to(ask: Asking) -> None:
    told = ask("Order/v2/query", filter={"accountId": ME, "statuses": [1, 6]}, includeTotalCount=True)
    assert (told["orders"], told["totalCount"]) == ([], 0)
    assert ask.raw("/api/Order/v2/query", b'{"accountId":1}')[0] == 400


@pytest.mark.parametrize(
    ("path", "more", "code"),
    [
        ("Order/place", {"contractId": EP, "type": 2, "side": 0, "size": 1}, codes.PlaceCode.ORDER_REJECTED),
        ("Order/modify", {"orderId": 1}, codes.ModifyCode.ORDER_NOT_FOUND),
        ("Order/cancel", {"orderId": 1}, codes.CancelCode.ORDER_NOT_FOUND),
        ("Position/closeContract", {"contractId": EP}, codes.CloseCode.POSITION_NOT_FOUND),
        ("Position/partialCloseContract", {"contractId": EP, "size": 1}, codes.PartialCloseCode.POSITION_NOT_FOUND),
    ],
)
def test_order_entry_is_refused_and_says_why(ask: Asking, path: str, more: dict[str, Any], code: int) -> None:
    told = ask(path, accountId=ME, **more)
    assert (told["errorCode"], told["errorMessage"]) == (code, NO_ORDERS)
    assert ask(path, accountId=5, **more)["errorCode"] == 1
    if "contractId" in more:
        wanted = {"Order/place": codes.PlaceCode.CONTRACT_NOT_FOUND}.get(path, codes.CloseCode.CONTRACT_NOT_FOUND)
        assert ask(path, accountId=ME, **more | {"contractId": "x"})["errorCode"] == wanted


@pytest.mark.parametrize(
    ("n", "span_s", "one"),
    [
        (50, 30, lambda ask: ask.raw("/api/History/retrieveBars", json.dumps(bars_asked()).encode())[0]),
        (200, 60, lambda ask: ask.raw("/api/Contract/available", b"{}")[0]),
    ],
)
def test_over_the_rate_limit_is_429_until_the_window_slid_on(n: int, span_s: int, one: Callable[[Asking], int]) -> None:
    ask = Asking()
    for i in range(n):
        ask.timer_ns = i * S // 10
        assert one(ask) == 200
    ask.timer_ns = span_s * S - 1
    assert one(ask) == 429
    ask.timer_ns = span_s * S
    assert one(ask) == 200
    assert one(ask) == 429
    assert ask.raw("/api/Status/ping", verb="GET")[0] == 200
