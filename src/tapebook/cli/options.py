"""Options that several commands share: one name, one meaning, one help text."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

Source = Annotated[str, typer.Argument(metavar="FILE", help="A recording of any known format, or sim:es and the like.")]
FormatName = Annotated[str, typer.Option("--format", help="Name the format instead of finding it out.")]
Symbol = Annotated[str, typer.Option("--symbol", help="The instrument, for files that do not name it.")]
Venue = Annotated[str, typer.Option("--venue", help="The venue, for files that do not name it.")]
Zone = Annotated[
    str, typer.Option("--zone", metavar="ZONE", help="Time zone of stamps without one, such as America/New_York.")
]
Date = Annotated[str, typer.Option("--date", metavar="YYYY-MM-DD", help="The day, for files that hold only times.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="OURS=THEIRS", help="Map a column: price=Precio, or a position: price=2. Repeat."),
]
DecimalComma = Annotated[bool | None, typer.Option("--decimal-comma/--decimal-point", help="How decimals are written.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad record.")]
QuarantineFile = Annotated[
    Path | None, typer.Option("--quarantine", metavar="FILE", help="Keep every unreadable record there (JSON lines).")
]
Book = Annotated[
    Path | None, typer.Option("--book", metavar="FILE", help="The book that belongs to it: LOBSTER order book, .depth.")
]
PriceMultiplier = Annotated[
    str, typer.Option("--price-multiplier", metavar="X", help="For files that hold prices in other units: 0.01.")
]
Mapping = Annotated[
    Path | None, typer.Option("--mapping", metavar="FILE", help="TOML file that names columns by position.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for machines.")]

C = TypeVar("C", bound=Callable[..., None])


def reads_files(command: C) -> C:
    """Give a command the options that say how to read a file; it gets them as ``options`` for ``open_any``.

    The command declares a parameter ``options: dict[str, Any]`` and its own parameters; the shared ones follow them.
    """
    own = inspect.signature(command, eval_str=True)
    shared = inspect.signature(_options, eval_str=True)
    parameters = [p for name, p in own.parameters.items() if name != "options"]
    added = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in shared.parameters.values()]

    @functools.wraps(command)
    def wrapped(*args: Any, **given: Any) -> None:
        how = {name: given.pop(name) for name in shared.parameters}
        command(*args, **given, options=_options(**how))

    wrapped.__signature__ = own.replace(parameters=parameters + added)  # type: ignore[attr-defined] # typer reads it
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters + added}
    return cast("C", wrapped)


def _options(
    format: FormatName = "",  # noqa: A002 - the user's word
    symbol: Symbol = "",
    venue: Venue = "",
    zone: Zone = "",
    date: Date = "",
    column: Columns = None,
    decimal_comma: DecimalComma = None,
    book: Book = None,
    price_multiplier: PriceMultiplier = "",
    mapping: Mapping = None,
    strict: Strict = False,
    quarantine: QuarantineFile = None,
) -> dict[str, Any]:
    """Turn the shared options into what ``open_any`` takes, only those that were given.

    Raises
    ------
    ConfigurationError
        If the zone does not exist, a column map has no ``=``, or the multiplier is no number.
    """
    options: dict[str, Any] = {
        "format": format,
        "symbol": symbol,
        "venue": venue,
        "date": date,
        "strict": strict,
        "quarantine_path": quarantine,
        "decimal_comma": decimal_comma,
        "book_path": book,
        "mapping_path": mapping,
    }
    if zone:
        from tapebook.readers.local_time import zone_of

        options["zone"] = zone_of(zone)
    if price_multiplier:
        options["price_multiplier"] = _decimal(price_multiplier)
    if column:
        options["columns"] = _column_map(column)
    return {n: v for n, v in options.items() if v not in ("", None) and (v is not False or n == "decimal_comma")}


def _decimal(text: str) -> Decimal:
    from tapebook.market.errors import ConfigurationError

    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0:
        raise ConfigurationError(
            "not a multiplier", expected="a number above 0", found=repr(text), where="--price-multiplier"
        )
    return value


def _column_map(columns: list[str]) -> dict[str, str]:
    from tapebook.market.errors import ConfigurationError

    mapped = {}
    for text in columns:
        ours, mark, theirs = text.partition("=")
        if not mark or not ours or not theirs:
            raise ConfigurationError("a column map is wrong", expected="ours=theirs", found=text, where="--column")
        mapped[ours.strip()] = theirs.strip()
    return mapped
