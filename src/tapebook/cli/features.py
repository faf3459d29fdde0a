"""``tapebook features``: tables of features of a recording, or of all the days of a lake; and the list of features."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tapebook.cli.options import Json, reads_files

if TYPE_CHECKING:
    from tapebook.market.operators import Registered
    from tapebook.research.features import FeatureTable
    from tapebook.research.many_days import DaysReport


class _Carry(StrEnum):
    reset = "reset"
    carry = "carry"


File = Annotated[str, typer.Argument(metavar="FILE", help="A recording, sim:es and the like, or a lake.")]
_DAYS = "For the days of a lake (--to DIR)"
Set = Annotated[
    str,
    typer.Option(
        "--set",
        metavar="NAMES",
        help="Features, as --list names them: catalogue (its 27), or ofi,rsi:length=9 (parameters after a colon).",
    ),
]
Every = Annotated[
    str,
    typer.Option(
        "--every",
        metavar="WHEN",
        help="Where the rows stand: event, trade, a step of time (100ms, 1s), or a bar's close: bar=volume:1000. "
        "Without it one feature gives its own rows.",
    ),
]
To = Annotated[
    str,
    typer.Option(
        "--to", metavar="FILE|DIR", help="A file .parquet .csv .json .arrow; of a lake a folder: a file a day."
    ),
]
Plugin = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="A file with features of your own. Repeat."),
]
List = Annotated[
    bool, typer.Option("--list", help="List the features (with --set: those): needs, parameters, columns, units.")
]
Instrument = Annotated[str, typer.Option("--instrument", help="Its symbol; the most traded by default (a lake: all).")]
AnyHours = Annotated[
    bool, typer.Option("--any-hours", help="The venue's word, not the calendar, says when the market trades.")
]
Workers = Annotated[int, typer.Option("--workers", min=1, rich_help_panel=_DAYS, help="Processes.")]
Scheduler = Annotated[
    str, typer.Option("--scheduler", metavar="tcp://…", rich_help_panel=_DAYS, help="A Dask cluster.")
]
Resume = Annotated[
    bool, typer.Option("--resume", rich_help_panel=_DAYS, help="Skip days that stand, made of the same inputs.")
]
Carry = Annotated[
    _Carry,
    typer.Option(
        "--carry", rich_help_panel=_DAYS, help="Each day begins afresh, or with the memory of the day before."
    ),
]
Start = Annotated[
    str, typer.Option("--start", metavar="YYYY-MM-DD", rich_help_panel=_DAYS, help="From this trade date on.")
]
End = Annotated[
    str, typer.Option("--end", metavar="YYYY-MM-DD", rich_help_panel=_DAYS, help="To this trade date, included.")
]
From = Annotated[
    list[str] | None, typer.Option("--source", metavar="ID", rich_help_panel=_DAYS, help="Only this import. Repeat.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: tapebook features sim:es --set catalogue --every 100ms --to features.parquet")
    @reads_files
    def features(
        options: dict[str, Any],
        file: File = "",
        wanted: Set = "",
        every: Every = "",
        to: To = "",
        plugin: Plugin = None,
        listed: List = False,
        markdown: Annotated[bool, typer.Option("--markdown", help="With --list: a page for documents.")] = False,
        instrument: Instrument = "",
        any_hours: AnyHours = False,
        workers: Workers = 1,
        scheduler: Scheduler = "",
        resume: Resume = False,
        carry: Carry = _Carry.reset,
        start: Start = "",
        end: End = "",
        source: From = None,
        as_json: Json = False,
    ) -> None:
        """Make features of a tape, sampled into one table; or of every day of a lake, on many cores or machines.

        What there is, and what each column means: tapebook features --list

        A feature that needs what the tape lacks is named,
        its columns stay undefined, and the exit code is 1.
        """
        plugins = tuple(plugin or ())
        if listed:
            list_features(plugins, wanted, as_json=as_json, as_markdown=markdown)
            return
        for name, said in (("FILE", file), ("--set", wanted), ("--to", to)):
            if not said:
                raise typer.BadParameter("is missing (or ask for --list)", param_hint=name)
        if Path(file).is_dir() and not Path(to).suffix:
            if instrument and options.get("symbol"):
                raise typer.BadParameter("say either --instrument or --symbol", param_hint="--instrument")
            many_days(
                {
                    "lake": Path(file).resolve(),
                    "out": Path(to).resolve(),
                    "features": wanted,
                    "every": every,
                    "plugins": tuple(p.resolve() for p in plugins),
                    "any_hours": any_hours,
                    "carry": carry is _Carry.carry,
                    "resume": resume,
                },
                {
                    "venue": options.get("venue", ""),
                    "symbol": instrument or options.get("symbol", ""),
                    "start": start,
                    "end": end,
                    "sources": source or (),
                },
                {"workers": workers, "scheduler": scheduler, "strict": bool(options.get("strict"))},
                as_json=as_json,
            )
            return
        given: dict[str, object] = {
            "--workers": workers > 1,
            "--scheduler": scheduler,
            "--resume": resume,
            "--carry": carry is _Carry.carry,
            "--start": start,
            "--end": end,
            "--source": source,
        }
        for name, value in given.items():
            if value:
                raise typer.BadParameter("is for a lake whose days go into a folder (--to DIR)", param_hint=name)
        one_table(file, options, wanted, every, Path(to), plugins, instrument, any_hours=any_hours, as_json=as_json)


def one_table(
    file: str,
    options: dict[str, Any],
    wanted: str,
    every: str,
    to: Path,
    plugins: tuple[Path, ...],
    instrument: str,
    *,
    any_hours: bool,
    as_json: bool,
) -> None:
    """Write one table of a tape and say what was written, and what was lacking."""
    from tapebook.cli.show import watched
    from tapebook.market.errors import UnsupportedSchema
    from tapebook.market.tape import Tape
    from tapebook.report.sources import open_any
    from tapebook.report.survey import choose
    from tapebook.research.feature_sets import choose_features
    from tapebook.research.feature_sets import features as find
    from tapebook.research.features import Request, write_features

    chosen = tuple(choose_features(wanted, find(plugins)))
    tape = open_any(file, **options)
    if not isinstance(tape, Tape):
        raise UnsupportedSchema(
            "features are made of events",
            expected="trades, quotes or a book",
            found=f"{tape.origin.format} {tape.origin.schema}",
            where=tape.origin.name,
        )
    with watched(tape.progress, f"looking at {tape.origin.name}", quiet=as_json):
        choice = choose(tape, instrument)
    request = Request(chosen, every, hours=choice.hours and not any_hours)
    with watched(tape.progress, f"making features of {tape.origin.name}", quiet=as_json):
        table = write_features(tape, to, request, choice.instrument, choice.instrument_id)
    if as_json:
        others = [other["symbol"] for other in choice.others]
        told = {**asdict(table), "path": str(to), "columns": list(table.warm_up), "others": others}
        typer.echo(json.dumps({**told, "bad_records": dict(tape.quarantine.counts)}))
    else:
        _say(table, len(choice.others))
    if table.lacks:
        raise typer.Exit(1)


def _say(table: FeatureTable, n_others: int) -> None:
    others = f"; {n_others:,} other instruments on this tape (--instrument)" if n_others else ""
    typer.echo(f"{table.path}  {table.symbol}: {table.rows:,} rows of {len(table.warm_up)} columns{others}")
    late = {name: n for name, n in table.warm_up.items() if n}
    if late:
        typer.echo("rows before the first value: " + ", ".join(f"{name} {n:,}" for name, n in late.items()))
    never = [name for name, n in table.warm_up.items() if n is None]
    if never and table.rows:
        typer.echo(f"never defined: {', '.join(never)}")
    for name, what in table.lacks.items():
        typer.secho(f"{name} needs {what}: this tape has none, so its columns are undefined", fg="red", err=True)


def many_days(plan: dict[str, Any], chosen: dict[str, Any], how: dict[str, Any], *, as_json: bool) -> None:
    """Make the features of a lake's days and say what became of them."""
    from tapebook.cli.show import watched
    from tapebook.market.tape import Progress
    from tapebook.research.many_days import Plan, plan_days, run_days

    what = Plan(**plan)
    tasks = plan_days(what, **chosen)
    progress = Progress()
    n_days = sum(len(task.days) for task in tasks)
    with watched(progress, f"making features of {n_days:,} days", quiet=as_json):
        report = run_days(what, tasks, **how, progress=progress)
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        _say_days(report)
    if report.bad or any(day.lacks for day in report.days):
        raise typer.Exit(1)


