"""Futures symbols: what a vendor's spelling says, before anybody knows whether the product exists.

Every vendor spells a contract in its own way. :func:`parse_contract` reads the spelling alone and gives back root,
month and year; which product a root is, and what it is worth, is the catalogue's business
(:mod:`tapebook.market.catalog`). The spellings:

=============================== ========================================= =====================
``ESH4``, ``ESH24``, ``ESH2024`` exchange: root, month code, year          CME, B3 (``WINQ26``)
``CON.F.US.EP.H24``             ProjectX contract id, its own roots       dated
``F.US.EP``                     ProjectX symbol id                        product
``F.US.EPH24``                  CQG (and Sierra Chart on a CQG feed)      dated
``ESH24-CME``, ``ESH24_FUT_CME``  Sierra Chart, with or without ``.scid``   dated
``@ESH24``, ``@ES#``            IQFeed                                    dated, continuous
``/ESH24``                      thinkorswim                               dated
``ES 03-24``, ``ES ##-##``      NinjaTrader                               dated, continuous
``ES.c.0``, ``ES.FUT``          Databento                                 continuous, product
``ES1!``, ``ES=F``              TradingView, Yahoo                        continuous
``WIN$N``, ``WIN@``, ``WINFUT`` MetaTrader 5 and Profit on B3             continuous
=============================== ========================================= =====================

The rule for one-digit years. ``ESH4`` is March of 2014, 2024 or 2034. With a reference time (when the symbol was in
use: the first event of the file) it is the first such March that is at most :data:`EXPIRED_MONTHS_MAX` months before
it: a symbol that trades is not long expired, and hardly any future is listed ten years ahead. Without a reference the
year stays 0 and the expiry empty; it is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

import msgspec
import numpy as np

from tapebook.market.events import MISSING

MONTH_CODES: Final = "FGHJKMNQUVXZ"
"""January to December in every futures market's letters."""

EXPIRED_MONTHS_MAX: Final = 3
"""How long after its contract month a one-digit year still means the past contract."""

_ROOT = r"(?P<root>[A-Z0-9]{1,5}?)"
_MONTH = rf"(?P<month>[{MONTH_CODES}])"
_YEAR = r"(?P<year>\d{4}|\d{1,2})"
_EXCHANGE = r"(?P<exchange>[A-Z][A-Z_]{1,9})"
_FILE = r"(?:\.(?:SCID|DEPTH))?"

