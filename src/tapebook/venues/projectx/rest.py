"""ProjectX's REST interface without a socket: typed requests, typed answers, typed refusals, and its rate limits.

Every endpoint takes ``POST`` with JSON. What it refuses it answers with HTTP 200, ``success`` false and a code of its
own (:mod:`tapebook.venues.projectx.codes`): the body decides, not the status.

What reads is here. What sends, changes or cancels orders is not: it belongs to a module of its own (``orders.py``),
which takes nothing that was not reviewed for risk.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from tapebook.market.errors import VenueDenied, VenueProtocolError, VenueRefused, VenueThrottled, VenueUnreachable
from tapebook.venues.credentials import masked
from tapebook.venues.limits import Window
from tapebook.venues.projectx import codes, wire
from tapebook.venues.projectx.contracts import Contract
from tapebook.venues.signalr import UNREADABLE

__all__ = ["Bar", "BarUnit", "Denied", "Endpoint", "Limits", "Refused", "answer", "body", "oldest_first"]

BARS_MAX: Final = 20_000
"""Bars that one request gives at most."""


class BarUnit(IntEnum):
    """What a bar's length counts; 0 and 7 are not in the documentation."""

    UNSPECIFIED = 0
    SECOND = 1
    MINUTE = 2
    HOUR = 3
    DAY = 4
    WEEK = 5
    MONTH = 6
    TICK = 7


class Answer(Struct, frozen=True, kw_only=True):
    """What every answer has: ``{"success":true,"errorCode":0,"errorMessage":null}``."""

    success: bool
    errorCode: int = 0  # noqa: N815 - the venue's name, as all of these
    errorMessage: str | None = None  # noqa: N815


class LoginAnswer(Answer, frozen=True, kw_only=True):
    """``{"token":"…","success":true,"errorCode":0,"errorMessage":null}``."""

    token: str | None = None

    def __repr__(self) -> str:
        return f"LoginAnswer(success={self.success})"


class ValidateAnswer(Answer, frozen=True, kw_only=True):
    """``{"newToken":"…","success":true,"errorCode":0,"errorMessage":null}``."""

    newToken: str | None = None  # noqa: N815

    def __repr__(self) -> str:
        return f"ValidateAnswer(success={self.success})"


class AccountsAnswer(Answer, frozen=True, kw_only=True):
    """``Account/search``."""

    accounts: list[wire.Account] = []


class ContractsAnswer(Answer, frozen=True, kw_only=True):
    """``Contract/search`` (at most 20, no paging) and ``Contract/available``."""

    contracts: list[Contract] = []


class ContractAnswer(Answer, frozen=True, kw_only=True):
    """``Contract/searchById``."""

    contract: Contract | None = None


class Bar(Struct, frozen=True):
    """A bar; ``t`` is its start: ``{"t":"2026-08-19T20:51:00+00:00","o":1,"h":2,"l":1,"c":2,"v":7}``."""

    t: str
    o: Decimal
    h: Decimal
    l: Decimal  # noqa: E741 - the venue's name
    c: Decimal
    v: int


class BarsAnswer(Answer, frozen=True, kw_only=True):
    """``History/retrieveBars``: newest first, and where there are more than the limit the newest of them."""

    bars: list[Bar] = []


class OrdersAnswer(Answer, frozen=True, kw_only=True):
    """``Order/search``, ``Order/searchOpen`` (status 1 alone: no waiting bracket legs), ``Order/v2/query``."""

    orders: list[wire.Order] = []
    totalCount: int | None = None  # noqa: N815


class OrderAnswer(Answer, frozen=True, kw_only=True):
    """``Order/searchById``."""

    order: wire.Order | None = None


class PositionsAnswer(Answer, frozen=True, kw_only=True):
    """``Position/searchOpen``: one row a contract."""

    positions: list[wire.Position] = []


class TradesAnswer(Answer, frozen=True, kw_only=True):
    """``Trade/search``."""

    trades: list[wire.UserTrade] = []


