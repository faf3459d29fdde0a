from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.catalog import active, instrument_for, resolve, use
from tapebook.market.catalog_file import Contents, e9, parse
from tapebook.market.errors import ConfigurationError, TickDataError, UnknownInstrument

GOOD = """
schema = 1

[venue.EUREX]
aliases = ["XEUR"]
calendar = "24-7"
currency = "EUR"
lot = 1

[future.FESX]
name = "Euro Stoxx 50"
venue = "EUREX"
tick = 1
multiplier = 10
months = "HMUZ"
history = [{ until = 2021-01-01, tick = 0.5 }]

[future.ES]
name = "my ES"
venue = "CME"
tick = 0.5
multiplier = 50
override = true

[instrument."KRAKEN:XBT/USD"]
kind = "spot"
tick = 0.1
lot = 1e-8
currency = "USD"

[[rule]]
venue = "B3"
match = 'DOL[FGHJKMNQUVXZ]\\d\\d'
kind = "future"
tick = 0.5
multiplier = 50
"""


@pytest.fixture(autouse=True)
def _nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("TAPEBOOK_CATALOG", raising=False)
    monkeypatch.delenv("TAPEBOOK_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield
    use(None)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_users_file_adds_venues_products_instruments_and_rules(tmp_path: Path) -> None:
    use(write(tmp_path / "mine.toml", GOOD))
    fesx = resolve("FESXU25")
    assert (fesx.symbol, fesx.venue, fesx.tick_value, fesx.currency) == ("FESXU5", "EUREX", Decimal(10), "EUR")
    assert resolve("FESXH0", on_ns=1_577_836_800_000_000_000).tick == Decimal("0.5")
    assert resolve("FESX", "xeur") == resolve("FESX")
    assert resolve("xbt/usd", "kraken").tick == Decimal("0.1")
    assert instrument_for("DOLU25", "BMF").multiplier == 50
    assert resolve("NQ").tick == Decimal("0.25")  # and everything packaged is still there


def test_a_known_entry_is_replaced_only_where_the_file_says_so(tmp_path: Path) -> None:
    use(write(tmp_path / "mine.toml", GOOD))
    assert resolve("ES").tick == Decimal("0.5")
    use(write(tmp_path / "slip.toml", GOOD.replace("override = true", "")))
    with pytest.raises(
        ConfigurationError, match=r"already in the catalogue \(.*slip\.toml, \[future\.ES\]\); write `ove"
    ):
        resolve("ES")


def test_the_places_of_a_users_file_are_asked_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def naming(name: str) -> str:
        return f'[instrument."X:A"]\nkind = "spot"\nname = "{name}"\n'

    def told() -> str:
        found = active().find("A", "X")
        return found.name if found else ""

    folder = tmp_path / "config" / "tapebook"
    assert told() == ""
    write(folder / "catalog.toml", naming("beside"))
    assert told() == "beside"
    write(folder / "other.toml", naming("configured"))
    write(folder / "config.toml", 'catalog = "other.toml"')
    assert told() == "configured"
    monkeypatch.setenv("TAPEBOOK_CATALOG", str(write(tmp_path / "env.toml", naming("environment"))))
    assert told() == "environment"
    use(write(tmp_path / "chosen.toml", naming("chosen")))
    assert told() == "chosen"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.toml", GOOD)
    use(path)
    assert resolve("FESX").multiplier == 10
    write(path, GOOD.replace("multiplier = 10", "multiplier = 11"))
    os.utime(path, ns=(1, 1))  # a clock of one-second files must not hide the change
    assert resolve("FESX").multiplier == 11


def test_a_file_that_is_not_there_names_who_asked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEBOOK_CATALOG", str(tmp_path / "gone.toml"))
    with pytest.raises(
        ConfigurationError, match=r"found No such file or directory \(.*gone\.toml\); correct \$TAPEBOOK_CAT"
    ):
        active()
    use(tmp_path)  # a folder
    with pytest.raises(ConfigurationError, match="cannot be read"):
        active()
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\nschema = 1\n")
    use(tmp_path / "latin.toml")
    with pytest.raises(ConfigurationError, match="cannot be read: found 'utf-8' codec"):
        active()


FUTURE = '[future.XX]\nname = "X"\nvenue = "CME"\ntick = 0.5\nmultiplier = 10\n'
BAD = {
    "no TOML": ("[future.XX", "not TOML", "x.toml"),
    "unknown table": ("[futures.XX]\ntick = 1", "found `futures`", "x.toml"),
    "another schema": ("schema = 2", "expected 1, found 2", "field schema"),
    "unknown field": (FUTURE + "tik = 1", "expected a known field, found `tik`", "[future.XX]"),
    "missing field": (FUTURE.replace("tick = 0.5\n", ""), "expected field `tick`", "[future.XX]"),
    "text for a number": (FUTURE.replace("0.5", '"a half"'), "decimal", "[future.XX] field tick"),
    "wrong type": (FUTURE.replace("0.5", "true"), "expected `decimal`, found True", "[future.XX] field tick"),
    "negative tick": (
        FUTURE.replace("0.5", "-0.5"),
        "a number from 0 to 1000000000, whole in units of 1e-9, found -0.5",
        "field tick",
    ),
    "too fine a tick": (FUTURE.replace("0.5", "1e-10"), "whole in units of 1e-9, found 1E-10", "field tick"),
    "too large a tick": (FUTURE.replace("0.5", "1e999999999"), "found 1E+999999999", "field tick"),
    "too many digits": ("schema = " + "9" * 5000, "not TOML", "x.toml"),
    "too deep": ("schema = " + "[" * 5000, "not TOML", "x.toml"),
    "no number": (FUTURE.replace("0.5", "nan"), "field tick", "[future.XX] field tick"),
    "no multiplier": (FUTURE.replace("10", "0"), "a positive number up to 1000000000, found 0", "field multiplier"),
    "unknown calendar": (FUTURE + 'calendar = "CMX"', "expected one of 24-7, B3", "field calendar"),
    "unknown month": (FUTURE + 'months = "HMUA"', "letters of FGHJKMNQUVXZ, found 'HMUA'", "field months"),
    "unknown kind": ('[instrument."X:A"]\nkind = "coin"', "expected one of future, perpetual", "field kind"),
    "no venue": ("[instrument.A]\nkind = 'spot'", '"VENUE:SYMBOL"', '[instrument."A"]'),
    "lower case": ('[instrument."x:a"]\nkind = "spot"', "upper case", '[instrument."x:a"]'),
    "lower-case root": (FUTURE.replace("XX", "xx"), "upper-case letters", "[future.xx]"),
    "no lot": ('[instrument."X:A"]\nkind = "spot"\nlot = 0', "a positive number up to", "field lot"),
    "no table": ("future = 3", "tables like [future.NAME]", "[future]"),
    "no array": ("[rule]\nvenue = 'X'", "each under [[rule]]", "[[rule]]"),
    "no regex": (
        "[[rule]]\nvenue='X'\nmatch='('\nkind='spot'",
        "a regular expression",
        "[[rule]] number 1 field match",
    ),
    "rule of no venue": ("[[rule]]\nvenue=3\nmatch='A'\nkind='spot'", "expected `str | array`, found 3", "field venue"),
    "year digits": ("[venue.X]\nyear_digits = 3", "1, 2 or 4", "[venue.X] field year_digits"),
    "taken alias": (FUTURE + 'aliases = ["EP"]', "found `EP`, which ES has already", "[future.XX] field aliases"),
    "lower-case alias": (FUTURE + 'aliases = ["xy"]', "upper case, found `xy`", "[future.XX] field aliases"),
    "history out of order": (
        FUTURE + "history = [{until = 2020-01-01, tick = 1}, {until = 2019-01-01, tick = 2}]",
        "in the order of their `until`",
        "[future.XX] field history",
    ),
    "history without a day": (
        FUTURE + "history = [{until = 3, tick = 1}]",
        "date",
        "[future.XX] field history[0].until",
    ),
    "entry is no table": ("[future]\nXX = 3", "expected `object`, found 3", "[future.XX]"),
}


@pytest.mark.parametrize(("text", "words", "place"), BAD.values(), ids=list(BAD))
def test_a_mistake_is_told_with_file_table_field_expected_and_found(text: str, words: str, place: str) -> None:
    from tapebook.market.catalog import _packaged

    with pytest.raises(ConfigurationError) as caught:
        parse(text, "x.toml", _packaged().contents)
    told = str(caught.value)
    assert words in told, told
    assert place in caught.value.where, told
    assert caught.value.where.startswith("x.toml")


def test_the_packaged_catalogue_is_what_its_own_checks_ask_for() -> None:
    contents = active().contents
    assert {"ES", "WIN"} <= set(contents.futures)
    assert parse("", "empty.toml", contents) == contents


@given(st.text(max_size=200))
def test_no_text_makes_anything_but_our_own_errors(text: str) -> None:
    try:
        made = parse(text, "x.toml")
    except TickDataError:
        return
    assert isinstance(made, Contents)


@given(st.integers(0, 10**15))
def test_decimals_become_units_of_1e_9_exactly(units: int) -> None:
    assert e9(Decimal(units) / 10**9) == units


def test_a_rule_of_the_user_goes_before_the_packaged_ones(tmp_path: Path) -> None:
    rule = "[[rule]]\nvenue = 'XNAS'\nmatch = 'AMZN'\nkind = 'stock'\ntick = 0.05\n"
    use(write(tmp_path / "mine.toml", rule))
    assert resolve("AMZN", "XNAS").tick == Decimal("0.05")
    assert resolve("MSFT", "XNAS").tick == Decimal("0.01")


def test_an_error_in_the_users_file_reaches_readers_too(tmp_path: Path) -> None:
    use(write(tmp_path / "mine.toml", FUTURE + "tik = 1"))
    with pytest.raises(ConfigurationError, match="tik") as caught:
        instrument_for("ESH4", "CME")
    assert not isinstance(caught.value, UnknownInstrument)
