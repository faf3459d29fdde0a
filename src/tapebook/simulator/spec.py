"""The front for other commands: a simulated session written where a file name could stand.

``sim:PRESET`` and, after a question mark, settings joined by ``&``::

    sim:es
    sim:es?seed=3&duration_s=600&episodes=iceberg@120,sweep@300:side=sell
    sim:my-preset.toml?seed=2
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from tapebook.market.errors import ConfigurationError
from tapebook.simulator.preset import Preset
from tapebook.simulator.preset_file import load_preset
from tapebook.simulator.presets import preset
from tapebook.simulator.tape import SimulatedTape, simulate

__all__ = ["PREFIX", "is_spec", "parse_spec", "preset_named"]

PREFIX: Final = "sim:"
_SETTINGS: Final = {"seed": int, "duration_s": float, "date": str, "start_s": float, "episodes": str}


def is_spec(text: str) -> bool:
    """Return whether ``text`` names a simulated session rather than a file.

    >>> is_spec("sim:es?seed=3"), is_spec("es.dbn")
    (True, False)
    """
    return text.startswith(PREFIX)


def preset_named(name: str, *, date: str = "", start_s: float | None = None) -> Preset:
    """Return the preset of that name, or of that TOML file, on another day or started later if asked for.

    Raises
    ------
    ConfigurationError
        If there is none, or the file is no preset.

    Examples
    --------
    >>> preset_named("nq", date="2026-03-05").hours.date
    '2026-03-05'
    """
    market = load_preset(Path(name)) if name.endswith(".toml") else preset(name)
    hours = msgspec.structs.replace(
        market.hours,
        date=date or market.hours.date,
        start_s=market.hours.start_s if start_s is None else start_s,
    )
    return msgspec.structs.replace(market, hours=hours)


def parse_spec(text: str) -> SimulatedTape:
    """Return the session that a spec string names.

    Parameters
    ----------
    text
        ``sim:PRESET?seed=1&duration_s=600&date=2026-03-04&start_s=0&episodes=KIND@SECONDS,…``; all settings optional.

    Raises
    ------
    ConfigurationError
        If any part of it is not understood.

    Examples
    --------
    >>> parse_spec("sim:es?seed=3&duration_s=600&episodes=iceberg@120,sweep@300").origin.details["seed"]
    3
    """
    if not is_spec(text):
        raise ConfigurationError("not a simulated session", expected=f"{PREFIX}PRESET?seed=…", found=repr(text))
    name, _, query = text.removeprefix(PREFIX).partition("?")
    told: dict[str, Any] = {}
    for part in query.split("&") if query else ():
        key, equals, value = part.partition("=")
        if not equals or key not in _SETTINGS:
            raise ConfigurationError(
                "no such setting of a simulated session",
                expected=f"SETTING=VALUE with one of {', '.join(_SETTINGS)}",
                found=repr(part),
                where=text,
            )
        if key in told:
            raise ConfigurationError("a setting is given twice", found=key, where=text)
        try:
            told[key] = _SETTINGS[key](value)
        except ValueError:
            raise ConfigurationError(
                f"bad value of {key}", expected="a number", found=repr(value), where=text
            ) from None
    market = preset_named(name, date=told.pop("date", ""), start_s=told.pop("start_s", None))
    told["episodes"] = [e for e in told.get("episodes", "").split(",") if e]
    return simulate(market, **told)