A = TypeVar("A", bound=Answer)


@dataclass(frozen=True)
class Endpoint(Generic[A]):
    """One place to ask.

    Attributes
    ----------
    fields
        Names that a request may carry; those with ``?`` may be left out.
    """

    path: str
    answer: type[A]
    codes: type[IntEnum]
    fields: tuple[str, ...] = ()
    with_token: bool = True
    login: bool = False  # a refusal is about who asks


LOGIN_KEY: Final = Endpoint(
    "/api/Auth/loginKey", LoginAnswer, codes.LoginCode, ("userName", "apiKey"), with_token=False, login=True
)
VALIDATE: Final = Endpoint("/api/Auth/validate", ValidateAnswer, codes.ValidateCode, login=True)
LOGOUT: Final = Endpoint("/api/Auth/logout", Answer, codes.LogoutCode)
ACCOUNTS: Final = Endpoint("/api/Account/search", AccountsAnswer, codes.NoCode, ("onlyActiveAccounts",))
CONTRACTS: Final = Endpoint("/api/Contract/search", ContractsAnswer, codes.NoCode, ("searchText", "live"))
CONTRACT: Final = Endpoint("/api/Contract/searchById", ContractAnswer, codes.ContractCode, ("contractId",))
AVAILABLE: Final = Endpoint("/api/Contract/available", ContractsAnswer, codes.NoCode, ("live",))
BARS: Final = Endpoint(
    "/api/History/retrieveBars",
    BarsAnswer,
    codes.BarsCode,
    ("contractId", "live", "startTime", "endTime", "unit", "unitNumber", "limit", "includePartialBar"),
)
_SPAN: Final = ("accountId", "startTimestamp", "endTimestamp?")
ORDERS: Final = Endpoint("/api/Order/search", OrdersAnswer, codes.AccountCode, _SPAN)
OPEN_ORDERS: Final = Endpoint("/api/Order/searchOpen", OrdersAnswer, codes.AccountCode, ("accountId",))
ORDER: Final = Endpoint("/api/Order/searchById", OrderAnswer, codes.OrderCode, ("accountId", "orderId"))
QUERY_ORDERS: Final = Endpoint(
    "/api/Order/v2/query",
    OrdersAnswer,
    codes.AccountCode,
    ("filter", "pageSize?", "pageOffset?", "sortBy?", "sortDirection?", "includeTotalCount?"),
)
POSITIONS: Final = Endpoint("/api/Position/searchOpen", PositionsAnswer, codes.AccountCode, ("accountId",))
TRADES: Final = Endpoint("/api/Trade/search", TradesAnswer, codes.AccountCode, _SPAN)


class Refused(VenueRefused):
    """An endpoint refused; ``code`` is a member of the endpoint's own enumeration, or a number it does not have yet."""

    def __init__(self, message: str, *, endpoint: str, code: int, found: str = "", remedy: str = "") -> None:
        self.endpoint = endpoint
        self.code = code
        super().__init__(message, found=found, where=endpoint, remedy=remedy)


class Denied(Refused, VenueDenied):
    """The same, where the refusal is about who asks."""


_REMEDIES: Final = {
    codes.LoginCode.USER_NOT_FOUND: "the user name is the platform's, not the e-mail address",
    codes.LoginCode.INVALID_CREDENTIALS: "check the user name (the platform's, not the e-mail address) and the API key",
    codes.LoginCode.AGREEMENTS_NOT_SIGNED: "sign the agreements on the platform",
    codes.LoginCode.API_SUBSCRIPTION_NOT_FOUND: "subscribe to API access, and link the account to it",
    codes.LoginCode.API_KEY_AUTHENTICATION_DISABLED: "allow API keys in the platform's settings",
}


