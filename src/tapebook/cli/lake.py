"""``tapebook lake``: what is in the lake, whether it is whole, and where its files are."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tapebook.cli.options import Json

if TYPE_CHECKING:
    from rich.console import Console

    from tapebook.store import Lake

LakeFolder = Annotated[
    Path | None, typer.Option("--lake", metavar="DIR", help="The lake; by default that of the settings, else ./lake.")
]
ChosenVenue = Annotated[str, typer.Option("--venue", help="Only this venue.")]
ChosenSymbol = Annotated[list[str] | None, typer.Option("--symbol", help="Only this symbol. Repeat.")]
Start = Annotated[str, typer.Option("--start", metavar="YYYY-MM-DD", help="From this trade date on.")]
End = Annotated[str, typer.Option("--end", metavar="YYYY-MM-DD", help="To this trade date, included.")]
Sources = Annotated[list[str] | None, typer.Option("--source", metavar="ID", help="Only this import. Repeat.")]


def open_lake(folder: Path | None) -> Lake:
    """Return the lake that the user names, or the settings, or ``lake`` in the current folder."""
    from tapebook.market.config import load_config
    from tapebook.store import Lake

    return Lake(folder or load_config().lake or Path("lake"))


def plain_console() -> Console:
    """Return a console for data: brackets in it mean nothing, and a pipe gets whole lines."""
    from rich.console import Console

    return Console(markup=False, width=None if sys.stdout.isatty() else 10_000)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="List, check and find the files of the lake.")
    app.add_typer(group, name="lake", epilog="Example: tapebook lake ls --symbol ESH4")

    @group.command(epilog="Example: tapebook lake ls --symbol ESH4 --start 2023-12-26")
    def ls(
        lake: LakeFolder = None,
        venue: ChosenVenue = "",
        symbol: ChosenSymbol = None,
        start: Start = "",
        end: End = "",
        source: Sources = None,
        by_source: bool = typer.Option(False, "--sources", help="List the imports instead."),
        as_json: Json = False,
    ) -> None:
        """List what is stored, by venue, symbol and trade date."""
        opened = open_lake(lake)
        if by_source:
            _list_sources(opened, as_json)
            return
        entries = opened.ls(venue, symbol, start, end, sources=source)
        if as_json:
            typer.echo(json.dumps({"lake": str(opened.path), "partitions": [asdict(e) for e in entries]}))
            return
        from rich.table import Table

        table = Table("venue", "symbol", "date", "events", "trades", "MB", "first (UTC)", "last")
        for column in table.columns[3:6]:
            column.justify = "right"
        for e in entries:
            size = f"{e.size_bytes / 1e6:,.2f}"
            counts = (f"{e.events:,}", f"{e.kinds.get('TRADE', 0):,}", size)
            table.add_row(e.venue, e.symbol, e.date or "none", *counts, _utc(e.first_ns), _utc(e.last_ns))
        console = plain_console()
        console.print(table)
        events, n_bytes = sum(e.events for e in entries), sum(e.size_bytes for e in entries)
        each = f", {n_bytes / events:.1f} bytes an event" if events else ""
        console.print(f"{len(entries):,} partitions, {events:,} events, {n_bytes / 1e6:,.1f} MB{each}", highlight=False)
        tables = opened.tables()
        if tables:
            console.print(f"and {len(tables):,} tables: tapebook lake ls --sources", highlight=False)

    @group.command(epilog="Example: tapebook lake verify --lake lake")
    def verify(lake: LakeFolder = None, as_json: Json = False) -> None:
        """Compare every byte with what was imported; exit code 1 if anything is damaged."""
        from tapebook.cli.show import watched
        from tapebook.market.tape import Progress

        opened = open_lake(lake)
        progress = Progress()
        with watched(progress, f"checking {opened.path}", quiet=as_json):
            findings = list(opened.verify(progress))
        bad = any(f.severity == "error" for f in findings)
        if as_json:
            whole = {"lake": str(opened.path), "ok": not bad, "size_bytes": progress.total_bytes}
            typer.echo(json.dumps(whole | {"findings": [asdict(f) for f in findings]}))
        else:
            colour = {"error": typer.colors.RED, "warning": typer.colors.YELLOW, "note": None}
            for f in findings:
                place = f"{f.path}: " if f.path else ""
                way_out = f"; {f.remedy}" if f.remedy else ""
                typer.secho(f"{f.severity}: {place}{f.problem}{way_out}", fg=colour[f.severity])
            n_files = sum(len(s.files) for s in opened.sources().values()) if not bad else 0
            if not bad:
                typer.echo(f"{opened.path}: {n_files:,} files, {progress.total_bytes / 1e6:,.1f} MB, all as imported")
        if bad:
            raise typer.Exit(1)

    @group.command(epilog="Example: duckdb -c \"from read_parquet('$(tapebook lake path --symbol ESH4)')\"")
    def path(
        lake: LakeFolder = None,
        venue: ChosenVenue = "",
        symbol: ChosenSymbol = None,
        start: Start = "",
        end: End = "",
        source: Sources = None,
        as_json: Json = False,
    ) -> None:
        """Print the Parquet files that hold what is chosen, for other programs."""
        paths = [str(p) for p in open_lake(lake).paths(venue, symbol, start, end, sources=source)]
        typer.echo(json.dumps({"paths": paths}) if as_json else "\n".join(paths), nl=as_json or bool(paths))

    @group.command(epilog="Example: tapebook lake remove 3f2a91")
    def remove(
        source: str = typer.Argument(metavar="ID", help="An import, as tapebook lake ls --sources lists it."),
        lake: LakeFolder = None,
        as_json: Json = False,
    ) -> None:
        """Take one import out of the lake."""
        gone = open_lake(lake).remove(source)
        typer.echo(json.dumps({"removed": list(gone)}) if as_json else f"{len(gone):,} files removed")


def _list_sources(lake: Any, as_json: bool) -> None:
    rows = [
        {
            "id": s.id,
            "name": s.origin.name,
            "format": s.origin.format,
            "schema": s.origin.schema,
            "table": bool(s.table),
            "rows": s.stored_rows,
            "files": len(s.files),
            "size_bytes": sum(f.size_bytes for f in s.files),
            "bad_records": sum(s.bad_records.values()),
            "truncated": s.truncated,
        }
        for s in sorted(lake.sources().values(), key=lambda s: (s.origin.name, s.id))
    ]
    if as_json:
        typer.echo(json.dumps({"lake": str(lake.path), "sources": rows}))
        return
    from rich.table import Table

    table = Table("id", "name", "format", "schema", "rows", "files", "MB", "bad records", "truncated")
    for column in table.columns[4:8]:
        column.justify = "right"
    for r in rows:
        numbers = (f"{r['rows']:,}", f"{r['files']:,}", f"{r['size_bytes'] / 1e6:,.2f}", f"{r['bad_records']:,}")
        table.add_row(r["id"], r["name"], r["format"], r["schema"], *numbers, "yes" if r["truncated"] else "")
    plain_console().print(table)


def _utc(ns: int | None) -> str:
    from datetime import UTC, datetime

    return "" if ns is None else f"{datetime.fromtimestamp(ns // 1_000_000_000, UTC):%m-%d %H:%M:%S}"
