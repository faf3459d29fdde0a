from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tapebook.readers.columns import BAD, EMPTY, OK, TOO_FINE, TOO_LARGE, fixed_point, iso_times, local_to_utc

pytestmark = pytest.mark.uncompiled


@given(st.lists(st.decimals(min_value=-9_000_000_000, max_value=9_000_000_000, places=9), max_size=20))
def test_decimals_are_exact(values: list[Decimal]) -> None:
    out, ok = fixed_point(pa.array([f"{v:f}" for v in values], pa.string()))
    assert ok.tolist() == [OK] * len(values)
    assert out.tolist() == [int(v * 10**9) for v in values]


@given(st.text(alphabet='0123456789.,-+eE x"', max_size=12))
@example("1e400")
@example("-.5")
@example("9223372036854775807")
def test_a_number_is_what_decimal_says_it_is_or_is_refused(text: str) -> None:
    out, ok = fixed_point(pa.array([text]), 2)
    bare = text.strip(' "\t')
    if ok[0] == OK:
        assert int(out[0]) == Decimal(bare) * 100
    elif ok[0] == EMPTY:
        assert bare == ""
    elif ok[0] == TOO_FINE:
        assert Decimal(bare) * 100 % 1 != 0
    elif ok[0] == TOO_LARGE:
        assert abs(Decimal(bare) * 100) > 922337203685477579


@pytest.mark.parametrize(
    ("text", "digits", "expected"),
    [("4781.25", 9, 4781250000000), ("1e-05", 9, 10000), ("1.5E3", 0, 1500), ("0.000", 1, 0), ("-37.63", 2, -3763)],
)
def test_numbers_as_vendors_write_them(text: str, digits: int, expected: int) -> None:
    out, ok = fixed_point(pa.array([text]), digits)
    assert (int(ok[0]), int(out[0])) == (OK, expected)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", EMPTY),
        ("  ", EMPTY),
        ("1.2.3", BAD),
        ("nan", BAD),
        ("1,5", BAD),
        ("1.005", TOO_FINE),
        ("1" * 20, TOO_LARGE),
    ],
)
def test_what_is_no_number_is_refused_by_kind(text: str, code: int) -> None:
    assert int(fixed_point(pa.array([text]), 2)[1][0]) == code


def test_a_decimal_comma_has_to_be_asked_for() -> None:
    assert fixed_point(pa.array(["25263,25"]), 2, decimal_comma=True)[0].tolist() == [2526325]


@given(st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31)), st.integers(0, 999_999_999))
def test_iso_times_agree_with_the_standard_library(when: datetime, ns: int) -> None:
    when = when.replace(microsecond=0, tzinfo=UTC)
    text = f"{when:%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"
    out, ok = iso_times(pa.array([text]))
    assert (int(ok[0]), int(out[0])) == (OK, int(when.timestamp()) * 10**9 + ns)


def test_a_time_without_a_zone_is_not_guessed() -> None:
    assert iso_times(pa.array(["2025-10-09 18:00:00.032"]))[1].tolist() == [BAD]


@pytest.mark.parametrize("text", ["2023-02-29 00:00:00Z", "2023-13-01", "2024-01-01 24:00:00Z", "24-01-01", "2024-01"])
def test_impossible_dates_are_refused(text: str) -> None:
    assert int(iso_times(pa.array([text]))[1][0]) == BAD


@given(st.datetimes(datetime(2007, 4, 1), datetime(2030, 1, 1)))
def test_local_time_follows_daylight_saving_as_the_standard_library_does(wall: datetime) -> None:
    zone = ZoneInfo("America/Chicago")
    wall = wall.replace(microsecond=0, fold=0)
    naive_ns = int(wall.replace(tzinfo=UTC).timestamp()) * 10**9
    assert int(local_to_utc(np.array([naive_ns]), zone)[0]) == int(wall.replace(tzinfo=zone).timestamp()) * 10**9
