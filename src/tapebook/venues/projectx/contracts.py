"""Contracts: which instrument of ours a contract of ProjectX is.

A contract id, ``CON.F.US.MNQ.U26``, is made of the data vendor's root (often not the exchange's), the month and the
year; it is looked up with ``Contract/search``, never put together. The catalogue knows the roots; where the venue tells
a tick of its own, that one holds, since it is what prices on this wire lie on.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from tapebook.market.catalog import instrument_for
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.symbols import parse_contract

__all__ = ["VENUE", "Contract", "ContractMap", "instrument_of"]

VENUE: Final = "PROJECTX"
"""The catalogue's alias for the exchange whose contracts these are (CME)."""


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract as the venue describes it.

    ``{"id":"CON.F.US.MNQ.U26","name":"MNQU6","description":"Micro E-mini Nasdaq-100: September 2026","tickSize":0.25,``
    ``"tickValue":0.5,"activeContract":true,"symbolId":"F.US.MNQ"}``
    """

    id: str
    name: str = ""
    description: str = ""
    tickSize: Decimal = Decimal(0)  # noqa: N815 - the venue's name, as all of these
    tickValue: Decimal = Decimal(0)  # noqa: N815
    activeContract: bool | None = None  # noqa: N815
    symbolId: str | None = None  # noqa: N815


def instrument_of(contract: Contract | str) -> Instrument:
    """Return the instrument of a contract, or of a contract id alone.

    Raises
    ------
    ConfigurationError
        If the venue's tick is not a positive multiple of 1e-9.

    Examples
    --------
    >>> es = instrument_of("CON.F.US.EP.U26")
    >>> es.symbol, es.venue, es.tick
    ('ESU6', 'CME', Decimal('0.25'))
    >>> instrument_of(Contract(id="CON.F.US.XYZ.U26", tickSize=Decimal("0.1"), tickValue=Decimal("5"))).multiplier
    Decimal('5E+1')
    """
    if isinstance(contract, str):
        contract = Contract(id=contract)
    known = instrument_for(contract.id, VENUE, kind="future")
    if not contract.tickSize:
        return known
    tick = contract.tickSize * PRICE_SCALE
    if tick <= 0 or tick != int(tick):
        raise ConfigurationError(
            "not a tick",
            expected="a positive multiple of 1e-9",
            found=str(contract.tickSize),
            where=f"contract {contract.id}",
        )
    if known.tick_e9 == int(tick):
        return known
    made = msgspec.structs.replace(known, tick_e9=int(tick))
    if known.tick_e9 == 0 and contract.tickValue > 0:  # the catalogue knows nothing of it
        made = msgspec.structs.replace(made, multiplier=(contract.tickValue / contract.tickSize).normalize())
    return made


class ContractMap:
    """From a name that the venue uses for a contract to the contract's place in the order of subscription.

    Some messages carry a short name instead of the id (``MNQU26``, ``MNQU6``). A short name counts only while one
    contract alone has it.

    Examples
    --------
    >>> contracts = ContractMap(["CON.F.US.MNQ.U26", "CON.F.US.EP.U26"])
    >>> contracts.find("CON.F.US.EP.U26"), contracts.find("MNQU6"), contracts.find("ESU6"), contracts.find("NQU6")
    (1, 0, 1, -1)
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self.ids: list[str] = []
        self._place: dict[str, int] = {}
        for contract_id in ids:
            self.add(contract_id)

    def add(self, contract_id: str, name: str = "") -> int:
        """Return the place of a contract, giving it the next one if it is new; ``name`` is the venue's short name."""
        if contract_id in self.ids:
            return self.ids.index(contract_id)
        place = len(self.ids)
        self.ids.append(contract_id)
        self._place[contract_id] = place
        for short in _short_names(contract_id) | ({name} if name else set()):
            if short not in self.ids:
                self._place[short] = place if short not in self._place else -1
        return place

    def find(self, name: str | None) -> int:
        """Return a contract's place; -1 where the name is nobody's, or several contracts'."""
        return -1 if name is None else self._place.get(name, -1)

    def __len__(self) -> int:
        return len(self.ids)


def _short_names(contract_id: str) -> set[str]:
    parts = contract_id.split(".")
    if len(parts) != 5 or parse_contract(contract_id) is None or len(parts[4]) != 3:
        return set()
    root, month, year = parts[3], parts[4][0], parts[4][1:]
    names = {f"{root}{month}{year}", f"{root}{month}{year[1:]}"}
    exchange = instrument_for(contract_id, VENUE, kind="future").root
    if exchange and "." not in exchange:
        names |= {f"{exchange}{month}{year}", f"{exchange}{month}{year[1:]}"}
    return names