def _say_days(report: DaysReport) -> None:
    told = report.to_dict()
    typer.echo(f"{report.out}  {told['rows']:,} rows: {told['made']:,} days made, {told['kept']:,} stood already")
    for day in report.bad:
        typer.secho(f"error: {day.symbol} {day.date}: {day.error}", fg="red", err=True)
    lacking: dict[tuple[str, str], int] = {}
    for day in report.days:
        for name, what in day.lacks.items():
            lacking[name, what] = lacking.get((name, what), 0) + 1
    for (name, what), n in lacking.items():
        typer.secho(f"{name} needs {what}: {n:,} days have none, its columns are undefined there", fg="red", err=True)


def list_features(plugins: tuple[Path, ...], wanted: str = "", *, as_json: bool, as_markdown: bool) -> None:
    """Print the features, all or those that are wanted: for people, for machines, or as a page."""
    from tapebook.research.feature_sets import choose_features, describe, features, markdown

    known = features(plugins)
    if wanted:
        known = {one.entry.name: one.entry for one in choose_features(wanted, known)}
    if as_json:
        typer.echo(json.dumps({"features": [describe(entry) for entry in known.values()]}))
    elif as_markdown:
        typer.echo(markdown(known), nl=False)
    else:
        _show(known)


def _show(known: dict[str, Registered]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from tapebook.research.feature_sets import describe

    out = Console()
    for entry in known.values():
        told = describe(entry)
        out.print(f"[bold]{escape(told['name'])}[/bold]  {escape(told['summary'])}", highlight=False)
        parameters = ", ".join(f"{p['name']}={p['default']}" for p in told["parameters"])
        needs = f"needs {told['needs']}" + (f"; parameters: {parameters}" if parameters else "")
        out.print(escape(needs), style="dim", highlight=False)
        table = Table("column", "unit", "meaning", show_header=False, box=None, padding=(0, 2, 0, 2))
        for column in told["columns"]:
            flow = " +" if column["flow"] else ""
            table.add_row(escape(column["name"]) + flow, escape(column["unit"]), escape(column["meaning"]))
        out.print(table)
        out.print()
    out.print("columns marked + are flows: sampled, they add up what happened since the row before", style="dim")
