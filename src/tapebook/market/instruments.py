"""Instruments: what one tick, one lot and one point are worth, and whose calendar applies.

An :class:`Instrument` is a value: two tapes that agree on it agree on every number. A tape carries an
:class:`InstrumentTable` that maps the ``instrument_id`` of its events to instruments. Which instrument a vendor's
symbol means is the catalogue's business (:mod:`tapebook.market.catalog`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import PRICE_SCALE


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable thing on one venue.

    Attributes
    ----------
    symbol
        As the venue writes it: ``ESH4``, ``BTCUSDT``, ``AMZN``.
    venue
        Upper case: ``CME``, ``BINANCE``, ``BINANCE-USDM``, ``XNAS``.
    tick_e9
        Smallest price step in units of 1e-9; 0 where unknown (off-grid prices are then not judged).
    lot_e9
        Quantity of one lot in units of 1e-9 of the base unit: 1_000_000_000 for one contract or share, 10 for 1e-8 BTC.
    multiplier
        Currency per point of price for one base unit: 50 for ES, 1 for a stock.
    currency
        What profit is counted in.
    calendar
        Name of the session calendar: ``CME``, ``B3``, ``US-STOCKS``, ``24-7``.
    kind
        ``future``, ``perpetual``, ``spot``, ``stock`` or ``unknown``.
    root
        Product of a future (``ES`` for ``ESH4``), else the symbol.
    expiry
        ``YYYY-MM`` of a future's contract month, else empty.
    inverse
        True where the contract is worth a fixed amount of the quote currency (COIN-M): profit goes with 1/price.
        ``multiplier`` is then that amount, ``currency`` the coin, and ``tick_value`` means nothing.

    Examples
    --------
    >>> es = Instrument(symbol="ESH4", venue="CME", tick_e9=250_000_000, multiplier=Decimal(50), root="ES",
    ...                 calendar="CME", kind="future", expiry="2024-03")
    >>> es.tick, es.tick_value, es.price_float(4_781_500_000_000)
    (Decimal('0.25'), Decimal('12.50'), 4781.5)
    """

    symbol: str
    venue: str
    tick_e9: int = 0
    lot_e9: int = PRICE_SCALE
    multiplier: Decimal = Decimal(1)
    currency: str = "USD"
    calendar: str = "24-7"
    kind: str = "unknown"
    root: str = ""
    expiry: str = ""
    inverse: bool = False

    @property
    def tick(self) -> Decimal:
        """Smallest price step, exact."""
        return Decimal(self.tick_e9) / PRICE_SCALE

    @property
    def lot(self) -> Decimal:
        """Base units in one lot, exact."""
        return Decimal(self.lot_e9) / PRICE_SCALE

    @property
    def tick_value(self) -> Decimal:
        """What one tick on one base unit is worth, in ``currency``."""
        return self.tick * self.multiplier

    @property
    def whole_lots(self) -> bool:
        """True where quantities are whole base units (contracts, shares), so that they show as integers."""
        return self.lot_e9 % PRICE_SCALE == 0

    def price_float(self, price: int) -> float:
        """Price for people and plots; never for keys."""
        return price / PRICE_SCALE

    def qty_float(self, qty_lots: int) -> float:
        """Quantity in base units for people and plots."""
        return qty_lots * self.lot_e9 / PRICE_SCALE


class InstrumentTable(Mapping[int, Instrument]):
    """The instruments of one tape by ``instrument_id``; it grows while a file is read, and never changes an entry.

    >>> table = InstrumentTable()
    >>> table.add(Instrument(symbol="AMZN", venue="XNAS"))
    1
    >>> table.add(Instrument(symbol="AMZN", venue="XNAS"))
    1
    >>> table.only().symbol
    'AMZN'
    """

    def __init__(self, entries: Mapping[int, Instrument] | None = None) -> None:
        self._by_id: dict[int, Instrument] = dict(entries or {})
        self._ids: dict[tuple[str, str], int] = {(i.venue, i.symbol): k for k, i in self._by_id.items()}

    def add(self, instrument: Instrument, instrument_id: int | None = None) -> int:
        """Return the id of ``instrument``, giving it ``instrument_id`` (or the next free one) if it is new."""
        key = (instrument.venue, instrument.symbol)
        known = self._ids.get(key)
        if known is not None and instrument_id in (None, known):
            return known
        if instrument_id is None:
            instrument_id = max(self._by_id, default=0) + 1
        other = self._by_id.get(instrument_id)
        if other is not None and other != instrument:
            raise ConfigurationError(
                "two instruments under one id",
                expected=f"{other.symbol} for instrument_id {instrument_id}",
                found=instrument.symbol,
                remedy="give each instrument of a tape its own id",
            )
        self._by_id[instrument_id] = instrument
        self._ids.setdefault(key, instrument_id)
        return instrument_id

    def only(self) -> Instrument:
        """Return the single instrument of a tape that has one."""
        if len(self._by_id) != 1:
            raise ConfigurationError(
                "the tape does not have exactly one instrument",
                expected="1 instrument",
                found=f"{len(self._by_id)}: {', '.join(sorted(i.symbol for i in self._by_id.values()))}",
                remedy="name one with --instrument",
            )
        return next(iter(self._by_id.values()))

    def __getitem__(self, instrument_id: int) -> Instrument:
        return self._by_id[instrument_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)
