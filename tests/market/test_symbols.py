from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.symbols import EXPIRED_MONTHS_MAX, MONTH_CODES, Contract, full_year, parse_contract


def at(day: str) -> int:
    return int(np.datetime64(day, "ns").astype(np.int64))


SPELLINGS = {
    "ESH4": ("ES", "2024-03"),
    "ESH24": ("ES", "2024-03"),
    "ESH2024": ("ES", "2024-03"),
    "ESU4": ("ES", "2024-09"),
    "esh24": ("ES", "2024-03"),
    "M2KZ24": ("M2K", "2024-12"),
    "6EM24": ("6E", "2024-06"),
    "CON.F.US.MNQ.M25": ("MNQ", "2025-06"),
    "CON.F.US.EP.H24": ("EP", "2024-03"),
    "CON.F.US.EU6.U26": ("EU6", "2026-09"),
    "F.US.EPH24": ("EP", "2024-03"),
    "ESH24-CME": ("ES", "2024-03"),
    "ESH24-CME.scid": ("ES", "2024-03"),
    "CLZ24-NYMEX": ("CL", "2024-12"),
    "ESH24_FUT_CME": ("ES", "2024-03"),
    "ESH24_FUT_CME.scid": ("ES", "2024-03"),
    "@ESH24": ("ES", "2024-03"),
    "/ESH24": ("ES", "2024-03"),
    "/ESH24:XCME": ("ES", "2024-03"),
    "ES 03-24": ("ES", "2024-03"),
    "WINQ26": ("WIN", "2026-08"),
    "WDOU26": ("WDO", "2026-09"),
}


@pytest.mark.parametrize(("text", "meaning"), SPELLINGS.items(), ids=list(SPELLINGS))
def test_each_vendors_spelling_of_a_contract_is_read(text: str, meaning: tuple[str, str]) -> None:
    contract = parse_contract(text, at("2024-01-15"))
    assert contract is not None
    assert (contract.root, contract.expiry) == meaning
    assert not contract.continuation


@pytest.mark.parametrize(
    ("text", "root", "how"),
    [
        ("ES.c.0", "ES", ".C.0"),
        ("NQ.v.1", "NQ", ".V.1"),
        ("CL.n.2", "CL", ".N.2"),
        ("@ES#", "ES", "#"),
        ("@ES#C", "ES", "#C"),
        ("ES ##-##", "ES", "##-##"),
        ("ES1!", "ES", "1!"),
        ("ES=F", "ES", "=F"),
        ("WIN$", "WIN", "$"),
        ("WIN$N", "WIN", "$N"),
        ("WIN@D", "WIN", "@D"),
        ("WDOFUT", "WDO", "FUT"),
        ("F.US.EP", "EP", ""),
        ("ES.FUT", "ES", ""),
        ("/ES", "ES", ""),
    ],
)
def test_continuous_series_and_whole_products_have_no_expiry(text: str, root: str, how: str) -> None:
    assert parse_contract(text, at("2024-01-15")) == Contract(root=root, continuation=how)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AMZN",
        "BTCUSDT",
        "BTC-USD",
        "BTC-PERPETUAL",
        "BTCUSD_PERP",
        "PETR4",
        "ESH4-ESM4",
        "ES 13-24",
        "ES:BF H4",
        "H4",
    ],
)
def test_what_is_no_future_is_not_taken_for_one(text: str) -> None:
    assert parse_contract(text, at("2024-01-15")) is None


def test_the_exchange_that_a_symbol_names_is_kept() -> None:
    for text in ("CLZ24-NYMEX", "CLZ24-NYMEX.scid", "CLZ24_FUT_NYMEX"):
        contract = parse_contract(text)
        assert contract is not None
        assert contract.exchange == "NYMEX"


@pytest.mark.parametrize(
    ("symbol", "seen_on", "expiry"),
    [
        ("ESH4", "2024-01-15", "2024-03"),
        ("ESH4", "2014-01-15", "2014-03"),
        ("ESH4", "2024-06-20", "2024-03"),  # three months after it expired: still that one
        ("ESH4", "2024-07-01", "2034-03"),  # not listed yet on that day, but no longer the old one
        ("ESH1", "2020-12-28", "2021-03"),  # over the turn of a decade
        ("ESZ9", "2020-01-02", "2019-12"),
        ("ESZ0", "2019-12-31", "2020-12"),
        ("CLZ3", "2024-12-01", "2033-12"),
    ],
)
def test_a_one_digit_year_is_the_next_one_that_is_not_long_expired(symbol: str, seen_on: str, expiry: str) -> None:
    contract = parse_contract(symbol, at(seen_on))
    assert contract is not None
    assert contract.expiry == expiry


def test_a_one_digit_year_without_a_time_stays_open_and_keeps_its_spelling() -> None:
    contract = parse_contract("ESH4")
    assert contract is not None
    assert (contract.month, contract.year, contract.expiry, contract.code()) == (3, 0, "", "ESH4")


@given(
    month=st.integers(1, 12),
    digit=st.integers(0, 9),
    day=st.integers(0, 365 * 60),
)
def test_the_decade_is_the_only_one_that_fits_the_rule(month: int, digit: int, day: int) -> None:
    seen = np.datetime64("1990-01-01") + day
    year = full_year(str(digit), month, int(seen.astype("M8[ns]").astype(np.int64)))
    oldest = seen.astype("M8[M]") - EXPIRED_MONTHS_MAX
    candidates = [y for y in range(1980, 2075) if y % 10 == digit and np.datetime64(f"{y}-{month:02d}") >= oldest]
    assert year == min(candidates)


@given(
    root=st.sampled_from(["ES", "MES", "M2K", "6E", "ZN", "WIN", "MNQ", "CL", "NQ"]),
    month=st.integers(1, 12),
    year=st.integers(2000, 2069),
    seen_months_before=st.integers(-EXPIRED_MONTHS_MAX, 100),
)
def test_what_a_contract_is_called_reads_back_as_the_same_contract(
    root: str, month: int, year: int, seen_months_before: int
) -> None:
    expiry = np.datetime64(f"{year}-{month:02d}")
    seen_ns = int((expiry - seen_months_before).astype("M8[ns]").astype(np.int64))
    made = Contract(root=root, month=month, year=year)
    for digits in (1, 2, 4):
        read = parse_contract(made.code(year_digits=digits), seen_ns)
        assert read is not None
        assert (read.root, read.month, read.year) == (root, month, year)
    assert made.code()[len(root)] == MONTH_CODES[month - 1]


@given(st.text(max_size=30))
def test_no_text_is_too_strange_to_be_looked_at(text: str) -> None:
    contract = parse_contract(text, at("2024-01-15"))
    assert contract is None or contract.root
