"""How a catalogue is asked: from a symbol, as a vendor spells it, to an instrument.

The order of looking, and what ``on_ns`` is for, stand in :mod:`tapebook.market.catalog`.
"""

from __future__ import annotations

import difflib
import re
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec
import numpy as np

from tapebook.market.catalog_file import Contents, Entry, Future, Past, Rule, Venue, e9
from tapebook.market.errors import UnknownInstrument
from tapebook.market.events import MISSING, PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.symbols import MONTH_CODES, Contract, parse_contract

__all__ = ["Catalog", "Found"]

_NEW_VENUE: Final = Venue()


class Found(NamedTuple):
    """An instrument, and where the catalogue knows it from."""

    instrument: Instrument
    how: str  # "entry", "product" or "rule"
    name: str
    source: str


class Catalog:
    """What catalogue files say, ready to be asked.

    Examples
    --------
    >>> from tapebook.market.catalog import active
    >>> catalog = active()
    >>> catalog.find("MNQM5", on_ns=1_750_000_000_000_000_000).instrument.expiry
    '2025-06'
    >>> catalog.find("AMZN") is None  # any letters could be a stock; with its venue it is one
    True
    >>> catalog.find("AMZN", "XNAS").how
    'rule'
    """

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self._venues = {a: name for name, venue in contents.venues.items() for a in (name, *venue.aliases)}
        self._roots = {a: root for root, future in contents.futures.items() for a in (root, *future.aliases)}
        self._rules = tuple((re.compile(rule.match), rule) for rule in contents.rules)

    def canonical_venue(self, text: str) -> str:
        """Return the catalogue's name of a venue, or the text in upper case where it knows none."""
        upper = text.strip().upper()
        return self._venues.get(upper, upper)

    def find(self, symbol: str, venue: str = "", *, on_ns: int | None = None) -> Found | None:
        """Return what is known of a symbol; None where that is nothing, or several venues have it and none is named."""
        symbol, venue = symbol.strip(), self.canonical_venue(venue)
        where = (venue,) if venue else self._listings(symbol)
        if len(where) == 1:
            entry = self.contents.entries.get((where[0], symbol.upper()))
            if entry is not None:
                made = self._from_entry(where[0], symbol.upper(), entry, on_ns)
                return Found(made, "entry", entry.name, entry.source)
        elif where:
            return None
        product = self._product(symbol, venue, on_ns)
        if product is not None:
            root, contract = product
            future = self.contents.futures[root]
            return Found(
                self._from_contract(symbol, root, future, contract, on_ns), "product", future.name, future.source
            )
        for pattern, rule in self._rules:
            match = pattern.fullmatch(symbol.upper()) if venue in rule.venues else None
            if match is not None:
                return Found(self._from_rule(symbol.upper(), venue, rule, match), "rule", rule.name, rule.source)
        return None

    def resolve(self, symbol: str, venue: str = "", *, on_ns: int | None = None) -> Instrument:
        """Return the instrument that a symbol means (see :func:`resolve`)."""
        found = self.find(symbol, venue, on_ns=on_ns)
        if found is None:
            raise self._unknown(symbol.strip(), self.canonical_venue(venue))
        product = self._product(symbol.strip(), self.canonical_venue(venue), on_ns)
        if found.how == "product" and product is not None and product[1].month:
            months = self.contents.futures[product[0]].months
            code = MONTH_CODES[product[1].month - 1]
            if code not in months:
                raise UnknownInstrument(
                    f"{product[0]} has no contract of that month",
                    expected=f"one of the months {', '.join(months)}",
                    found=f"{code} in {symbol!r}",
                )
        return found.instrument

    def instrument_for(
        self,
        symbol: str,
        venue: str,
        *,
        kind: str = "",
        tick_e9: int = 0,
        lot_e9: int | None = None,
        on_ns: int | None = None,
    ) -> Instrument:
        """Return the catalogue's instrument, or one made from the venue and the hints (see :func:`instrument_for`)."""
        found = self.find(symbol, venue, on_ns=on_ns)
        if found is not None and found.how != "rule":
            return found.instrument
        name = self.canonical_venue(venue)
        house = self.contents.venues.get(name, _NEW_VENUE)
        if found is not None:
            made = found.instrument
        else:
            made_kind = kind or house.kind
            whole = made_kind in ("future", "stock") or house.calendar != "24-7"
            made = Instrument(
                symbol=symbol.strip(),
                venue=name,
                lot_e9=PRICE_SCALE if whole else e9(house.lot),
                currency=house.currency,
                calendar=house.calendar,
                kind=made_kind,
                root=symbol.strip(),
            )
        return msgspec.structs.replace(
            made,
            tick_e9=made.tick_e9 or tick_e9,
            lot_e9=made.lot_e9 if lot_e9 is None else lot_e9,
            kind=kind or made.kind,
        )

    def _listings(self, symbol: str) -> tuple[str, ...]:
        return tuple(sorted(venue for venue, listed in self.contents.entries if listed == symbol.upper()))

    def _product(self, symbol: str, venue: str, on_ns: int | None) -> tuple[str, Contract] | None:
        """Return root and contract of a future that the catalogue knows, on that venue or any."""
        contract = parse_contract(symbol, on_ns, roots=self._roots) or Contract(root=symbol.upper())
        root = self._roots.get(contract.root)
        if root is None:
            return None
        home = self.contents.futures[root].venue
        named = self.canonical_venue(contract.exchange) if contract.exchange else home
        return (root, contract) if named == home and venue in ("", home) else None

    def _from_entry(self, venue: str, symbol: str, entry: Entry, on_ns: int | None) -> Instrument:
        house = self.contents.venues.get(venue, _NEW_VENUE)
        return Instrument(
            symbol=symbol,
            venue=venue,
            tick_e9=e9(_tick(entry.tick, entry.history, on_ns)),
            lot_e9=e9(entry.lot),
            multiplier=entry.multiplier,
            currency=entry.currency or house.currency,
            calendar=entry.calendar or house.calendar,
            kind=entry.kind,
            root=symbol,
            inverse=entry.inverse,
        )

    def _from_contract(
        self, symbol: str, root: str, future: Future, contract: Contract, on_ns: int | None
    ) -> Instrument:
        house = self.contents.venues.get(future.venue, _NEW_VENUE)
        return Instrument(
            symbol=contract.code(root, year_digits=house.year_digits) if contract.month else symbol,
            venue=future.venue,
            tick_e9=e9(_tick(future.tick, future.history, on_ns)),
            multiplier=future.multiplier,
            currency=future.currency or house.currency,
            calendar=future.calendar or house.calendar,
            kind="future",
            root=root,
            expiry=contract.expiry,
        )

    def _from_rule(self, symbol: str, venue: str, rule: Rule, match: re.Match[str]) -> Instrument:
        house = self.contents.venues.get(venue, _NEW_VENUE)
        coin = match.groupdict().get("base" if rule.inverse else "quote") or ""
        return Instrument(
            symbol=symbol,
            venue=venue,
            tick_e9=e9(rule.tick),
            lot_e9=e9(rule.lot),
            multiplier=rule.multiplier,
            currency=rule.currency or coin or house.currency,
            calendar=rule.calendar or house.calendar,
            kind=rule.kind,
            root=symbol,
            inverse=rule.inverse,
        )

    def _unknown(self, symbol: str, venue: str) -> UnknownInstrument:
        listings = self._listings(symbol)
        if len(listings) > 1 and not venue:
            return UnknownInstrument(
                f"{symbol.upper()} trades on several venues",
                expected=f"a venue: {', '.join(listings)}",
                found="none",
                remedy="name it, for example --venue " + listings[0],
            )
        known = sorted({*self.contents.futures, *(listed for _, listed in self.contents.entries)})
        contract = parse_contract(symbol)
        near = difflib.get_close_matches((contract.root if contract else symbol).upper(), known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? Otherwise " if near else ""
        missing_venue = "" if venue else "name its venue (--venue), or "
        return UnknownInstrument(
            "the catalogue does not know this instrument",
            expected="a listed instrument, a contract of a listed product, or a symbol that a venue's rule fits",
            found=repr(symbol) + (f" on {venue}" if venue else ""),
            remedy=f"{hint}{missing_venue}describe it in a catalogue file and pass that with --catalog FILE "
            "(docs/instruments.md shows one)",
        )


def _tick(now: Decimal, history: tuple[Past, ...], on_ns: int | None) -> Decimal:
    """Return the tick that held at ``on_ns`` (today's without it)."""
    if on_ns is None or on_ns == MISSING:
        return now
    day = np.datetime64(on_ns, "ns").astype("M8[D]")
    return next((past.tick for past in history if day < np.datetime64(past.until)), now)
