"""What the user hub says of accounts, orders, positions and trades, typed; pure.

The data come wrapped, ``{"action": 1, "data": {…}}``; by the documentation they come bare. Both are read. ``action`` is
kept and decides nothing: a position is closed when its size is 0, an order is done when its status says so.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from tapebook.venues.projectx import wire
from tapebook.venues.signalr import UNREADABLE, Malformed, RecordType, decode

__all__ = ["UserEvent", "UserItem", "read_user_event"]

UserItem: TypeAlias = wire.Account | wire.Order | wire.Position | wire.UserTrade

_TYPES: Final[dict[str, type[UserItem]]] = {
    "GatewayUserAccount": wire.Account,
    "GatewayUserOrder": wire.Order,
    "GatewayUserPosition": wire.Position,
    "GatewayUserTrade": wire.UserTrade,
}


class UserEvent(NamedTuple):
    """One thing that the hub told; ``action`` is -1 where it came bare."""

    item: UserItem
    action: int


def read_user_event(raw: bytes) -> UserEvent | Malformed | None:
    """Read one record, without its separator; None where it is no event of an account. Never raises.

    >>> raw = b'{"type":1,"target":"GatewayUserPosition","arguments":[{"action":2,"data":'
    >>> raw += b'{"id":9,"accountId":1,"contractId":"CON.F.US.MNQ.U26","type":0,"size":0}}]}'
    >>> event = read_user_event(raw)
    >>> event.item.size, event.action
    (0, 2)
    """
    record = decode(raw)
    if isinstance(record, Malformed):
        return record
    kind = _TYPES.get(record.target or "")
    if record.type != RecordType.INVOCATION or kind is None:
        return None
    if not record.arguments:
        return Malformed("an event without arguments", "none", raw)
    try:
        data, action = _unwrapped(record.arguments[-1])
        return UserEvent(msgspec.json.decode(data, type=kind), action)
    except UNREADABLE as error:
        return Malformed(f"a {record.target} that cannot be read", str(error), raw)


def _unwrapped(raw: Raw) -> tuple[Raw, int]:
    try:
        wrapped = wire.wrapped(raw)
    except msgspec.ValidationError:
        return raw, -1
    return wrapped.data, wrapped.action
