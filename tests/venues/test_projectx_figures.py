"""ProjectX's numbers and times against the exact arithmetic of Decimal and datetime."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tapebook.market.events import MISSING
from tapebook.venues.projectx.figures import lots, on_grid, price_e9, time_ns

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICKS = ("0.25", "0.1", "1", "5", "0.00005", "0.0000005", "0.0078125", "0.00390625", "0.015625", "0.03125", "0.01")


@given(st.integers(-(10**15) + 1, 10**15 - 1))
def test_a_decimal_of_fifteen_digits_is_read_exactly(units: int) -> None:
    """Up to a price of a million with nine digits behind the point, as JSON writes it and a double holds it."""
    text = format(Decimal(units) / 10**9, "f")
    assert price_e9(float(text)) == units


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-9_000_000_000, max_value=9_000_000_000))
def test_large_prices_are_read_exactly_too(price: Decimal) -> None:
    assert price_e9(float(price)) == int(price * 10**9)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_is_its_own_shortest_decimal_or_missing(price: float) -> None:
    exact = Decimal(repr(price)) * 10**9
    units = price_e9(price)
    if units != MISSING:
        assert units == exact or abs(Decimal(price) * 10**9 - units) < Decimal("0.5")
    elif abs(price) < 1e9:
        assert exact != int(exact)


@given(st.sampled_from(TICKS), st.integers(-(10**6), 10**8))
def test_every_multiple_of_a_tick_is_on_its_grid(tick: str, n: int) -> None:
    tick_e9 = int(Decimal(tick) * 10**9)
    price = Decimal(tick) * n
    if abs(price) < 1_000_000:
        assert on_grid(float(price), tick_e9) == (n * tick_e9, False)
        assert on_grid(float(price) + float(tick) * 1e-8, tick_e9) == (n * tick_e9, True)
        assert on_grid(float(price) + float(tick) / 2, tick_e9)[0] == MISSING


@given(st.datetimes(datetime(2009, 1, 2), datetime(2099, 12, 30)), st.integers(0, 999), st.integers(0, 9))
def test_times_are_exact_to_the_last_digit(naive: datetime, more_ns: int, digits: int) -> None:
    t = naive.replace(tzinfo=UTC)
    ns = ((t - EPOCH) // timedelta(microseconds=1)) * 1000 + more_ns
    fraction = f"{ns % 10**9:09d}"[:digits]
    expected = ns // 10**9 * 10**9 + int(fraction.ljust(9, "0"))
    text = t.strftime("%Y-%m-%dT%H:%M:%S").zfill(19) + (f".{fraction}" if digits else "")
    for _ in range(2):  # the second time its second is known
        assert time_ns(text + "+00:00") == expected
        assert time_ns(text + "Z") == expected
    for hours in (-6, 5.5):
        zone = timezone(timedelta(hours=hours))
        local = t.astimezone(zone).isoformat(timespec="seconds")
        assert time_ns(local[:19] + text[19:] + local[19:]) == expected


@pytest.mark.parametrize(
    "text",
    ["", "x", "2026-08-19", "2026-08-19T20:51:31", "2026-08-19T20:51:31.5", "2026-08-19T20:51:31.+00:00",
     "2026-08-19T20:51:31.1234567891+00:00", "2026-02-30T20:51:31Z", "2026-08-19T24:51:31Z", "1999-08-19T20:51:31Z",
     "2101-08-19T20:51:31Z", "2026-08-19T20:51:31.٣+00:00", "2026-08-19T20:51:31.1_0+00:00", "20260819T205131Z",
     "2026-08-19T20:51:31,5Z", "2026-08-19T20:51:31.5+0000", "+00:00", "T+00:00", "2026-W08-1T20:51:31Z"],
)  # fmt: skip
def test_what_is_no_time_is_none(text: str) -> None:
    assert time_ns("2026-08-19T20:51:31.5+00:00") == 1_787_172_691_500_000_000  # so that its second is known
    assert time_ns(text) is None


@given(st.text())
@example("2026-08-19T20:51:31.5+00:00"[:-1] + "\u0660")
def test_no_text_raises(text: str) -> None:
    time_ns(text)
    time_ns("2026-08-19T20:51:31" + text + "+00:00")


def test_a_time_that_was_never_set_is_missing() -> None:
    assert time_ns(None) == time_ns("0001-01-01T00:00:00+00:00") == time_ns("0001-01-01T00:00:00Z") == MISSING


def test_lots_are_whole_numbers_that_can_be() -> None:
    assert [lots(v) for v in (0, 0.0, 1.0, 12_000.0)] == [0, 0, 1, 12_000]
    assert [lots(v) for v in (-1.0, 0.5, 1e300, float("inf"), float("nan"))] == [-1] * 5
    assert lots(None) == MISSING
