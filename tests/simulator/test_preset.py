from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tapebook.kernels.sim_state import ROOM, World
from tapebook.market.errors import ConfigurationError
from tapebook.simulator import ES, PRESETS, is_spec, load_preset, parse_spec, preset, simulate, tape, world
from tapebook.simulator.episodes import EPISODES
from tapebook.simulator.planting import mean_lots, parse_episode
from tests.simulator.small import SMALL_ES


def changed(part: str, **values: Any) -> dict[str, Any]:
    """Return a part of ES with some values changed, as ``structs.replace`` takes it."""
    return {part: msgspec.structs.replace(getattr(ES, part), **values)}


def test_a_toml_file_says_only_what_differs_from_its_base(tmp_path: Path) -> None:
    path = tmp_path / "thin.toml"
    told = {"base": "es", "name": "es-thin", "start_price": "5000.25"}
    path.write_text(as_toml({**told, "price": {"vol_ticks": 1}, "instrument": {"symbol": "ESM6"}}))
    thin = load_preset(path)
    assert thin.name == "es-thin"
    assert thin.price.vol_ticks == 1.0
    assert thin.price.pull == ES.price.pull
    assert thin.instrument.symbol == "ESM6"
    assert thin.instrument.multiplier == Decimal(50)
    assert thin.start_price == Decimal("5000.25")
    assert msgspec.structs.replace(thin, name="es") != ES
    first = simulate(thin, 1, 2).events()
    assert first.tobytes() != simulate(ES, 1, 2).events().tobytes()


