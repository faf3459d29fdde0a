"""``tapebook bench``: the figures of this machine, beside a peer in the same run where one is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tapebook.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: tapebook bench book readers --data recordings --to bench.json")
    def bench(
        names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Which; all by default.")] = None,
        data: Annotated[Path | None, typer.Option(help="Folder of recordings; simulated markets without it.")] = None,
        to: Annotated[Path | None, typer.Option(help="Also write the figures there, as JSON.")] = None,
        as_json: Json = False,
    ) -> None:
        """Measure events per second and the like on this machine, one core, best of several runs."""
        from tapebook.bench import benchmarks
        from tapebook.cli.show import say
        from tapebook.market.errors import ConfigurationError

        known = benchmarks()
        unknown = [n for n in names or [] if n not in known]
        if unknown:
            raise ConfigurationError("no such benchmark", expected=", ".join(known), found=", ".join(unknown))
        rows: list[dict[str, Any]] = []
        for name in names or known:
            say(f"measuring {name} …")
            rows += known[name](data)
        text = json.dumps({"figures": rows}, indent=2)
        if to is not None:
            to.write_text(text)
        if as_json:
            typer.echo(text)
        else:
            show(rows)


def show(rows: list[dict[str, Any]]) -> None:
    """Print figures for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "tapebook", "unit", "peer", "its figure", "ratio")
    for column in table.columns[1:2] + table.columns[4:]:
        column.justify = "right"
    for row in rows:
        peer, ratio = row.get("peer"), row.get("ratio")
        table.add_row(
            row["what"],
            f"{row['ours']:,.4g}" if row["ours"] < 1e4 else f"{row['ours']:,.0f}",
            row["unit"],
            row.get("peer_name") or "",
            (f"{peer:,.4g}" if peer < 1e4 else f"{peer:,.0f}") if peer is not None else "",
            f"{ratio:.2f}" if ratio is not None else "",
        )
    console = Console()
    # A width given to print() is held to the console's own, 80 where nobody looks at a terminal.
    (console if console.is_terminal else Console(width=160)).print(table)
