from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.catalog import active, canonical_venue, instrument_for, resolve
from tapebook.market.errors import ConfigurationError, UnknownInstrument
from tapebook.market.events import MISSING, PRICE_SCALE
from tapebook.market.sessions import calendar_names


def at(day: str) -> int:
    return int(np.datetime64(day, "ns").astype(np.int64))


@pytest.fixture(autouse=True)
def _nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAPEBOOK_CATALOG", raising=False)
    monkeypatch.delenv("TAPEBOOK_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


# Tick and value of a tick as the exchanges publish them (cmegroup.com and b3.com.br contract specifications).
PUBLISHED = {
    "ES": ("0.25", "12.50"),
    "MES": ("0.25", "1.25"),
    "NQ": ("0.25", "5.00"),
    "MNQ": ("0.25", "0.50"),
    "RTY": ("0.10", "5.00"),
    "M2K": ("0.10", "0.50"),
    "YM": ("1", "5.00"),
    "MYM": ("1", "0.50"),
    "EMD": ("0.10", "10.00"),
    "CL": ("0.01", "10.00"),
    "MCL": ("0.01", "1.00"),
    "QM": ("0.025", "12.50"),
    "NG": ("0.001", "10.00"),
    "MNG": ("0.001", "1.00"),
    "QG": ("0.005", "12.50"),
    "HO": ("0.0001", "4.20"),
    "RB": ("0.0001", "4.20"),
    "GC": ("0.10", "10.00"),
    "MGC": ("0.10", "1.00"),
    "SI": ("0.005", "25.00"),
    "SIL": ("0.005", "5.00"),
    "HG": ("0.0005", "12.50"),
    "MHG": ("0.0005", "1.25"),
    "PL": ("0.10", "5.00"),
    "6E": ("0.00005", "6.25"),
    "E7": ("0.0001", "6.25"),
    "M6E": ("0.0001", "1.25"),
    "6B": ("0.0001", "6.25"),
    "M6B": ("0.0001", "0.625"),
    "6A": ("0.00005", "5.00"),
    "M6A": ("0.0001", "1.00"),
    "6C": ("0.00005", "5.00"),
    "6J": ("0.0000005", "6.25"),
    "6S": ("0.00005", "6.25"),
    "6N": ("0.00005", "5.00"),
    "6M": ("0.00001", "5.00"),
    "ZT": ("0.00390625", "7.8125"),
    "ZF": ("0.0078125", "7.8125"),
    "ZN": ("0.015625", "15.625"),
    "TN": ("0.015625", "15.625"),
    "ZB": ("0.03125", "31.25"),
    "UB": ("0.03125", "31.25"),
    "WIN": ("5", "1.00"),
    "WDO": ("0.5", "5.00"),
}

# ProjectX (TopstepX) roots: the data vendor's, often unlike the exchange's.
PROJECTX = {
    "EP": "ES", "MES": "MES", "ENQ": "NQ", "MNQ": "MNQ", "RTY": "RTY", "M2K": "M2K", "YM": "YM", "MYM": "MYM",
    "CLE": "CL", "MCLE": "MCL", "NQM": "QM", "NGE": "NG", "MNG": "MNG", "NQG": "QG", "HOE": "HO", "RBE": "RB",
    "GCE": "GC", "MGC": "MGC", "SIE": "SI", "SIL": "SIL", "CPE": "HG", "MHG": "MHG", "PLE": "PL", "EU6": "6E",
    "EEU": "E7", "M6E": "M6E", "BP6": "6B", "M6B": "M6B", "DA6": "6A", "M6A": "M6A", "CA6": "6C", "JY6": "6J",
    "SF6": "6S", "NE6": "6N", "MX6": "6M", "FVA": "ZF", "TUA": "ZT", "TYA": "ZN", "TNA": "TN", "USA": "ZB", "ULA": "UB",
}  # fmt: skip


@pytest.mark.parametrize(("root", "published"), PUBLISHED.items(), ids=list(PUBLISHED))
def test_a_tick_is_worth_what_the_exchange_publishes(root: str, published: tuple[str, str]) -> None:
    product = resolve(root)
    tick, value = published
    assert product.tick == Decimal(tick)
    assert product.tick_value == Decimal(value)
    assert Decimal(product.tick_e9) / PRICE_SCALE == Decimal(tick)  # exact in the unit of events
    assert (product.kind, product.whole_lots, product.root, product.expiry) == ("future", True, root, "")


def test_every_product_of_the_catalogue_is_checked_above() -> None:
    assert set(active().contents.futures) == set(PUBLISHED)


@pytest.mark.parametrize(("vendor", "root"), PROJECTX.items(), ids=list(PROJECTX))
def test_a_projectx_contract_is_the_exchanges_contract(vendor: str, root: str) -> None:
    month = active().contents.futures[root].months[0]
    contract = resolve(f"CON.F.US.{vendor}.{month}25")
    assert (contract.symbol, contract.venue, contract.root) == (f"{root}{month}5", "CME", root)
    assert resolve(f"F.US.{vendor}").root == root


def test_all_spellings_of_one_contract_are_one_instrument() -> None:
    on_ns = at("2024-01-15")
    spellings = ["ESH4", "ESH24", "ESH2024", "CON.F.US.EP.H24", "F.US.EPH24", "ESH24-CME.scid", "@ESH24", "ES 03-24"]
    instruments = {resolve(text, on_ns=on_ns) for text in spellings}
    assert len(instruments) == 1
    es = instruments.pop()
    assert (es.symbol, es.venue, es.expiry, es.currency, es.calendar) == ("ESH4", "CME", "2024-03", "USD", "CME")


@pytest.mark.parametrize(
    ("symbol", "venue", "calendar"),
    [
        ("NQZ5", "CME", "CME"),
        ("CLZ24-NYMEX", "CME", "CME-ENERGY"),
        ("GCZ4", "CME", "CME-METALS"),
        ("6EZ4", "CME", "CME-FX"),
        ("ZNZ4", "CME", "CME-RATES"),
        ("WINQ26", "B3", "B3"),
        ("WDO$N", "B3", "B3"),
    ],
)
def test_a_future_knows_its_venue_and_calendar(symbol: str, venue: str, calendar: str) -> None:
    future = resolve(symbol)
    assert (future.venue, future.calendar) == (venue, calendar)


def test_every_calendar_of_the_catalogue_exists() -> None:
    contents = active().contents
    named = {venue.calendar for venue in contents.venues.values()} | {rule.calendar for rule in contents.rules}
    named |= {future.calendar for future in contents.futures.values()}
    named |= {entry.calendar for entry in contents.entries.values()}
    assert named <= {"", *calendar_names()}


def test_b3_writes_two_digits_of_the_year_and_cme_one() -> None:
    assert resolve("WINQ2026").symbol == "WINQ26"
    assert resolve("MNQM2025").symbol == "MNQM5"


def test_series_and_products_keep_their_symbol_and_have_no_expiry() -> None:
    for symbol in ("ES.c.0", "ES.FUT", "F.US.EP", "@ES#", "ES"):
        series = resolve(symbol)
        assert (series.symbol, series.root, series.expiry) == (symbol, "ES", "")


@pytest.mark.parametrize(
    ("venue", "name"),
    [
        ("GLBX.MDP3", "CME"),
        ("xcme", "CME"),
        ("NYMEX", "CME"),
        ("TopstepX", "CME"),
        ("XNAS.ITCH", "XNAS"),
        ("BATS.PITCH", "BATS"),
        ("binance", "BINANCE"),
        ("binance-futures", "BINANCE-USDM"),
        ("binance-delivery", "BINANCE-COINM"),
        ("BMF", "B3"),
        ("kraken", "KRAKEN"),
    ],
)
def test_vendors_names_of_venues_are_understood(venue: str, name: str) -> None:
    assert canonical_venue(venue) == name


def test_perpetuals_and_spot_of_one_symbol_are_told_apart_by_venue() -> None:
    spot, perpetual = resolve("BTCUSDT", "BINANCE"), resolve("BTCUSDT", "BINANCE-USDM")
    assert (spot.kind, spot.tick, spot.lot) == ("spot", Decimal("0.01"), Decimal("1e-8"))
    assert (perpetual.kind, perpetual.tick, perpetual.lot) == ("perpetual", Decimal("0.1"), Decimal("0.001"))
    with pytest.raises(UnknownInstrument, match=r"several venues: expected a venue: BINANCE, BINANCE-USDM"):
        resolve("BTCUSDT")


@pytest.mark.parametrize(
    ("symbol", "venue", "face", "coin"),
    [
        ("BTCUSD_PERP", "binance-delivery", 100, "BTC"),
        ("ETHUSD_PERP", "binance-delivery", 10, "ETH"),
        ("AVAXUSD_PERP", "binance-delivery", 10, "AVAX"),
        ("BTCUSD_250328", "binance-delivery", 100, "BTC"),
        ("XBTUSD", "bitmex", 1, "XBT"),
        ("BTC-PERPETUAL", "deribit", 1, "BTC"),
        ("BTC-USD", "huobi-dm-swap", 100, "BTC"),
        ("LINK-USD", "huobi-dm-swap", 10, "LINK"),
    ],
)
def test_inverse_contracts_are_worth_dollars_and_pay_coins(symbol: str, venue: str, face: int, coin: str) -> None:
    contract = resolve(symbol, venue)
    assert (contract.inverse, contract.multiplier, contract.currency) == (True, Decimal(face), coin)
    assert contract.whole_lots


@pytest.mark.parametrize(
    ("symbol", "venue", "currency"),
    [
        ("AVAX-USD", "coinbase", "USD"),
        ("SKYUSDT", "binance", "USDT"),
        ("ETHBTC", "binance", "BTC"),
        ("AVAXUSD", "gemini", "USD"),
        ("SOLUSDT", "binance-futures", "USDT"),
    ],
)
def test_crypto_pairs_are_known_by_rule(symbol: str, venue: str, currency: str) -> None:
    pair = resolve(symbol, venue)
    assert (pair.lot, pair.currency, pair.calendar, pair.inverse) == (Decimal("1e-8"), currency, "24-7", False)


def test_stocks_are_known_by_rule_where_the_venue_is_named() -> None:
    amzn = resolve("amzn", "XNAS.ITCH")
    assert (amzn.symbol, amzn.tick, amzn.lot, amzn.calendar) == ("AMZN", Decimal("0.01"), Decimal(1), "US-STOCKS")
    petr = resolve("PETR4", "B3")
    assert (petr.tick, petr.lot, petr.currency, petr.calendar) == (Decimal("0.01"), Decimal(1), "BRL", "B3-STOCKS")
    with pytest.raises(UnknownInstrument, match="--venue"):
        resolve("AMZN")


def test_us_stock_exchanges_are_venues_of_their_own() -> None:
    listings = {resolve("SPY", venue) for venue in ("XNAS", "ARCX.PILLAR", "BATS", "IEXG", "FINN", "EQUS.MINI", "US")}
    assert len(listings) == len({listing.venue for listing in listings}) == 7
    assert {listing.tick for listing in listings} == {Decimal("0.01")}


def test_a_stock_whose_last_letters_look_like_a_month_and_year_is_no_future() -> None:
    assert resolve("ABEV3", "B3").kind == "stock"  # V3 would be October
    assert instrument_for("MGLU3", "B3").kind == "stock"
    assert resolve("B3SA3", "B3").kind == resolve("A1MD34", "B3").kind == "stock"
    assert instrument_for("DOLU25", "B3").kind == "unknown"  # a future that the catalogue does not list


def test_the_tick_is_the_one_that_held_at_the_time() -> None:
    assert resolve("6EH6", on_ns=at("2016-01-10")).tick == Decimal("0.0001")
    assert resolve("6EH6", on_ns=at("2016-01-11")).tick == Decimal("0.00005")
    assert resolve("BTCUSDT", "BINANCE-USDM", on_ns=at("2020-09-01")).tick == Decimal("0.01")
    assert resolve("BTCUSDT", "BINANCE-USDM", on_ns=at("2024-08-08")).tick == Decimal("0.1")
    assert resolve("XBTUSD", on_ns=at("2020-01-01")).tick == Decimal("0.5")
    assert resolve("6E", on_ns=MISSING).tick == resolve("6E").tick == Decimal("0.00005")


def test_a_month_that_a_product_does_not_have_is_refused_but_a_file_may_hold_it() -> None:
    with pytest.raises(UnknownInstrument, match=r"expected one of the months H, M, U, Z, found G in 'ESG24'"):
        resolve("ESG24")
    assert instrument_for("ESG24", "CME").expiry == "2024-02"


@pytest.mark.parametrize(
    ("symbol", "words"),
    [("EZ", "did you mean"), ("NQQH24", "did you mean NQ"), ("BTCUSDD", "BTCUSDT"), ("???", "catalogue file")],
)
def test_an_unknown_symbol_is_told_with_its_nearest_and_a_remedy(symbol: str, words: str) -> None:
    with pytest.raises(UnknownInstrument, match=words) as caught:
        resolve(symbol)
    assert isinstance(caught.value, ConfigurationError)
    assert "docs/instruments.md" in caught.value.remedy
    assert symbol in caught.value.found


def test_a_contract_on_a_venue_that_is_not_its_own_is_unknown() -> None:
    with pytest.raises(UnknownInstrument):
        resolve("ESH24", "B3")
    with pytest.raises(UnknownInstrument):
        resolve("ESH24-EUREX")


def test_hints_fill_what_rules_leave_open_and_never_bend_what_is_listed() -> None:
    avax = instrument_for("AVAX-USD", "coinbase", kind="spot", tick_e9=10_000_000, lot_e9=1_000)
    assert (avax.tick, avax.lot_e9) == (Decimal("0.01"), 1_000)
    listed = instrument_for("ESH24", "CME", kind="spot", tick_e9=1, lot_e9=7)
    assert listed == resolve("ESH24")
    stock = instrument_for("AMZN", "XNAS", tick_e9=5)
    assert stock.tick == Decimal("0.01")


@pytest.mark.parametrize(
    ("symbol", "venue", "kind", "lot_e9", "calendar", "currency"),
    [
        ("ESH4-ESM4", "GLBX.MDP3", "", PRICE_SCALE, "CME", "USD"),
        ("IBOV11", "B3", "", PRICE_SCALE, "B3-STOCKS", "BRL"),
        ("DI1F27", "B3", "future", PRICE_SCALE, "B3", "BRL"),
        ("BTC/USD", "KRAKEN", "spot", 10, "24-7", ""),
        ("FESX", "EUREX", "future", PRICE_SCALE, "24-7", ""),
        ("", "", "", 10, "24-7", ""),
    ],
)
def test_what_the_catalogue_does_not_know_gets_the_ways_of_its_venue(
    symbol: str, venue: str, kind: str, lot_e9: int, calendar: str, currency: str
) -> None:
    made = instrument_for(symbol, venue, kind=kind)
    assert (made.symbol, made.venue) == (symbol, canonical_venue(venue))
    assert (made.lot_e9, made.calendar, made.currency) == (lot_e9, calendar, currency)


@given(
    symbol=st.one_of(st.text(max_size=20), st.from_regex(r"[A-Z0-9]{1,6}[FGHJKMNQUVXZ]\d{1,4}", fullmatch=True)),
    venue=st.one_of(st.text(max_size=12), st.sampled_from(["CME", "B3", "binance", "XNAS", "deribit"])),
    on_ns=st.one_of(st.none(), st.integers(MISSING, -MISSING - 1)),
)
def test_an_instrument_for_a_recording_never_fails(symbol: str, venue: str, on_ns: int | None) -> None:
    made = instrument_for(symbol, venue, on_ns=on_ns)
    assert made.lot_e9 > 0
    assert made.calendar in calendar_names()


def test_a_reader_asks_the_same_as_a_person_where_both_know() -> None:
    for root, future in active().contents.futures.items():
        text = f"{root}{future.months[0]}24"
        assert instrument_for(text, future.venue) == resolve(text)
    for venue, symbol in active().contents.entries:
        assert instrument_for(symbol, venue) == resolve(symbol, venue)