def as_toml(table: dict[str, Any]) -> str:
    """Write a table as TOML: its values, then its tables."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    lines += [f"[{key}]\n{as_toml(value)}" for key, value in table.items() if isinstance(value, dict)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_written_out_in_full_is_read_back_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / "whole.toml"
    path.write_text(f'base = "{name}"\n')
    assert load_preset(path) == PRESETS[name]
    path.write_text(as_toml(msgspec.to_builtins(PRESETS[name])))
    assert load_preset(path) == PRESETS[name]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("base = 3", "no such preset"),
        ('base = "gold"', "es, es-thin, nq, btc"),
        ('base = "es"\nspread = 3', "spread"),
        ('base = "es"\n[price]\nvol = 3', "vol"),
        ('base = "es"\n[price]\nvol_ticks = "a"', "vol_ticks"),
        ('base = "es"\n[queues]\nnear_orders = [1]', "near_orders"),
        ('base = "es"\n[flow', "bad preset"),
        ('name = "x"', "missing"),
        ('base = "es"\nstart_price = 6000.1', "multiple of the tick"),
    ],
)
def test_a_preset_file_that_is_wrong_says_where(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=word) as caught:
        load_preset(path)
    assert caught.value.where == str(path)


def test_a_preset_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such preset file"):
        load_preset(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load_preset(tmp_path / "bytes.toml")


@pytest.mark.parametrize(
    ("part", "values", "word"),
    [
        ("flow", {"tau_s": (0.1,)}, "values in each kernel"),
        ("flow", {"market_market": (0.5, 0.5, 0.1, 0.1, 0.1)}, "below 1"),
        ("flow", {"changes_changes": (0.9, 0.2, 0.0, 0.0, 0.0)}, "below 1"),
        ("queues", {"near_orders": (1.0, 0.0), "near_weight": (1.0, 1.0)}, "positive"),
        ("queues", {"near_weight": (1.0,)}, "one for each level"),
        ("queues", {"deep_levels": 3}, "deep_levels"),
        ("queues", {"reprice_share": 0.9, "reduce_share": 0.2}, "share"),
        ("sizes", {"orders": ((0, 1), (0.5, 3))}, "sizes.orders"),
        ("sizes", {"aggressors": ((0, 5), (1, 3))}, "sizes.aggressors"),
        ("signs", {"metaorders": 0}, "metaorder"),
        ("price", {"pin_ticks": 0.0}, "pin_ticks"),
        ("latency", {"least_us": -1.0}, "least_us"),
        ("hours", {"warm_up_s": -1.0}, "warm_up_s"),
        ("price", {"vol_ticks": float("nan")}, "price.vol_ticks = nan"),
        ("queues", {"near_weight": (float("inf"),) * 10}, "near_weight = inf"),
    ],
)
def test_a_preset_that_makes_no_market_is_refused_with_the_field(part: str, values: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        msgspec.structs.replace(ES, **changed(part, **values))


def test_rates_that_excitation_alone_would_exceed_are_refused() -> None:
    hot = msgspec.structs.replace(ES, **changed("flow", changes_per_s=20.0))
    with pytest.raises(ConfigurationError, match="more than excitation alone brings"):
        simulate(hot, 1, 1).events()


@pytest.mark.uncompiled
def test_a_pool_of_orders_that_runs_low_grows_and_nobody_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    roomy = simulate(SMALL_ES, 1, 2, ["flash_crash@0.3:fall_s=0.1:hold_s=0.1:recover_s=0.1"]).events()
    grown: list[int] = []
    grow = world.grown
    monkeypatch.setattr(world, "_pool_size", lambda _: ROOM + 300)  # the book holds about 400

    def watched(w: World) -> World:
        grown.append(w.orders.size)
        return grow(w)

    monkeypatch.setattr(tape, "grown", watched)
    tight = simulate(SMALL_ES, 1, 2, ["flash_crash@0.3:fall_s=0.1:hold_s=0.1:recover_s=0.1"]).events()
    assert grown, "the pool never ran low: the test tests nothing"
    assert tight.tobytes() == roomy.tobytes()


def test_a_spec_string_names_the_same_session_as_the_arguments() -> None:
    text = "sim:es?seed=3&duration_s=40&date=2026-03-05&start_s=60&episodes=iceberg@2:duration_s=9,sweep@30:side=sell"
    named = parse_spec(text)
    hours = msgspec.structs.replace(ES.hours, date="2026-03-05", start_s=60.0)
    other = simulate(msgspec.structs.replace(ES, hours=hours), 3, 40, ["iceberg@2:duration_s=9", "sweep@30:side=sell"])
    assert named.events().tobytes() == other.events().tobytes()
    assert named.truth()["kind"].to_pylist() == ["iceberg", "sweep"]
    assert is_spec(text)
    assert not is_spec("es.parquet")
    assert parse_spec("sim:nq?duration_s=1").instruments.only().symbol == "NQH6"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("es", "sim:PRESET"),
        ("sim:", "no such preset"),
        ("sim:gold", "es, es-thin, nq, btc"),
        ("sim:none.toml", "no such preset file"),
        ("sim:es?speed=3", "seed, duration_s"),
        ("sim:es?seed", "seed, duration_s"),
        ("sim:es?seed=x", "a number"),
        ("sim:es?seed=1.5", "a number"),
        ("sim:es?seed=1&seed=2", "twice"),
        ("sim:es?duration_s=nan", "duration_s"),
        ("sim:es?duration_s=inf", "duration_s"),
        ("sim:es?date=tomorrow", "date"),
        ("sim:es?episodes=ice@3", "no such episode"),
        ("sim:es?episodes=iceberg", "no such episode"),
        ("sim:es?duration_s=600&episodes=iceberg@now", "bad value"),
        ("sim:es?duration_s=600&episodes=iceberg@nan", "at_s"),
        ("sim:es?duration_s=600&episodes=iceberg@3:colour=red", "FIELD=VALUE"),
        ("sim:es?duration_s=600&episodes=iceberg@3:lots=many", "bad value"),
        ("sim:es?duration_s=600&episodes=iceberg@3:lots", "FIELD=VALUE"),
    ],
)
def test_a_spec_string_that_is_wrong_is_told_with_the_word_that_is(text: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        parse_spec(text)


def test_every_kind_of_episode_has_a_short_form_and_a_meaning() -> None:
    assert len(EPISODES) == 8
    for name, kind in EPISODES.items():
        episode = parse_episode(f"{name}@1")
        assert type(episode) is kind
        assert episode == parse_episode(f"{name.replace('_', '-')}@1.0")
        assert len(episode.meaning()) > 20
        assert episode.span_s() > 0


def test_a_quantile_law_has_the_mean_that_its_sizes_have() -> None:
    assert mean_lots(((0, 3), (1, 3))) == 3.0
    assert mean_lots(((0, 1), (0.5, 1), (0.5, 9), (1, 9))) == pytest.approx(5.0, rel=1e-3)


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="es, es-thin, nq, btc"):
        preset("zinc")
    assert preset("ES") is ES