def body(endpoint: Endpoint[Any], **values: object) -> bytes:
    """Return a request's JSON; a name that the endpoint does not have is a mistake of ours and not sent.

    >>> body(CONTRACTS, searchText="ES", live=False)
    b'{"searchText":"ES","live":false}'
    """
    allowed = {name.rstrip("?") for name in endpoint.fields}
    needed = {name for name in endpoint.fields if not name.endswith("?")}
    assert needed <= set(values) <= allowed, f"{endpoint.path} takes {endpoint.fields}, not {sorted(values)}"
    return msgspec.json.encode(values) if endpoint.fields else b""


def answer(endpoint: Endpoint[A], status: int, content: bytes) -> A:
    """Return what an endpoint answered.

    Raises
    ------
    Refused, Denied
        If it said no; ``code`` says why. HTTP 401 is a Denied with the code -1, HTTP 400 a Refused with -1.
    VenueThrottled
        On HTTP 429.
    VenueUnreachable
        On HTTP 5xx: what became of the request is unknown.
    VenueProtocolError
        If the answer is none of the endpoint's.
    """
    where = endpoint.path
    if status == 401:
        raise Denied("the token is not accepted", endpoint=where, code=-1, found="HTTP 401")
    if status == 429:
        raise VenueThrottled("too many requests", found="HTTP 429", where=where)
    if status >= 500:
        raise VenueUnreachable("the venue has an outage", found=f"HTTP {status}", where=where)
    if status == 400:
        raise Refused("the request is malformed", endpoint=where, code=-1, found=f"HTTP 400 {_brief(content)}")
    if status != 200:
        raise VenueProtocolError("an unexpected status", expected="HTTP 200", found=f"HTTP {status}", where=where)
    try:
        result = msgspec.json.decode(content, type=endpoint.answer)
    except UNREADABLE as error:
        # A refusal may leave the payload out, or hold null in its place.
        try:
            plain = msgspec.json.decode(content, type=Answer)
        except UNREADABLE:
            plain = None
        if plain is None or plain.success:
            raise VenueProtocolError("not an answer of this endpoint", found=str(error), where=where) from None
        raise _refusal(endpoint, plain) from None
    if not result.success:
        raise _refusal(endpoint, result)
    return result


def oldest_first(bars: list[Bar]) -> list[Bar]:
    """Return bars in the order of time: the venue sends the newest first.

    >>> one, two = (Bar(t, *[Decimal(1)] * 4, 1) for t in ("2026-08-19T20:51:00+00:00", "2026-08-19T20:52:00+00:00"))
    >>> oldest_first([two, one]) == [one, two]
    True
    """
    return bars[::-1]


class Limits:
    """The venue's rate limits, kept on our side: bars have a window of their own, all else shares one.

    >>> limits = Limits()
    >>> limits.of(BARS) is limits.of(ACCOUNTS), limits.of(LOGIN_KEY) is limits.of(ACCOUNTS)
    (False, True)
    """

    def __init__(self, share: float = 0.85) -> None:
        self.bars = Window(50, 30, share=share)
        self.others = Window(200, 60, share=share)

    def of(self, endpoint: Endpoint[Any]) -> Window:
        """Return the window that a request to an endpoint has to pass."""
        return self.bars if endpoint is BARS else self.others


def _refusal(endpoint: Endpoint[Any], told: Answer) -> Refused:
    code: int = told.errorCode
    name = f"error {code}"
    if code in set(endpoint.codes):
        code = endpoint.codes(code)
        name = code.name.replace("_", " ").lower()
    kind = Denied if endpoint.login else Refused
    found = masked(told.errorMessage or "")[:200]
    return kind(f"refused: {name}", endpoint=endpoint.path, code=code, found=found, remedy=_remedy(endpoint, code))


def _remedy(endpoint: Endpoint[Any], code: int) -> str:
    return _REMEDIES.get(code, "") if endpoint.codes is codes.LoginCode and isinstance(code, codes.LoginCode) else ""


def _brief(content: bytes) -> str:
    try:
        problem = msgspec.json.decode(content)
    except UNREADABLE:
        problem = None
    title = problem.get("title") if isinstance(problem, dict) else None
    return masked(title if isinstance(title, str) else "")[:200]
