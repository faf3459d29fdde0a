"""The user's settings: one small TOML file, and none is needed.

    # $TAPEBOOK_CONFIG, or ~/.config/tapebook/config.toml
    catalog = "instruments.toml"         # more instruments; relative to this file
    lake = "~/market-data"               # where Parquet is kept
    time_zone = "America/Sao_Paulo"      # of files whose times name no zone

Only what a command uses stands here; an unknown key is refused, so that a misspelt one does not go unnoticed.

A file with a key that names a secret (``…password``, ``…token``, ``…api_key`` …) is read only if nobody but its owner
can read it. No command of today needs a secret, so there is no such key yet; the guard comes before the first one.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import tomllib
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from tapebook.market.errors import ConfigurationError

__all__ = ["Config", "config_path", "load_config"]

_SECRET_KEY: Final = re.compile(r"(?i)(secret|password|passwd|token|(api|private)[_-]?key)")
_OTHERS_MAY: Final = stat.S_IRWXG | stat.S_IRWXO


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings; every one has a default.

    Attributes
    ----------
    catalog
        File of further instruments.
    lake
        Folder of the Parquet lake.
    time_zone
        IANA name of the zone of files whose times name none; empty: such files must be given one.
    """

    catalog: Path | None = None
    lake: Path | None = None
    time_zone: str = ""


def config_path() -> Path:
    """Return where the settings are looked for: ``$TAPEBOOK_CONFIG``, else ``tapebook/config.toml`` among the user's.

    Examples
    --------
    >>> config_path().name.endswith(".toml")
    True
    """
    named = os.environ.get("TAPEBOOK_CONFIG", "")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "tapebook" / "config.toml"


def load_config(path: Path | None = None) -> Config:
    """Read the settings.

    Parameters
    ----------
    path
        The file; :func:`config_path` by default. Without a file every setting has its default, unless
        ``$TAPEBOOK_CONFIG`` or ``path`` names one that is not there.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, is not TOML, has an unknown key or a wrong value, or a secret that others can read.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "config.toml"
    >>> _ = file.write_text('time_zone = "America/Sao_Paulo"')
    >>> load_config(file).time_zone
    'America/Sao_Paulo'
    """
    asked_for = path is not None or bool(os.environ.get("TAPEBOOK_CONFIG"))
    path = config_path() if path is None else path
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if not asked_for:
            return Config()
        raise ConfigurationError("the configuration file is not there", where=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("the configuration file cannot be read", found=str(error), where=str(path)) from error
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, a number of 4,300 digits, 1,000 open brackets
        raise ConfigurationError("the configuration is not TOML", found=str(error), where=str(path)) from error
    for key in raw:
        if _SECRET_KEY.search(key):
            _only_mine(path, key)
    try:
        config = msgspec.convert(raw, Config, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise _wrong(path, error, raw) from error
    _check_zone(path, config.time_zone)
    return Config(catalog=_place(path, config.catalog), lake=_place(path, config.lake), time_zone=config.time_zone)


def _path(kind: type, value: object) -> Path:
    if kind is not Path or not isinstance(value, str) or "\0" in value:
        raise TypeError  # msgspec makes a ValidationError of it
    return Path(value)


def _only_mine(path: Path, key: str) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & _OTHERS_MAY:
        raise ConfigurationError(
            "others can read a secret",
            expected="mode 0600",
            found=f"mode {mode:04o} of a file with the key `{key}`",
            where=str(path),
            remedy=f"run: chmod 600 {shlex.quote(str(path))}",
        )


def _wrong(path: Path, error: msgspec.ValidationError, raw: dict[str, object]) -> ConfigurationError:
    words, _, place = str(error).partition(" - at `$")
    field = place.strip("`.")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", words)
    known = ", ".join(Config.__struct_fields__)
    if unknown:
        return ConfigurationError(
            "unknown setting", expected=f"one of {known}", found=f"`{unknown[1]}`", where=str(path)
        )
    return ConfigurationError(
        "bad setting", expected="text in quotes", found=repr(raw.get(field)), where=f"{path}, {field}"
    )


def _check_zone(path: Path, zone: str) -> None:
    if not zone:
        return
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigurationError(
            "bad setting",
            expected="the name of a time zone like America/Chicago",
            found=repr(zone),
            where=f"{path}, time_zone",
        ) from error


def _place(config: Path, named: Path | None) -> Path | None:
    """Return a path of the configuration: ``~`` is the user's home, and relative to the configuration's folder."""
    return None if named is None else config.parent / named.expanduser()
