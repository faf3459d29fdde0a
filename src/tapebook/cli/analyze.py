"""``tapebook analyze``: the main job on a recording, a lake or a simulated session."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tapebook.cli.options import Json, Source, reads_files

if TYPE_CHECKING:
    from tapebook.report.analyze import Analysis


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: tapebook analyze esh4-20231225.mbo.dbn.zst --out es-report")
    @reads_files
    def analyze(
        file: Source,
        options: dict[str, Any],
        out: Annotated[
            Path | None, typer.Option("--out", metavar="DIR", help="Folder of the report; reports/NAME by default.")
        ] = None,
        instrument: Annotated[
            str, typer.Option("--instrument", metavar="SYMBOL", help="Analyse this one; else the most traded.")
        ] = "",
        as_json: Json = False,
    ) -> None:
        """Quality, book, spreads, order flow, profile and delta of a recording: tables, one HTML page, report.json."""
        from tapebook.report.sources import open_any

        source = open_any(file, **options)
        run(source, out or Path("reports") / folder_name(file), instrument, as_json=as_json)


def run(source: Any, out: Path, instrument: str, *, as_json: bool) -> Analysis:
    """Analyse a source with a progress bar, then tell what was made."""
    from tapebook.cli.show import watched
    from tapebook.report.analyze import analyze as analyze_source

    with watched(source.progress, f"analysing {source.origin.name}", quiet=as_json):
        analysis = analyze_source(source, out, instrument=instrument)
    if as_json:
        told = {"report": str(analysis.page), "numbers": str(analysis.numbers), "tables": dict(analysis.tables)}
        typer.echo(json.dumps(told | {"document": analysis.document}, default=str))
    else:
        show(analysis)
    return analysis


def folder_name(file: str) -> str:
    """Return a folder's name for the report of a source.

    >>> folder_name("data/esh4-20231225.mbo.dbn.zst"), folder_name("sim:es?seed=3&duration_s=60")
    ('esh4-20231225', 'sim-es-seed-3-duration_s-60')
    """
    name = re.sub(r"[^\w.-]+", "-", file) if file.startswith("sim:") else Path(file).resolve().name.split(".")[0]
    return name.strip("-.") or "report"


def show(analysis: Analysis) -> None:
    """Print the headline figures and where everything stands."""
    from rich.console import Console
    from rich.table import Table as Grid

    out = Console()
    document = analysis.document
    i, span = document["instrument"], document["span"]
    out.print(f"[bold]{i['symbol']}[/bold] {i['venue']}", highlight=False)
    if span["first_ns"] is not None:
        out.print(f"{span['first_local']} to {span['last_local']} {span['zone']}", highlight=False)
    grid = Grid(show_header=False, box=None, padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_column(justify="right", style="bold")
    grid.add_column(style="dim")
    for tile in document["headline"]:
        grid.add_row(tile["label"], tile["value"], tile["note"])
    out.print(grid, highlight=False)
    for name, reason in document["missing"].items():
        out.print(f"not shown: {name}: {reason}", style="dim", highlight=False, soft_wrap=True)
    out.print(f"\nreport   [bold]{analysis.page}[/bold]", highlight=False, soft_wrap=True)
    out.print(f"numbers  {analysis.numbers}", highlight=False, soft_wrap=True)
    if analysis.tables:
        tables = ", ".join(f"{name} ({rows:,})" for name, rows in analysis.tables.items())
        out.print(f"tables   {tables}", highlight=False, soft_wrap=True)