_DATED: Final = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"CON\.F\.(?:US|[A-Z]{{2,3}})\.{_ROOT}\.{_MONTH}{_YEAR}",
        rf"F\.[A-Z]{{2,3}}\.{_ROOT}{_MONTH}{_YEAR}{_FILE}",
        rf"[@/]?{_ROOT}{_MONTH}{_YEAR}(?:[-:]{_EXCHANGE}|_FUT_{_EXCHANGE.replace('exchange', 'exchange2')})?{_FILE}",
        rf"{_ROOT} (?P<number>\d\d)-{_YEAR}",
    )
)
_CONTINUOUS: Final = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"{_ROOT}(?P<how>\.[CVN]\.\d+)",
        rf"@{_ROOT}(?P<how>#C?)",
        rf"{_ROOT} (?P<how>##-##)",
        rf"{_ROOT}(?P<how>\d!)",
        rf"{_ROOT}(?P<how>=F)",
        r"(?P<root>[A-Z]{3})(?P<how>[$@][ND]?)",
        r"(?P<root>[A-Z]{3})(?P<how>FUT)",
    )
)
_PRODUCT: Final = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"F\.[A-Z]{{2,3}}\.{_ROOT}",
        rf"{_ROOT}\.FUT",
        rf"/{_ROOT}",
    )
)


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What a futures symbol says of itself.

    Attributes
    ----------
    root
        Product as this vendor calls it (``ES``; ``EP`` on ProjectX and CQG).
    month
        1 to 12; 0 where the symbol names no contract month (continuous series, whole products).
    year
        Four digits; 0 where unknown (see the module's rule for one-digit years) or none.
    exchange
        Exchange named by the symbol itself, else empty.
    continuation
        How a continuous series is spelled (``.C.0``, ``$N``, ``#``), else empty.
    year_text
        The digits as they were written (``4``, ``24``, ``2024``).

    Examples
    --------
    >>> parse_contract("CON.F.US.MNQ.M25").expiry
    '2025-06'
    """

    root: str
    month: int = 0
    year: int = 0
    exchange: str = ""
    continuation: str = ""
    year_text: str = ""

    @property
    def expiry(self) -> str:
        """``YYYY-MM`` of the contract month; empty where month or year are unknown."""
        return f"{self.year:04d}-{self.month:02d}" if self.year and self.month else ""

    def code(self, root: str = "", *, year_digits: int = 1) -> str:
        """Spell a dated contract as an exchange does: root, month code, last digits of the year.

        Where fewer digits are known than asked for, the known ones stand.

        >>> parse_contract("ESH2024").code(), parse_contract("WINQ26").code(year_digits=2)
        ('ESH4', 'WINQ26')
        >>> parse_contract("ESH4").code(year_digits=2)
        'ESH4'
        """
        digits = f"{self.year:04d}" if self.year else self.year_text
        return f"{root or self.root}{MONTH_CODES[self.month - 1]}{digits[-year_digits:]}"


def parse_contract(text: str, on_ns: int | None = None, *, roots: Container[str] | None = None) -> Contract | None:
    """Read a futures symbol in any of the spellings above; None where it is none of them.

    Parameters
    ----------
    text
        The symbol, in any case, or a Sierra Chart file name.
    on_ns
        When the symbol was in use (ns UTC; None or MISSING: not known); decides the decade of one-digit years.
    roots
        Products that exist: readings with another root are passed over. ``F.US.EU6`` is the euro if ``EU6`` is among
        them, and otherwise September 2026 of a product ``E``.

    Examples
    --------
    >>> contract = parse_contract("ESH24-CME.scid")
    >>> contract.root, contract.expiry, contract.exchange
    ('ES', '2024-03', 'CME')
    >>> parse_contract("F.US.EU6", roots={"EU6"})
    Contract(root='EU6', month=0, year=0, exchange='', continuation='', year_text='')
    >>> parse_contract("AMZN") is None
    True
    """
    symbol = text.strip().upper()
    for pattern in (*_DATED, *_CONTINUOUS, *_PRODUCT):
        match = pattern.fullmatch(symbol)
        if match is None or (roots is not None and match["root"] not in roots):
            continue
        found = match.groupdict()
        if "year" not in found:
            return Contract(root=found["root"], continuation=found.get("how", ""))
        month = int(found["number"]) if found.get("number") else MONTH_CODES.index(found["month"]) + 1
        if not 1 <= month <= 12:
            continue
        return Contract(
            root=found["root"],
            month=month,
            year=full_year(found["year"], month, on_ns),
            exchange=found.get("exchange") or found.get("exchange2") or "",
            year_text=found["year"],
        )
    return None


def full_year(digits: str, month: int, on_ns: int | None = None) -> int:
    """Return the year that 1, 2 or 4 digits mean (0 where one digit has no reference time).

    >>> march_2024 = 1_710_000_000_000_000_000
    >>> full_year("4", 3, march_2024), full_year("3", 12, march_2024), full_year("3", 11, march_2024)
    (2024, 2023, 2033)
    >>> full_year("26", 8), full_year("97", 3), full_year("4", 3)
    (2026, 1997, 0)
    """
    value = int(digits)
    if len(digits) == 4:
        return value
    if len(digits) == 2:
        return value + (1900 if value >= 70 else 2000)
    if on_ns is None or on_ns == MISSING:
        return 0
    reference = int(np.datetime64(on_ns, "ns").astype("M8[M]").astype(np.int64)) + 1970 * 12  # months since year 0
    oldest = reference - EXPIRED_MONTHS_MAX
    year = oldest // 12 - oldest // 12 % 10 + value
    return year + 10 if year * 12 + month - 1 < oldest else year
