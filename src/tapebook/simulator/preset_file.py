"""Presets from TOML: a preset to start from, and what differs."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from tapebook.market.errors import ConfigurationError
from tapebook.simulator.preset import Preset
from tapebook.simulator.presets import preset

__all__ = ["load_preset"]


def load_preset(path: Path) -> Preset:
    """Read a preset from TOML: a ``base`` to start from, and what differs (or everything, without a base).

    Raises
    ------
    ConfigurationError
        If the file cannot be read as one, with the field that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError("no such preset file", found=str(error.strerror), where=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError("a preset file must be UTF-8", found=str(error), where=str(path)) from error
    try:
        told = tomllib.loads(text)
        base = told.pop("base", None)
        if base is not None:
            told = _merge(msgspec.to_builtins(preset(str(base)), builtin_types=(Decimal,)), told)
        return msgspec.convert(told, Preset, strict=False)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError("bad preset", found=str(error), where=str(path)) from error
    except ConfigurationError as error:
        error.where = error.where or str(path)
        raise


def _merge(base: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with what ``told`` says in its place, table by table."""
    merged = dict(base)
    for name, value in told.items():
        known = merged.get(name)
        merged[name] = _merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
