"""Making an episode ready for a market: its short form read, its sizes fitted, its numbers laid out for the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import sim_plan as script
from tapebook.kernels.sim_state import EPISODE, HELD, NONE
from tapebook.market.errors import ConfigurationError
from tapebook.simulator.episodes import (
    EPISODES,
    Episode,
    FlashCrash,
    Iceberg,
    InformedFlow,
    Layering,
    LiquidityEvaporation,
    QuoteStuffing,
    Sweep,
    WashTrades,
)
from tapebook.simulator.preset import Knots, Preset

__all__ = ["check", "fitted", "mean_lots", "parse_episode", "planted"]

_SIDES: Final = {"buy": 1, "bid": 1, "sell": -1, "ask": -1, "both": 0}
_COLUMNS: Final = 14
_MOST: Final = {"messages_per_s": 1e6, "aggressors_per_s": 1e4, "band_ticks": 5e3, "offset_ticks": 5e3}
"""Beyond these an episode would stand still: every step of it takes time to simulate."""


def parse_episode(text: str) -> Episode:
    """Read an episode from its short form: ``KIND@SECONDS`` and, after colons, ``field=value``.

    Raises
    ------
    ConfigurationError
        If the kind, a field or a value is not known.

    Examples
    --------
    >>> parse_episode("sweep@300")
    Sweep(at_s=300.0, side=1, levels=4, last_share=0.4)
    >>> parse_episode("iceberg@120:side=ask:lots=600").side
    -1
    """
    head, *fields = text.strip().split(":")
    name, at, seconds = head.partition("@")
    kind = EPISODES.get(name.strip().replace("-", "_"))
    if kind is None or not at:
        raise ConfigurationError(
            "no such episode",
            expected=f"KIND@SECONDS with one of {', '.join(EPISODES)}",
            found=repr(text),
            remedy="for example iceberg@120 or sweep@300:side=sell:levels=5",
        )
    told: dict[str, Any] = {"at_s": seconds}
    for field in fields:
        key, equals, value = field.partition("=")
        key = key.strip()
        if not equals or key not in kind.__struct_fields__:
            raise ConfigurationError(
                f"episode {kind.name} has no such field",
                expected=f"FIELD=VALUE with one of {', '.join(kind.__struct_fields__)}",
                found=repr(field),
                where=text,
            )
        told[key] = _SIDES.get(value.strip().lower(), value.strip()) if key == "side" else value.strip()
    try:
        return msgspec.convert(told, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"episode {kind.name}: bad value", found=str(error), where=text) from error


def mean_lots(knots: Knots) -> float:
    """Mean of a quantile law, by the midpoints of 10,000 equally likely sizes."""
    p, lots = np.array(knots).T
    u = (np.arange(10_000) + 0.5) / 10_000
    return float(np.maximum(np.rint(np.exp(np.interp(u, p, np.log(lots)))), 1).mean())


def _quantile(knots: Knots, probability: float) -> int:
    p, lots = np.array(knots).T
    return max(round(float(np.exp(np.interp(probability, p, np.log(lots))))), 1)


def fitted(episode: Episode, preset: Preset) -> Episode:
    """Return ``episode`` with every size of 0 replaced by one that fits ``preset``."""
    sizes = preset.sizes
    touch = preset.queues.near_orders[0] * mean_lots(sizes.orders)
    vol = preset.price.vol_ticks
    band = max(len(preset.queues.near_orders), round(6 * vol))
    change: dict[str, Any] = {}
    if isinstance(episode, Iceberg):
        peak = episode.peak_lots or max(round(0.05 * touch), 4)
        change = {"peak_lots": peak, "lots": episode.lots or max(30 * peak, 40)}
    elif isinstance(episode, Layering):
        large = max(round(touch), 2 * _quantile(sizes.orders, 0.99))
        change = {
            "lots": episode.lots or large,
            "offset_ticks": episode.offset_ticks or max(round(6 * vol * episode.hold_s**0.5), 2),
            "small_lots": episode.small_lots or max(_quantile(sizes.aggressors, 0.85), 2),
        }
    elif isinstance(episode, FlashCrash):
        change = {
            "ticks": episode.ticks or max(float(round(45 * vol * episode.fall_s**0.5)), 20.0),
            "lots": episode.lots or _quantile(sizes.aggressors, 0.9),
            "band_ticks": episode.band_ticks or band,
            "aggressors_per_s": episode.aggressors_per_s or 4 * preset.flow.aggressors_per_s,
        }
    elif isinstance(episode, LiquidityEvaporation):
        change = {"band_ticks": episode.band_ticks or band}
    elif isinstance(episode, InformedFlow):
        change = {
            "ticks": episode.ticks or max(float(round(12 * vol)), 4.0),
            "lots": episode.lots or _quantile(sizes.aggressors, 0.9),
            "aggressors_per_s": episode.aggressors_per_s or 0.5 * preset.flow.aggressors_per_s,
        }
    elif isinstance(episode, WashTrades):
        change = {"lots": episode.lots or max(_quantile(sizes.aggressors, 0.85), 2)}
    return msgspec.structs.replace(episode, **change)


def check(episode: Episode, duration_s: float) -> None:
    """Raise :class:`ConfigurationError` unless ``episode`` makes sense and fits into the tape."""
    rules = [
        (episode.at_s >= 0, "at_s", "a time from 0", episode.at_s),
        (episode.at_s + episode.span_s() <= duration_s, "at_s", _until(duration_s, episode.span_s()), episode.at_s),
    ]
    two_sided = isinstance(episode, LiquidityEvaporation | WashTrades)
    rules.append(
        (episode.side in ((0,) if two_sided else (1, -1)), "side", "0" if two_sided else "1 or -1", episode.side)
    )
    for name in episode.__struct_fields__:
        value = getattr(episode, name)
        if name in ("at_s", "side", "native"):
            continue
        most = _MOST.get(name, 1e9)
        rules.append((0 <= value <= most, name, f"a number from 0 to {most:g}", value))
        if name.endswith("_share"):
            rules.append((value <= 1, name, "a share, at most 1", value))
        elif name in ("fall_s", "recover_s", "lead_s", "messages_per_s", "aggressors_per_s", "life_s"):
            rules.append((value > 0, name, "a positive number", value))
    if isinstance(episode, Iceberg):
        fits = episode.lots >= episode.peak_lots + 2 and episode.peak_lots >= 2
        rules.append((fits, "lots", "peak_lots of at least 2, and at least 2 more in all", episode.lots))
    elif isinstance(episode, Layering):
        rules.append((1 <= episode.layers <= HELD, "layers", f"1 to {HELD}", episode.layers))
        rules.append((episode.offset_ticks >= 1, "offset_ticks", "at least 1", episode.offset_ticks))
    elif isinstance(episode, QuoteStuffing):
        rules.append((episode.lots >= 1, "lots", "at least 1", episode.lots))
        rules.append((episode.offset_ticks >= 1, "offset_ticks", "at least 1", episode.offset_ticks))
    elif isinstance(episode, Sweep):
        rules.append((1 <= episode.levels <= 40, "levels", "1 to 40", episode.levels))
    for ok, field, expected, found in rules:
        if not ok:
            raise ConfigurationError(f"episode {episode.name}: {field}", expected=expected, found=str(found))


def _until(duration_s: float, span_s: float) -> str:
    return f"a start that leaves it its {span_s:g} s before the tape ends at {duration_s:g} s"


def planted(episodes: Sequence[Episode], start_ns: int) -> tuple[NDArray[np.void], NDArray[np.float64]]:
    """Return the kernel's records and script parameters of fitted episodes, for a tape that starts at ``start_ns``."""
    records = np.zeros(len(episodes), EPISODE)
    parameters = np.zeros((len(episodes), _COLUMNS))
    for record, row, episode in zip(records, parameters, episodes, strict=True):
        record["kind"] = episode.code
        record["side"] = episode.side
        record["start_ns"] = record["next_ns"] = start_ns + round(episode.at_s * 1e9)
        record["slot"] = NONE
        for name in ("add_bid", "add_ask", "cancel_bid", "cancel_ask"):
            record[name] = 1.0
        for column, value in _row(episode).items():
            row[column] = value
    return records, parameters


