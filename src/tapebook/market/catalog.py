"""The catalogue: which instrument a vendor's symbol means.

Two questions, two functions. :func:`resolve` is for people and settings: it knows the instrument, or says what to do.
:func:`instrument_for` is for readers: a file holds what it holds, so it never fails, and makes an instrument from the
venue's defaults and the reader's hints where the catalogue knows none.

Both look for, in this order: an entry of that venue and symbol; a contract of a known product, in any spelling that
:mod:`tapebook.market.symbols` reads; a rule of the venue. A contract gets the exchange's own spelling as its symbol, so
that ``CON.F.US.EP.H24``, ``ESH24-CME`` and ``ESH4`` are one and the same instrument. Continuous series and whole
products (``ES.c.0``, ``WIN$N``, ``ES``) keep the symbol they came with and have no expiry.

``on_ns`` is when the symbol was in use, such as a file's first event. It decides the decade of ``ESH4`` and which tick
held where a venue changed it; without it the year of ``ESH4`` stays open (no ``expiry``) and today's tick is taken.

For inverse contracts (worth a fixed amount of the quote currency, paid in the coin) ``multiplier`` is that amount and
``currency`` the coin: profit is ``lots * multiplier * (1 / entry - 1 / exit)``.

The user's own entries come from the first of: :func:`use` (``--catalog``), ``$TAPEBOOK_CATALOG``, ``catalog`` in the
configuration, ``catalog.toml`` beside the configuration file. How to write one: docs/instruments.md.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from tapebook.market.catalog_file import parse
from tapebook.market.catalog_lookup import Catalog, Found
from tapebook.market.config import config_path, load_config
from tapebook.market.errors import ConfigurationError
from tapebook.market.instruments import Instrument

__all__ = ["Catalog", "Found", "active", "canonical_venue", "instrument_for", "resolve", "use"]

_CHOSEN: Final[list[Path]] = []


@cache
def _packaged() -> Catalog:
    text = files("tapebook.market").joinpath("catalog.toml").read_text(encoding="utf-8")
    return Catalog(parse(text, "catalog.toml of tapebook"))


@cache
def _extended(path: Path, _changed_ns: int) -> Catalog:
    text = path.read_text(encoding="utf-8")
    return Catalog(parse(text, str(path), _packaged().contents))


def use(path: Path | None) -> None:
    """Take ``path`` as the user's catalogue in this process, before the environment and the configuration.

    For ``--catalog``; None goes back to those.
    """
    _CHOSEN[:] = [] if path is None else [path]


def _user_file() -> tuple[Path | None, str]:
    """Return the user's catalogue file, and who names it."""
    if _CHOSEN:
        return _CHOSEN[0], "--catalog"
    named = os.environ.get("TAPEBOOK_CATALOG", "")
    if named:
        return Path(named).expanduser(), "$TAPEBOOK_CATALOG"
    config = load_config()
    if config.catalog is not None:
        return config.catalog, f"`catalog` in {config_path()}"
    beside = config_path().with_name("catalog.toml")
    return (beside, "") if beside.is_file() else (None, "")


def active() -> Catalog:
    """Return the packaged catalogue with the user's entries on top.

    Raises
    ------
    ConfigurationError
        If the user's file is not there or wrong; the message names file, table and field.

    Examples
    --------
    >>> "ES" in active().contents.futures
    True
    """
    path, namer = _user_file()
    if path is None:
        return _packaged()
    try:
        return _extended(path, path.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "the catalogue file cannot be read",
            found=getattr(error, "strerror", "") or str(error),
            where=str(path),
            remedy=f"correct {namer}" if namer else "",
        ) from error


def resolve(symbol: str, venue: str = "", *, on_ns: int | None = None) -> Instrument:
    """Return the instrument that a symbol means.

    Parameters
    ----------
    symbol
        In any spelling of :mod:`tapebook.market.symbols`, or as its venue writes it; upper and lower case are one.
    venue
        Any name of the venue that the catalogue knows; may be left out where the symbol alone says enough.
    on_ns
        When the symbol was in use (ns UTC).

    Raises
    ------
    UnknownInstrument
        If nothing or more than one thing fits; the message names the nearest ones and how to add another.

    Examples
    --------
    >>> es = resolve("CON.F.US.EP.H24")
    >>> es.symbol, es.expiry, es.tick_value
    ('ESH4', '2024-03', Decimal('12.50'))
    >>> resolve("BTCUSDT", "binance-futures").kind
    'perpetual'
    >>> resolve("BTCUSDT")
    Traceback (most recent call last):
    tapebook.market.errors.UnknownInstrument: BTCUSDT trades on several venues: expected a venue: BINANCE, \
BINANCE-USDM, found none; name it, for example --venue BINANCE
    """
    return active().resolve(symbol, venue, on_ns=on_ns)


def instrument_for(
    symbol: str,
    venue: str,
    *,
    kind: str = "",
    tick_e9: int = 0,
    lot_e9: int | None = None,
    on_ns: int | None = None,
) -> Instrument:
    """Return the instrument of a recording: the catalogue's, or one made from the venue's defaults and the hints.

    Never fails for a symbol (only for a catalogue file of the user's that is wrong). Looking for that file is most of
    its 0.14 ms: whoever asks for thousands of symbols takes ``active()`` once and asks that.

    Parameters
    ----------
    symbol, venue, on_ns
        As for :func:`resolve`.
    kind, tick_e9, lot_e9
        What the reader knows from its format. Entries and products of the catalogue go before these hints, the hints go
        before rules and defaults. Unknown ticks are 0; unknown lots are one contract or share for futures and stocks,
        1e-8 elsewhere.

    Examples
    --------
    >>> avax = instrument_for("AVAX-USD", "coinbase", kind="spot", tick_e9=10_000_000)
    >>> avax.venue, avax.lot, avax.tick, avax.currency
    ('COINBASE', Decimal('1E-8'), Decimal('0.01'), 'USD')
    >>> instrument_for("ESH4-ESM4", "GLBX.MDP3", kind="future").lot_e9
    1000000000
    """
    return active().instrument_for(symbol, venue, kind=kind, tick_e9=tick_e9, lot_e9=lot_e9, on_ns=on_ns)


def canonical_venue(text: str) -> str:
    """Return the catalogue's name of a venue, or the text in upper case where it knows none.

    Examples
    --------
    >>> canonical_venue("GLBX.MDP3"), canonical_venue("binance-futures"), canonical_venue("kraken")
    ('CME', 'BINANCE-USDM', 'KRAKEN')
    """
    return active().canonical_venue(text)
