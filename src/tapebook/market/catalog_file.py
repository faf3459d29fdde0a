r"""What a catalogue file holds and how it is read (the questions it answers: :mod:`tapebook.market.catalog`).

TOML, four tables::

    schema = 1

    [venue.CME]                       # what holds for every instrument of a venue
    aliases = ["GLBX.MDP3"]
    calendar = "CME"

    [future.ES]                       # a product; its contracts differ by month alone
    name = "E-mini S&P 500"
    venue = "CME"
    tick = 0.25
    multiplier = 50
    months = "HMUZ"

    [instrument."BINANCE:BTCUSDT"]    # one instrument, "VENUE:SYMBOL"
    kind = "spot"
    tick = 0.01
    lot = 1e-8

    [[rule]]                          # instruments of a venue by the shape of their symbol (a regular expression)
    venue = "B3"
    match = '[A-Z]{4}\d{1,2}'
    kind = "stock"
    tick = 0.01

Numbers are read as decimals, never as floats, and must be whole in units of 1e-9. A user's file stands on top of the
packaged one: an entry that is already known needs ``override = true``, so that nobody changes ES by a slip; a user's
rules are asked before the packaged ones. Every mistake is told with file, table, field, what was expected and found.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import PRICE_SCALE
from tapebook.market.sessions import calendar_names
from tapebook.market.symbols import MONTH_CODES

KINDS: Final = ("future", "perpetual", "spot", "stock", "unknown")
_TABLES: Final = ("schema", "venue", "future", "instrument", "rule")
_SCHEMA: Final = 1
_UNIT: Final = Decimal("1e-9")
_LARGEST: Final = 10**9  # so that what is made of it fits into the int64 of events
_NAME: Final = re.compile(r"[A-Z0-9][A-Z0-9._-]*")


class Past(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tick that held earlier."""

    until: dt.date  # the first day (UTC) on which it no longer holds
    tick: Decimal


