"""``tapebook book``: N levels a side of a recording's order book, to Parquet."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tapebook.cli.options import Json, Source, reads_files

if TYPE_CHECKING:
    from tapebook.book.table import BookTable

_UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: tapebook book esh4-20231225.mbo.dbn.zst --levels 5 --every 100ms --to book.parquet")
    @reads_files
    def book(
        file: Source,
        to: Annotated[Path, typer.Option(metavar="FILE", help="The Parquet file to write; it appears when whole.")],
        options: dict[str, Any],
        levels: Annotated[int, typer.Option(min=1, max=1000, help="Price levels of each side.")] = 10,
        every: Annotated[
            str, typer.Option(metavar="event|100ms", help="A row for every event, or sampled (ns us ms s m h).")
        ] = "event",
        raw: Annotated[bool, typer.Option("--raw", help="Integers: prices in 1e-9, sizes in lots.")] = False,
        instrument: Annotated[
            str, typer.Option("--instrument", metavar="SYMBOL", help="Only this one; else all, with a column symbol.")
        ] = "",
        as_json: Json = False,
    ) -> None:
        """Build the order book of a recording and write its best levels for every event, or sampled in time."""
        from tapebook.book.table import write_book
        from tapebook.cli.show import watched
        from tapebook.market.errors import OrderBookError
        from tapebook.market.tape import Tape
        from tapebook.report.sources import open_any

        every_ns = duration_ns(every)
        tape = open_any(file, **options)
        if not isinstance(tape, Tape):
            raise OrderBookError(
                "nothing here makes a book",
                expected="levels, quotes or orders",
                found=f"{tape.origin.format} {tape.origin.schema}",
                where=tape.origin.name,
            )
        with watched(tape.progress, f"building the book of {tape.origin.name}", quiet=as_json):
            table = write_book(tape, to, levels=levels, every_ns=every_ns, raw=raw, symbol=instrument)
        if as_json:
            typer.echo(json.dumps(about(table), default=str))
        else:
            show(table)


def duration_ns(text: str) -> int:
    """Read ``event`` as 0, and ``100ms``, ``1s``, ``5m`` as nanoseconds.

    Raises
    ------
    ConfigurationError
        If it is none of these.

    Examples
    --------
    >>> duration_ns("event"), duration_ns("100ms"), duration_ns("1.5s")
    (0, 100000000, 1500000000)
    """
    import re
    from decimal import Decimal

    from tapebook.market.errors import ConfigurationError

    if text == "event":
        return 0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)", text)
    ns = Decimal(match[1]) * _UNITS_NS[match[2]] if match else Decimal(0)
    if ns <= 0 or ns != int(ns) or ns > 1 << 60:
        raise ConfigurationError(
            "no such sampling step", expected="event, or a duration such as 100ms, 1s, 5m", found=text, where="--every"
        )
    return int(ns)


def about(table: BookTable) -> dict[str, object]:
    """Return what was written, for machines."""
    return {
        "path": str(table.path),
        "rows": table.rows,
        "columns": list(table.columns),
        "books": {
            symbol: {**asdict(counted), "anomalies": counted.anomalies()} for symbol, counted in table.books.items()
        },
    }


def show(table: BookTable) -> None:
    """Print what was written, for people."""
    from rich.console import Console

    out = Console()
    out.print(f"[bold]{table.path}[/bold]  {table.rows:,} rows of {len(table.columns)} columns", highlight=False)
    for symbol, counted in list(table.books.items())[:20]:
        found = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in counted.anomalies().items())
        out.print(
            f"[bold]{symbol}[/bold]  {counted.events:,} events, {counted.observed:,} observable; at the end "
            f"{counted.n_bid_levels:,} bid and {counted.n_ask_levels:,} ask levels, {counted.n_orders:,} orders"
            + (f"; [yellow]{found}[/yellow]" if found else ""),
            highlight=False,
        )
    if len(table.books) > 20:
        out.print(f"… and {len(table.books) - 20:,} more instruments", highlight=False)
