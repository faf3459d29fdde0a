"""Which column of a Sierra Chart bar export is which: the fixed ones by their place, the studies by position.

A study adds its columns behind the fixed ones under the names of its lines, and two studies may both have a ``Low`` or
an ``Avg``: nothing in the file says whose is whose. So only the fixed columns, which always stand first and in order,
get our names; every other one keeps its position (from 1) in its name, ``c14_Low``, until the user names it, in a
mapping file

.. code-block:: toml

    [columns]
    14 = "vwap_lower"
    15 = "vwap_upper"

or with ``--column vwap_lower=14``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tapebook.market.errors import ConfigurationError
from tapebook.readers.formats import ReadOptions
from tapebook.readers.text_bars import BarColumn
from tapebook.readers.text_head import TextHead, position_of

__all__ = ["FIXED", "bar_columns", "load_mapping"]

FIXED: Final[Mapping[str, str]] = {
    "date": "date",
    "time": "time",
    "datetime": "date",
    "open": "open",
    "high": "high",
    "low": "low",
    "last": "close",
    "close": "close",
    "volume": "volume",
    "openinterest": "open_interest",
    "numberoftrades": "trades",
    "#oftrades": "trades",
    "ohlcavg": "ohlc_avg",
    "hlcavg": "hlc_avg",
    "hlavg": "hl_avg",
    "bidvolume": "bid_volume",
    "askvolume": "ask_volume",
}
"""Our word for each fixed column; their names are compared without blanks and in lower case."""

_WHOLE: Final = ("volume", "trades", "bid_volume", "ask_volume", "open_interest")
_REQUIRED: Final = ("open", "high", "low", "close", "volume")
_SAYS: Final = frozenset({"date_order"})  # words of --column that name no column


def fixed_positions(names: Sequence[str]) -> dict[str, int]:
    """Return the positions of the fixed columns: the run of known names at the start, each once.

    >>> fixed_positions(["Date", "Time", "Open", "High", "Low", "Last", "Volume", "Low", "Avg"])["volume"]
    6
    >>> "low" in fixed_positions(["Date", "Avg", "Low"])
    False
    """
    found: dict[str, int] = {}
    for i, name in enumerate(names):
        word = FIXED.get(re.sub(r"\s", "", name).lower())
        if word is None or word in found:
            break
        found[word] = i
    return found


def load_mapping(path: Path) -> dict[int, str]:
    """Return the names that a mapping file gives to positions (from 1).

    Raises
    ------
    ConfigurationError
        If the file cannot be read or says something else.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            "the mapping file cannot be read", expected="TOML with a table [columns]", found=str(error), where=str(path)
        ) from error
    columns = content.get("columns")
    if not isinstance(columns, dict) or set(content) != {"columns"}:
        raise ConfigurationError(
            "the mapping file has another form",
            expected='a table [columns] with lines such as 14 = "vwap_lower"',
            found=", ".join(content) or "nothing",
            where=str(path),
        )
    mapping: dict[int, str] = {}
    for key, name in columns.items():
        if not key.isdecimal() or int(key) < 1 or not isinstance(name, str):
            raise ConfigurationError(
                "a line of the mapping file is no position with a name",
                expected='a line such as 14 = "vwap_lower"',
                found=f"{key} = {name!r}",
                where=str(path),
            )
        mapping[int(key)] = name
    return mapping


def bar_columns(text: TextHead, options: ReadOptions, where: str) -> list[BarColumn]:
    """Return the columns of the table: fixed ones under our names, then the studies.

    Raises
    ------
    ConfigurationError
        If a name is taken, is no name, or is given to a position that has one.
    """
    fixed = fixed_positions(text.names)
    n_fixed = len(fixed)
    named = load_mapping(options.mapping_path) if options.mapping_path is not None else {}
    for word, column in options.columns.items():
        if word not in _SAYS:
            named[position_of(text, column, word, where) + 1] = word
    columns = [
        BarColumn(word, i, "int" if _is_whole(text, word, i) else "float", word in _REQUIRED)
        for word, i in fixed.items()
        if word not in ("date", "time")
    ]
    taken = {"ts_event_ns", "symbol", "date", "time"} | {c.name for c in columns}
    for position, name in sorted(named.items()):
        problem = ""
        if not n_fixed < position <= len(text.names):
            problem = f"column {position} is " + (
                f"{text.names[position - 1]!r}, which has a name" if position <= n_fixed else "not in the file"
            )
        elif not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            problem = f"{name!r} is no name for a column"
        elif name in taken:
            problem = f"{name!r} is taken"
        if problem:
            raise ConfigurationError(
                f"a study column cannot be named: {problem}",
                expected=f"columns {n_fixed + 1} to {len(text.names)}, each with a name of its own",
                found=f"{position} = {name!r}",
                where=where,
            )
        taken.add(name)
    for i in range(n_fixed, len(text.names)):
        bare = re.sub(r"\W+", "_", text.names[i]).strip("_")
        columns.append(BarColumn(named.get(i + 1, f"c{i + 1:02d}_{bare}".rstrip("_")), i))
    return columns


def _is_whole(text: TextHead, word: str, position: int) -> bool:
    return word in _WHOLE and all(v.lstrip("-").isdecimal() for v in text.column(position))
