"""``tapebook info``: what is this file, and what is wrong with it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from tapebook.cli.options import Json, Source, reads_files


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: tapebook info esh4-20231225.mbo.dbn.zst")
    @reads_files
    def info(
        file: Source,
        options: dict[str, Any],
        as_json: Json = False,
    ) -> None:
        """Tell format, schema, instruments, span, events by kind, trades, volume, tick and quality of a file."""
        from tapebook.cli.show import watched
        from tapebook.quality.info import describe
        from tapebook.report.sources import open_any

        source = open_any(file, **options)
        with watched(source.progress, f"reading {source.origin.name}", quiet=as_json):
            about = describe(source)
        if as_json:
            typer.echo(json.dumps(about, default=str))
        else:
            show(about)


def show(about: dict[str, Any]) -> None:
    """Print a description for people."""
    from rich.console import Console

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
    out.print("\n[bold]quality[/bold]")
    colour = {"error": "red", "warning": "yellow", "info": "dim"}
    for f in about["quality"]:
        share = f" ({100 * f['share']:.3g} %)" if f["share"] is not None else ""
        place = f["first_where"] if f["first_ts_ns"] is None else f"first {utc(f['first_ts_ns'])} {f['first_where']}"
        out.print(
            f"[{colour[f['severity']]}]{f['severity']:8}[/] [bold]{f['name']}[/bold] {f['symbol']} "
            f"{f['count']:,}{share}  {place}",
            highlight=False,
        )
        out.print(f"         {f['meaning']}" + details(f["details"]), style="dim", highlight=False)


def details(found: dict[str, Any]) -> str:
    """Return the numbers of a finding for people: times as times, durations with a unit.

    >>> details({"longest_s": 600.25, "longest_from_ns": 1_703_545_200_000_000_000, "missing_numbers": 1200})
    ': longest 600.2 s, longest from 2023-12-25 23:00:00Z, missing numbers 1,200'
    """
    parts = []
    for name, value in found.items():
        words = name.replace("_", " ")
        if name.endswith(("from_ns", "to_ns")):
            parts.append(f"{words[:-3]} {utc(value).replace('.000000000', '')}")
        elif name.endswith("_ns"):
            parts.append(f"{words[:-3]} {duration(value)}")
        elif name.endswith("_s"):
            parts.append(f"{words[:-2]} {value:.4g} s" if value < 1e4 else f"{words[:-2]} {value:,.0f} s")
        elif isinstance(value, int):
            parts.append(f"{words} {value:,}")
        elif isinstance(value, list):
            parts.append(f"{words} {', '.join(map(str, value[:12]))}{' …' if len(value) > 12 else ''}")
        else:
            parts.append(f"{words} {value}")
    return ": " + ", ".join(parts) if parts else ""


def _instruments(out: Any, about: dict[str, Any]) -> None:
    for i in about["instruments"][:20]:
        kinds = ", ".join(f"{k} {n:,}" for k, n in i["by_kind"].items())
        tick = f"tick {i['tick'] or 'unknown'}" + (f" (seen {i['tick_seen']:g})" if i["tick_seen"] else "")
        out.print(f"[bold]{i['symbol']}[/bold] {i['venue']}  {tick}  lot {i['lot']}", highlight=False)
        out.print(f"  {i['events']:,} events: {kinds}", highlight=False)
        out.print(f"  {i['trades']:,} trades, volume {i['volume']:,.10g}", highlight=False)
        latency = i["latency_ns"]
        if latency:
            out.print(
                f"  receive less event time: median {duration(latency['p50'])}, 99 % {duration(latency['p99'])}, "
                f"from {duration(latency['min'])} to {duration(latency['max'])}",
                highlight=False,
            )
        if i["completeness_percent"] is not None:
            out.print(f"  complete {i['completeness_percent']:.2f} % of the open time it spans", highlight=False)
        if i["depth"]:
            d = i["depth"]
            out.print(
                f"  book two-sided {d['two_sided_percent']:g} % of {d['observed_states']:,} states", highlight=False
            )
    if about["n_instruments"] > 20:
        out.print(f"… and {about['n_instruments'] - 20:,} more instruments", highlight=False)


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
