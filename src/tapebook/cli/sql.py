"""``tapebook sql``: a question to the lake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tapebook.cli.lake import ChosenSymbol, ChosenVenue, End, LakeFolder, Sources, Start, open_lake, plain_console
from tapebook.cli.options import Json

if TYPE_CHECKING:
    from tapebook.store.sql import Answer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog='Example: tapebook sql "select symbol, date, sum(qty) from trades group by all order by all"')
    def sql(
        statement: str = typer.Argument(metavar="SELECT", help="One SELECT over the views of the lake."),
        lake: LakeFolder = None,
        to: Annotated[
            Path | None, typer.Option("--to", metavar="FILE", help="Write the answer: .csv .json .parquet .arrow")
        ] = None,
        venue: ChosenVenue = "",
        symbol: ChosenSymbol = None,
        start: Start = "",
        end: End = "",
        source: Sources = None,
        mix: bool = typer.Option(False, "--mix", help="Even if two imports tell the same thing twice."),
        trust: bool = typer.Option(False, "--trust", help="Do not compare the files with their checksums first."),
        rows_max: int = typer.Option(50, "--rows-max", min=1, help="Rows shown to people."),
        as_json: Json = False,
    ) -> None:
        """Ask the lake in SQL (DuckDB): views events trades quotes levels orders status instruments sources bars.

        Nothing but the chosen files of the lake can be read, and nothing written but the file of --to.
        """
        from tapebook.cli.show import watched
        from tapebook.market.tape import Progress
        from tapebook.store.sql import query

        progress = Progress()
        with watched(progress, "asking the lake", quiet=as_json):
            asked = query(
                open_lake(lake),
                statement,
                venue=venue,
                symbol=symbol,
                start=start,
                end=end,
                sources=source,
                mix=mix,
                check=not trust,
                progress=progress,
            )
            with asked as answer:
                shown = _write(answer, to) if to is not None else _collect(answer, None if as_json else rows_max)
        if as_json:
            typer.echo(json.dumps(shown, default=str))
        elif to is not None:
            typer.echo(f"{to}: {shown['rows']:,} rows", err=True)
        else:
            _print(shown, rows_max)


def _write(answer: Answer, to: Path) -> dict[str, Any]:
    from tapebook.store.rows import write_rows

    return {"to": str(to), "rows": write_rows(answer.batches, answer.schema, to)}


def _collect(answer: Answer, rows_max: int | None) -> dict[str, Any]:
    """Return the answer's rows as lists; for people only as many as are shown."""
    from tapebook.store.rows import plain

    rows: list[list[Any]] = []
    n = 0
    for batch in answer.batches:
        n += batch.num_rows
        part = batch if rows_max is None else batch.slice(0, max(rows_max - len(rows), 0))
        rows += [list(row) for row in zip(*(plain(column) for column in part.columns), strict=True)]
    return {"columns": answer.schema.names, "rows": rows, "n_rows": n}


def _print(shown: dict[str, Any], rows_max: int) -> None:
    from rich.table import Table

    numbers = [
        all(isinstance(row[i], int | float | None) for row in shown["rows"]) for i in range(len(shown["columns"]))
    ]
    table = Table()
    for name, is_number in zip(shown["columns"], numbers, strict=True):
        table.add_column(name, justify="right" if is_number else "left")
    for row in shown["rows"]:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console = plain_console()
    if shown["columns"]:
        console.print(table)
    if shown["n_rows"] > rows_max:
        console.print(f"{shown['n_rows']:,} rows, the first {rows_max} shown (--rows-max, --to FILE)", highlight=False)
