"""Options that several commands share: one name, one meaning, one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for machines.")]


def source_options(
    symbol: str,
    venue: str,
    zone: str,
    date: str,
    columns: list[str] | None,
    decimal_comma: bool | None,
    strict: bool,
    quarantine: Path | None,
) -> dict[str, Any]:
    """Turn the shared options into what ``open_source`` takes.

    Raises
    ------
    ConfigurationError
        If the zone does not exist, or a column map has no ``=``.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from tapebook.market.errors import ConfigurationError

    options: dict[str, Any] = {
        "symbol": symbol,
        "venue": venue,
        "date": date,
        "strict": strict,
        "quarantine_path": quarantine,
        "decimal_comma": decimal_comma,
    }
    if zone:
        try:
            options["zone"] = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigurationError(
                "no such time zone",
                expected="a name of the IANA database",
                found=zone,
                remedy="for example America/Chicago, America/New_York, America/Sao_Paulo, UTC",
            ) from error
    mapped = {}
    for text in columns or []:
        ours, mark, theirs = text.partition("=")
        if not mark or not ours or not theirs:
            raise ConfigurationError("a column map is wrong", expected="ours=theirs", found=text, where="--column")
        mapped[ours.strip()] = theirs.strip()
    options["columns"] = mapped
    return options