class Venue(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What holds for every instrument of a venue unless something nearer says otherwise."""

    aliases: tuple[str, ...] = ()
    kind: str = "unknown"
    calendar: str = "24-7"
    currency: str = ""
    lot: Decimal = Decimal("1e-8")
    year_digits: int = 1  # how many digits of the year the venue writes in a contract's symbol
    override: bool = False


class Future(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A futures product: its contracts differ by month alone."""

    name: str
    venue: str
    tick: Decimal
    multiplier: Decimal
    exchange: str = ""  # the exchange inside the group, where symbols name it (CBOT, NYMEX, COMEX)
    currency: str = ""
    calendar: str = ""
    months: str = MONTH_CODES
    aliases: tuple[str, ...] = ()  # roots that vendors use for it
    history: tuple[Past, ...] = ()
    source: str = ""
    override: bool = False


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One instrument."""

    kind: str
    tick: Decimal = Decimal(0)
    lot: Decimal = Decimal(1)
    multiplier: Decimal = Decimal(1)
    currency: str = ""
    calendar: str = ""
    inverse: bool = False
    name: str = ""
    history: tuple[Past, ...] = ()
    source: str = ""
    override: bool = False


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Instruments of a venue by the shape of their symbol.

    ``match`` is a regular expression for the whole symbol in upper case. A group named ``quote`` gives the currency
    where ``currency`` is empty; for an inverse contract the group named ``base`` does.
    """

    venue: str | tuple[str, ...]
    match: str
    kind: str
    tick: Decimal = Decimal(0)
    lot: Decimal = Decimal(1)
    multiplier: Decimal = Decimal(1)
    currency: str = ""
    calendar: str = ""
    inverse: bool = False
    name: str = ""
    source: str = ""

    @property
    def venues(self) -> tuple[str, ...]:
        """The venues of the rule."""
        return (self.venue,) if isinstance(self.venue, str) else self.venue


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one or more catalogue files say."""

    venues: dict[str, Venue] = {}
    futures: dict[str, Future] = {}
    entries: dict[tuple[str, str], Entry] = {}
    rules: tuple[Rule, ...] = ()


T = TypeVar("T", Venue, Future, Entry, Rule)


def parse(text: str, where: str, base: Contents | None = None) -> Contents:
    """Read a catalogue on top of ``base``.

    Parameters
    ----------
    text
        The file's text.
    where
        The file's name, for messages.
    base
        What is known already.

    Raises
    ------
    ConfigurationError
        At the first mistake, with file, table and field.

    Examples
    --------
    >>> parse('future.XX = {name = "Test", venue = "CME", tick = 0.5, multiplier = 10}', "x.toml").futures["XX"].tick
    Decimal('0.5')
    >>> parse('future.XX = {name = "Test", venue = "CME", tick = 0.5}', "x.toml")
    Traceback (most recent call last):
    tapebook.market.errors.ConfigurationError: bad catalogue entry: expected field `multiplier` (x.toml, [future.XX])
    """
    base = base or Contents()
    try:
        raw = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, a number of 4,300 digits, 1,000 open brackets
        raise ConfigurationError("the catalogue is not TOML", found=str(error), where=where) from error
    for table in raw:
        if table not in _TABLES:
            raise _bad(where, "", f"one of {', '.join(_TABLES)}", f"`{table}`")
    if raw.get("schema", _SCHEMA) != _SCHEMA:
        raise _bad(where, "field schema", str(_SCHEMA), repr(raw["schema"]))
    venues = _tables(raw, "venue", Venue, where)
    futures = _tables(raw, "future", Future, where)
    named = _tables(raw, "instrument", Entry, where)
    rules = raw.get("rule", [])
    if not isinstance(rules, list):
        raise _bad(where, "[[rule]]", "an array of tables, each under [[rule]]", _shown(rules))
    made_rules = tuple(_convert(table, Rule, where, f"[[rule]] number {i + 1}") for i, table in enumerate(rules))
    entries = {}
    for name, entry in named.items():
        venue, colon, symbol = name.partition(":")
        if not (colon and venue and symbol) or name != name.upper():
            raise _bad(where, f'[instrument."{name}"]', 'a name like "VENUE:SYMBOL" in upper case', repr(name))
        entries[venue, symbol] = entry
    _no_slips(where, "venue", base.venues, venues)
    _no_slips(where, "future", base.futures, futures)
    _no_slips(where, "instrument", base.entries, entries)
    made = Contents(
        venues=base.venues | venues,
        futures=base.futures | futures,
        entries=base.entries | entries,
        rules=made_rules + base.rules,
    )
    _no_doubles(where, made)
    return made


def e9(value: Decimal) -> int:
    """Return a decimal in units of 1e-9.

    >>> e9(Decimal("0.015625"))
    15625000
    """
    return int(value * PRICE_SCALE)


def _tables(raw: dict[str, Any], kind: str, made: type[T], where: str) -> dict[str, T]:
    tables = raw.get(kind, {})
    if not isinstance(tables, dict):
        raise _bad(where, f"[{kind}]", f"tables like [{kind}.NAME]", _shown(tables))
    entries = {}
    for name, table in tables.items():
        place = f'[{kind}."{name}"]' if kind == "instrument" else f"[{kind}.{name}]"
        if kind != "instrument" and not _NAME.fullmatch(name):
            raise _bad(where, place, "a name of upper-case letters, digits, '.', '_' and '-'", repr(name))
        entries[name] = _convert(table, made, where, place)
    return entries


def _convert(table: Any, kind: type[T], where: str, place: str) -> T:
    try:
        entry = msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise _told(error, table, where, place) from error
    for field, (good, expected) in _CHECKS.items():
        value = getattr(entry, field, None)
        if value is not None and not good(value):
            raise _bad(where, f"{place} field {field}", expected, _shown(value))
    return entry


def _told(error: msgspec.ValidationError, table: Any, where: str, place: str) -> ConfigurationError:
    """Put a message of msgspec into ours: which field, what was expected, what was found."""
    words, _, path = str(error).partition(" - at `$")
    field = path.strip("`").lstrip(".")
    if field:
        place += f" field {field}"
    whole = not isinstance(table, dict)
    found = _shown(table if whole else table[field]) if whole or field in table else ""
    match = re.fullmatch(r"Expected `(.*)`, got `.*`", words)
    if match:
        return _bad(where, place, f"`{match[1]}`", found)
    match = re.fullmatch(r"Object missing required field `(.*)`", words)
    if match:
        return _bad(where, place, f"field `{match[1]}`", "")
    match = re.fullmatch(r"Object contains unknown field `(.*)`", words)
    if match:
        return _bad(where, place, "a known field", f"`{match[1]}`")
    return _bad(where, place, words[:1].lower() + words[1:], found)


def _bad(where: str, place: str, expected: str, found: str) -> ConfigurationError:
    return ConfigurationError(
        "bad catalogue entry", expected=expected, found=found, where=f"{where}, {place}" if place else where
    )


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, Decimal) else repr(value)


def _exact(value: Decimal) -> bool:
    return value.is_finite() and 0 <= value <= _LARGEST and value == value.quantize(_UNIT)


def _is_regex(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


_EXACT: Final = f"a number from 0 to {_LARGEST}, whole in units of 1e-9"
_CHECKS: Final = {
    "tick": (_exact, _EXACT),
    "lot": (lambda lot: _exact(lot) and lot > 0, f"a positive number up to {_LARGEST}, whole in units of 1e-9"),
    "multiplier": (lambda m: m.is_finite() and 0 < m <= _LARGEST, f"a positive number up to {_LARGEST}"),
    "kind": (lambda kind: kind in KINDS, f"one of {', '.join(KINDS)}"),
    "calendar": (lambda name: name in ("", *calendar_names()), f"one of {', '.join(calendar_names())}"),
    "months": (lambda months: bool(months) and set(months) <= set(MONTH_CODES), f"letters of {MONTH_CODES}"),
    "match": (_is_regex, "a regular expression"),
    "year_digits": (lambda digits: digits in (1, 2, 4), "1, 2 or 4"),
    "history": (
        lambda past: all(_exact(p.tick) for p in past) and [p.until for p in past] == sorted({p.until for p in past}),
        f"earlier ticks in the order of their `until`, each {_EXACT}",
    ),
}


def _no_slips(where: str, kind: str, known: dict[Any, Any], new: dict[Any, Any]) -> None:
    for key, entry in new.items():
        if key in known and not entry.override:
            name = f'"{":".join(key)}"' if isinstance(key, tuple) else key
            raise ConfigurationError(
                "this entry is already in the catalogue",
                where=f"{where}, [{kind}.{name}]",
                remedy="write `override = true` into it to replace the known one",
            )


def _no_doubles(where: str, contents: Contents) -> None:
    """Two things under one name would make a symbol's meaning a matter of order."""
    for kind, named in (("venue", contents.venues), ("future", contents.futures)):
        owner: dict[str, str] = {}
        for name, entry in named.items():
            for alias in (name, *entry.aliases):
                other = owner.setdefault(alias, name)
                if other != name or alias != alias.upper():
                    found = f"`{alias}`" + (f", which {other} has already" if other != name else "")
                    raise _bad(where, f"[{kind}.{name}] field aliases", "free names in upper case", found)