def _row(e: Episode) -> dict[int, float]:
    """Return the script columns of an episode."""
    if isinstance(e, FlashCrash):
        return {
            script.C_DURATION: e.fall_s,
            script.C_LOTS: e.lots,
            script.C_TICKS: e.ticks,
            script.C_HOLD: e.hold_s,
            script.C_RECOVER: e.recover_s,
            script.C_SHARE: e.recovered_share,
            script.C_RATE: e.aggressors_per_s,
            script.C_DEPTH: e.depth_share,
            script.C_BAND: e.band_ticks,
        }
    if isinstance(e, LiquidityEvaporation):
        return {
            script.C_DURATION: e.fade_s,
            script.C_HOLD: e.hold_s,
            script.C_RECOVER: e.recover_s,
            script.C_SHARE: e.depth_share,
            script.C_BAND: e.band_ticks,
        }
    if isinstance(e, QuoteStuffing):
        return {
            script.C_DURATION: e.duration_s,
            script.C_LOTS: e.lots,
            script.C_RATE: e.messages_per_s,
            script.C_OFFSET: e.offset_ticks,
            script.C_LIFE: e.life_s,
        }
    if isinstance(e, Iceberg):
        return {
            script.C_DURATION: e.duration_s,
            script.C_LOTS: e.lots,
            script.C_PEAK: e.peak_lots,
            script.C_NATIVE: float(e.native),
        }
    if isinstance(e, Sweep):
        return {script.C_COUNT: e.levels, script.C_SHARE: e.last_share}
    if isinstance(e, Layering):
        return {
            script.C_DURATION: e.duration_s,
            script.C_LOTS: e.lots,
            script.C_HOLD: e.hold_s,
            script.C_COUNT: e.layers,
            script.C_OFFSET: e.offset_ticks,
            script.C_PEAK: e.small_lots,
        }
    if isinstance(e, WashTrades):
        return {script.C_DURATION: e.duration_s, script.C_LOTS: e.lots, script.C_COUNT: e.round_trips}
    assert isinstance(e, InformedFlow)
    return {
        script.C_DURATION: e.lead_s,
        script.C_LOTS: e.lots,
        script.C_TICKS: e.ticks,
        script.C_RATE: e.aggressors_per_s,
    }
