"""``tapebook info``: what is this file, and what is wrong with it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer

from tapebook.cli.options import (
    Columns,
    Date,
    DecimalComma,
    FormatName,
    Json,
    QuarantineFile,
    Strict,
    Symbol,
    Venue,
    Zone,
    source_options,
)


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: tapebook info esh4-20231225.mbo.dbn.zst")
    def info(
        file: Path = typer.Argument(help="A recording of any known format, or a spec such as sim:es."),
        format: FormatName = "",  # noqa: A002 - the user's word
        symbol: Symbol = "",
        venue: Venue = "",
        zone: Zone = "",
        date: Date = "",
        column: Columns = None,
        decimal_comma: DecimalComma = None,
        strict: Strict = False,
        quarantine: QuarantineFile = None,
        as_json: Json = False,
    ) -> None:
        """Tell format, schema, instruments, span, events by kind, trades, volume, tick and quality of a file."""
        from tapebook.cli.show import watched
        from tapebook.quality.info import describe
        from tapebook.report.sources import open_any

        options = source_options(symbol, venue, zone, date, column, decimal_comma, strict, quarantine)
        source = open_any(str(file), format=format, **options)
        with watched(source.progress, f"reading {source.origin.name}", quiet=as_json):
            about = describe(source)
        if as_json:
            typer.echo(json.dumps(about, default=str))
        else:
            show(about)


def show(about: dict[str, Any]) -> None:
    """Print a description for people."""
    from rich.console import Console
    from rich.table import Table

    out = Console()
    out.print(f"[bold]{about['name']}[/bold]  {about['format']} {about['schema']}  {about['venue']}")
    out.print(f"{about['rows']:,} {'events' if about['kind'] == 'events' else 'rows'}", highlight=False)
    for name in ("ts_event_ns", "ts_recv_ns"):
        if about[f"first_{name}"] is not None:
            out.print(f"{name}  {utc(about[f'first_{name}'])}  to  {utc(about[f'last_{name}'])}", highlight=False)
    if about["kind"] == "events":
        _instruments(out, about)
    else:
        out.print("columns: " + ", ".join(about["columns"]), highlight=False)
        if about["instruments"]:
            out.print("instruments: " + ", ".join(i["symbol"] for i in about["instruments"]), highlight=False)
    if about["notes"]:
        out.print(
            "noticed while reading: " + ", ".join(f"{k} {v:,}" for k, v in about["notes"].items()), highlight=False
        )
    if not about["quality"]:
        out.print("[green]quality: nothing to report[/green]")
        return
    table = Table("severity", "finding", "count", "share", "instrument", "first", "meaning", title="quality")
    table.columns[2].justify = table.columns[3].justify = "right"
    colour = {"error": "red", "warning": "yellow", "info": "dim"}
    for f in about["quality"]:
        first = utc(f["first_ts_ns"]) if f["first_ts_ns"] is not None else f["first_where"]
        share = f"{100 * f['share']:.3g} %" if f["share"] is not None else ""
        extra = ", ".join(f"{k} {v:,}" if isinstance(v, int) else f"{k} {v}" for k, v in f["details"].items())
        meaning = f["meaning"] + (f" ({extra})" if extra else "")
        table.add_row(
            f"[{colour[f['severity']]}]{f['severity']}[/]",
            f["name"],
            f"{f['count']:,}",
            share,
            f["symbol"],
            first,
            meaning,
        )
    out.print(table)


def _instruments(out: Any, about: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(
        "instrument", "venue", "tick", "tick seen", "events", "trades", "volume", "latency p50 / p99", "complete"
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for i in about["instruments"][:20]:
        latency = i["latency_ns"]
        table.add_row(
            i["symbol"],
            i["venue"],
            i["tick"] or "?",
            f"{i['tick_seen']:g}" if i["tick_seen"] else "",
            f"{i['events']:,}",
            f"{i['trades']:,}",
            f"{i['volume']:,.10g}",
            f"{duration(latency['p50'])} / {duration(latency['p99'])}" if latency else "",
            f"{i['completeness_percent']:.1f} %" if i["completeness_percent"] is not None else "",
        )
    out.print(table)
    if about["n_instruments"] > 20:
        out.print(f"… and {about['n_instruments'] - 20:,} more instruments", highlight=False)
    kinds: dict[str, int] = {}
    for i in about["instruments"]:
        for kind, n in i["by_kind"].items():
            kinds[kind] = kinds.get(kind, 0) + n
    out.print("by kind: " + ", ".join(f"{k} {n:,}" for k, n in kinds.items()), highlight=False)


def utc(ns: int) -> str:
    """Return a time for people.

    >>> utc(1_703_545_200_000_000_123)
    '2023-12-25 23:00:00.000000123Z'
    """
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ns // 1_000_000_000)
    return f"{when:%Y-%m-%d %H:%M:%S}.{ns % 1_000_000_000:09d}Z"


def duration(ns: int) -> str:
    """Return a duration for people, three digits and a unit.

    >>> duration(165_200), duration(-1_300_000_000)
    ('165 µs', '-1.3 s')
    """
    for unit, size in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if abs(ns) >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns} ns"
