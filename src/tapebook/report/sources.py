"""Whatever a user can name as input: a file, a captured session, a folder that is a lake, a simulated session."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from tapebook.market.errors import ConfigurationError
from tapebook.market.tape import Table, Tape

__all__ = ["open_any"]

_LAKE_MARK: Final = Path("_tapebook") / "lake.json"
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"  # how Hive's layout, which the lake follows, writes an empty value
_PARTS: Final = {"venue": "venue", "symbol": "symbol", "date": "date"}


def open_any(text: str | Path, format: str = "", **options: Any) -> Tape | Table:  # noqa: A002 - the user's word
    """Open what ``text`` names.

    Parameters
    ----------
    text
        * ``sim:es?seed=3&episodes=iceberg@120``: a simulated session (:mod:`tapebook.simulator.spec`);
        * a captured session: its folder, its name where ``captures/NAME`` is one and no such file exists, or
          ``URL#NAME`` in a database (``postgresql://me@host/ticks#monday``);
        * a folder that is a lake, or a partition of one (``lake/venue=CME/symbol=ESH4/date=2023-12-26``);
        * otherwise a file of any known format.
    format
        Name of a file's format, to overrule detection.
    options
        What the user knows about a file (:class:`~tapebook.readers.formats.ReadOptions`); ``symbol`` and ``venue``
        choose from a lake, ``symbol`` (or a contract id) from a captured session.

    Raises
    ------
    TickDataError
        If nothing can be opened under that name; the message says what was looked for.

    Examples
    --------
    >>> open_any("sim:es?duration_s=60").origin.format
    'simulator'
    """
    name = str(text)
    if name.startswith("sim:"):
        from tapebook.simulator.spec import parse_spec

        given = sorted(k for k, v in options.items() if v and k in ("zone", "date", "columns", "symbol", "venue"))
        if format or given:
            raise ConfigurationError(
                "a simulated session knows its own format, instrument and clock",
                expected="only sim:PRESET?SETTING=VALUE",
                found=", ".join(["format"] * bool(format) + given),
                where=name,
            )
        return parse_spec(name)
    # Most words are files: only what is none, or a folder, can be a session, and capture is imported for that alone.
    path = Path(name)
    if not path.is_file():
        from tapebook.capture.sessions import is_session

        if is_session(name):
            return _session(name, format, options)
    if path.is_dir():
        return _lake(path, options)
    from tapebook.readers import open_source

    return open_source(path, format, **options)


def _session(name: str, format: str, options: dict[str, Any]) -> Tape:  # noqa: A002 - as open_any
    """Open a captured session."""
    from tapebook.capture.session_tape import Choice, session_tape
    from tapebook.capture.sessions import captured
    from tapebook.capture.settings import refuse_password, without_password
    from tapebook.market.quarantine import Quarantine

    refuse_password(name.rpartition("#")[0], "FILE")
    taken = ("symbol", "strict", "quarantine_path")
    given = [k for k, v in options.items() if v and k not in taken] + ["format"] * bool(format)
    if given:
        raise ConfigurationError(
            "a captured session knows its own format, instruments and clock",
            expected=f"no options but {', '.join(taken)}",
            found=", ".join(sorted(given)),
            where=without_password(name),
        )
    quarantine = Quarantine(strict=bool(options.get("strict")), path=options.get("quarantine_path"))
    return session_tape(captured(name), choice=Choice(contract=options.get("symbol", "")), quarantine=quarantine)


def _lake(path: Path, options: dict[str, Any]) -> Tape:
    """Open a lake, or the part of it that a folder inside it holds."""
    from tapebook.store.lake import Lake

    root = path.resolve()
    chosen: dict[str, str] = {}
    while not (root / _LAKE_MARK).exists():
        key, equals, value = root.name.partition("=")
        if not equals or key not in _PARTS or root == root.parent:
            raise ConfigurationError(
                "this folder is no lake",
                expected="a file, or a folder made by tapebook convert FILE --to FOLDER",
                found="a folder",
                where=str(path),
                remedy="name a file in it",
            )
        chosen[key] = "" if value == _NO_VALUE else unquote(value)
        root = root.parent
    for name in ("venue", "symbol"):
        if options.get(name):
            chosen[name] = options[name]
    day = chosen.get("date")
    return Lake(root).tape(chosen.get("venue"), chosen.get("symbol"), day, day)
