"""ProjectX's REST interface, the server's side, without a socket: requests in, answers out.

What the interface refuses it answers with HTTP 200, ``success`` false and the endpoint's own code. HTTP 401 is a token
that is none, 400 a body that is none (RFC 7807), 429 the rate limit, 404 and 405 a wrong address or verb. Order entry
is not there yet: its endpoints check what they can and refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hmac import compare_digest
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from tapebook.gateway.figures import price_text, time_text
from tapebook.gateway.listings import Listing
from tapebook.gateway.market import UNIT_S, Bar, Market
from tapebook.gateway.tokens import Standing, Tokens
from tapebook.venues.limits import Window
from tapebook.venues.projectx import codes
from tapebook.venues.projectx.figures import time_ns
from tapebook.venues.projectx.rest import BARS_MAX, BarUnit
from tapebook.venues.signalr import UNREADABLE

__all__ = ["ACCOUNT", "SEARCH_MAX", "Answer", "Desk", "Request"]

SEARCH_MAX: Final = 20
ACCOUNT: Final = {
    "id": 1001,
    "name": "PRAC-GATEWAY-1001",
    "balance": 50000,
    "canTrade": True,
    "isVisible": True,
    "simulated": True,
}
NO_ORDERS: Final = "Order entry is not there yet in this gateway."
_PROBLEM: Final = "https://tools.ietf.org/html/rfc9110#section-15.5.1"


class Request(NamedTuple):
    """One request."""

    verb: str
    path: str
    body: bytes
    token: str


class Answer(NamedTuple):
    """What is answered."""

    status: int
    body: bytes = b""
    kind: str = "application/json; charset=utf-8"


class _Nothing(Struct):
    pass


class _LoginKey(Struct):
    userName: str  # noqa: N815 - the venue's name, as all of these
    apiKey: str  # noqa: N815


class _LoginApp(Struct):
    userName: str  # noqa: N815
    password: str = ""
    deviceId: str = ""  # noqa: N815
    appId: str = ""  # noqa: N815
    verifyKey: str = ""  # noqa: N815


class _Accounts(Struct):
    onlyActiveAccounts: bool = False  # noqa: N815


class _Search(Struct):
    searchText: str = ""  # noqa: N815
    live: bool = False


class _ById(Struct):
    contractId: str  # noqa: N815


class _Available(Struct):
    live: bool = False


class _Bars(Struct):
    contractId: str  # noqa: N815
    live: bool
    startTime: str  # noqa: N815
    endTime: str  # noqa: N815
    unit: int
    unitNumber: int  # noqa: N815
    limit: int
    includePartialBar: bool = False  # noqa: N815


class _OfAccount(Struct):
    accountId: int  # noqa: N815


class _Query(Struct):
    filter: _OfAccount
    includeTotalCount: bool = False  # noqa: N815


class _Order(_OfAccount):
    orderId: int = 0  # noqa: N815


class _Place(_OfAccount):
    contractId: str  # noqa: N815
    type: int
    side: int
    size: int


class _Position(_OfAccount):
    contractId: str  # noqa: N815


_Handler = Callable[["Desk", Any, Request, int], bytes]


class Desk:
    """Answers requests.

    Parameters
    ----------
    listings, market_of
        What there is to search, and what was traded.
    users
        API keys by user name.
    tokens
        Who may ask.
    limited
        Whether the venue's rate limits hold.
    """

    def __init__(
        self,
        listings: Callable[[], Sequence[Listing]],
        market_of: Callable[[int], Market | None],
        users: Mapping[str, str],
        tokens: Tokens,
        *,
        limited: bool = True,
        now_of: Callable[[], int] = lambda: 0,
    ) -> None:
        self.listings, self.market_of, self.now_of = listings, market_of, now_of
        self.users, self.tokens = users, tokens
        self.bars = Window(50, 30, share=1) if limited else None
        self.others = Window(200, 60, share=1) if limited else None
        self.throttled_until_ns = 0
        self.counts: dict[str, int] = {}

    def answer(self, request: Request, now_ns: int, timer_ns: int) -> Answer:
        """Answer a request; ``now_ns`` is the wall clock's, ``timer_ns`` a clock's that does not jump."""
        path = request.path.lower().rstrip("/")
        if path == "/api/status/ping":
            return Answer(200, b"pong", "text/plain; charset=utf-8") if request.verb == "GET" else Answer(405)
        if path not in _ENDPOINTS:
            return Answer(404)
        if request.verb != "POST":
            return Answer(405)
        name, shape, handler = _ENDPOINTS[path]
        self._count(name)
        window = self.bars if handler is _retrieve_bars else self.others
        if timer_ns < self.throttled_until_ns or (window is not None and window.take(timer_ns)):
            self._count("HTTP 429")
            return Answer(429)
        if handler not in _OPEN and self.tokens.judge(request.token, now_ns) is not Standing.GOOD:
            self._count("HTTP 401")
            return Answer(401)
        try:
            asked = msgspec.json.decode(request.body or b"{}", type=shape) if shape is not _Nothing else None
        except UNREADABLE as error:
            self._count("HTTP 400")
            return _problem(str(error))
        return Answer(200, handler(self, asked, request, now_ns))

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def place_of(self, contract: str) -> int:
        """Return the place of a contract; -1 where there is none."""
        return next((i for i, one in enumerate(self.listings()) if one.id == contract), -1)


def _problem(detail: str) -> Answer:
    body = {
        "type": _PROBLEM,
        "title": "One or more validation errors occurred.",
        "status": 400,
        "errors": {"$": [detail]},
    }
    return Answer(400, msgspec.json.encode(body), "application/problem+json; charset=utf-8")


def _told(payload: Mapping[str, Any], code: int = 0, message: str | None = None) -> bytes:
    return msgspec.json.encode({**payload, "success": code == 0, "errorCode": int(code), "errorMessage": message})


def _login_key(desk: Desk, asked: _LoginKey, _request: Request, now_ns: int) -> bytes:
    key = desk.users.get(asked.userName)
    if key is None:
        return _told({"token": None}, codes.LoginCode.USER_NOT_FOUND)
    if not compare_digest(key.encode(), asked.apiKey.encode("utf-8", "replace")):
        return _told({"token": None}, codes.LoginCode.INVALID_CREDENTIALS)
    return _told({"token": desk.tokens.grant(asked.userName, now_ns)})


def _login_app(_desk: Desk, _asked: _LoginApp, _request: Request, _now_ns: int) -> bytes:
    return _told({"token": None}, codes.LoginCode.APP_NOT_FOUND)


def _validate(desk: Desk, _asked: None, request: Request, now_ns: int) -> bytes:
    user = desk.tokens.claims(request.token)["sub"]
    return _told({"newToken": desk.tokens.grant(user, now_ns)})


def _logout(desk: Desk, _asked: None, request: Request, _now_ns: int) -> bytes:
    desk.tokens.end(request.token)
    return _told({})


def _accounts(_desk: Desk, _asked: _Accounts, _request: Request, _now_ns: int) -> bytes:
    return _told({"accounts": [ACCOUNT]})


def _search(desk: Desk, asked: _Search, _request: Request, _now_ns: int) -> bytes:
    text = asked.searchText.strip().lower()
    found = [
        one.row()
        for one in desk.listings()
        if text in one.id.lower() or text in one.name.lower() or text in one.description.lower()
    ]
    return _told({"contracts": found[:SEARCH_MAX]})


def _by_id(desk: Desk, asked: _ById, _request: Request, _now_ns: int) -> bytes:
    place = desk.place_of(asked.contractId)
    if place < 0:
        return _told({"contract": None}, codes.ContractCode.CONTRACT_NOT_FOUND)
    return _told({"contract": desk.listings()[place].row()})


def _available(desk: Desk, _asked: _Available, _request: Request, _now_ns: int) -> bytes:
    return _told({"contracts": [one.row() for one in desk.listings()]})


def _retrieve_bars(desk: Desk, asked: _Bars, _request: Request, _now_ns: int) -> bytes:
    nothing: dict[str, Any] = {"bars": None}
    place = desk.place_of(asked.contractId)
    if place < 0:
        return _told(nothing, codes.BarsCode.CONTRACT_NOT_FOUND)
    if asked.unit not in (*UNIT_S, BarUnit.MONTH):
        return _told(nothing, codes.BarsCode.UNIT_INVALID)
    if asked.unitNumber < 1:
        return _told(nothing, codes.BarsCode.UNIT_NUMBER_INVALID)
    if not 1 <= asked.limit <= BARS_MAX:
        return _told(nothing, codes.BarsCode.LIMIT_INVALID)
    start, end = time_ns(asked.startTime), time_ns(asked.endTime)
    market = desk.market_of(place)
    if start is None or end is None or market is None:
        return _told({"bars": []})
    unit = BarUnit(asked.unit)
    bars = [bar for bar in market.bars(unit, asked.unitNumber) if start <= bar.start_s * 10**9 < end]
    if bars and not asked.includePartialBar and unit in UNIT_S:
        span_s = UNIT_S[unit] * asked.unitNumber
        if (bars[-1].start_s + span_s) * 10**9 > desk.now_of():
            bars.pop()  # it is not complete yet
    newest = bars[: -asked.limit - 1 : -1]
    return _told({"bars": [_bar(bar) for bar in newest]})


def _bar(bar: Bar) -> dict[str, Any]:
    prices = {
        name: msgspec.Raw(price_text(p).encode())
        for name, p in zip("ohlc", (bar.open, bar.high, bar.low, bar.close), strict=True)
    }
    return {"t": time_text(bar.start_s * 10**9), **prices, "v": bar.volume}


def _of_account(payload: Mapping[str, Any]) -> _Handler:
    def handle(_desk: Desk, asked: Any, _request: Request, _now_ns: int) -> bytes:
        account = asked.filter.accountId if isinstance(asked, _Query) else asked.accountId
        if account != ACCOUNT["id"]:
            return _told(dict.fromkeys(payload), codes.AccountCode.ACCOUNT_NOT_FOUND)
        more = {"totalCount": 0} if isinstance(asked, _Query) and asked.includeTotalCount else {}
        return _told({**payload, **more})

    return handle


def _refuses(code: int, payload: Mapping[str, Any], message: str | None, contract_code: int = 0) -> _Handler:
    def handle(desk: Desk, asked: Any, _request: Request, _now_ns: int) -> bytes:
        if asked.accountId != ACCOUNT["id"]:
            return _told(payload, codes.AccountCode.ACCOUNT_NOT_FOUND)
        if contract_code and desk.place_of(asked.contractId) < 0:
            return _told(payload, contract_code)
        return _told(payload, code, message)

    return handle


def _by_order(_desk: Desk, _asked: _Order, _request: Request, _now_ns: int) -> bytes:
    return _told({"order": None}, codes.OrderCode.ORDER_NOT_FOUND)


_OPEN: Final = (_login_key, _login_app)
_CLOSE: Final = codes.CloseCode
_ENDPOINTS: Final[dict[str, tuple[str, type, _Handler]]] = {
    f"/api/{name}".lower(): (name, shape, handler)
    for name, shape, handler in (
        ("Auth/loginKey", _LoginKey, _login_key),
        ("Auth/loginApp", _LoginApp, _login_app),
        ("Auth/validate", _Nothing, _validate),
        ("Auth/logout", _Nothing, _logout),
        ("Account/search", _Accounts, _accounts),
        ("Contract/search", _Search, _search),
        ("Contract/searchById", _ById, _by_id),
        ("Contract/available", _Available, _available),
        ("History/retrieveBars", _Bars, _retrieve_bars),
        ("Order/search", _OfAccount, _of_account({"orders": []})),
        ("Order/searchOpen", _OfAccount, _of_account({"orders": []})),
        ("Order/v2/query", _Query, _of_account({"orders": []})),
        ("Order/searchById", _Order, _by_order),
        ("Position/searchOpen", _OfAccount, _of_account({"positions": []})),
        ("Trade/search", _OfAccount, _of_account({"trades": []})),
        (
            "Order/place",
            _Place,
            _refuses(codes.PlaceCode.ORDER_REJECTED, {"orderId": None}, NO_ORDERS, codes.PlaceCode.CONTRACT_NOT_FOUND),
        ),
        ("Order/modify", _Order, _refuses(codes.ModifyCode.ORDER_NOT_FOUND, {}, NO_ORDERS)),
        ("Order/cancel", _Order, _refuses(codes.CancelCode.ORDER_NOT_FOUND, {}, NO_ORDERS)),
        (
            "Position/closeContract",
            _Position,
            _refuses(_CLOSE.POSITION_NOT_FOUND, {}, NO_ORDERS, _CLOSE.CONTRACT_NOT_FOUND),
        ),
        (
            "Position/partialCloseContract",
            _Position,
            _refuses(_CLOSE.POSITION_NOT_FOUND, {}, NO_ORDERS, _CLOSE.CONTRACT_NOT_FOUND),
        ),
    )
}
