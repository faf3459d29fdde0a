"""``tapebook bars`` and ``tapebook footprint``: trades into bars, and into volume by price within each bar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tapebook.cli.options import Json, Source, reads_files

_RULES = (
    "KIND:SIZE with KIND time, tick, volume, dollar, range, reversal, renko, delta, tick-imbalance, volume-imbalance, "
    "dollar-imbalance, tick-runs, volume-runs or dollar-runs: time:1m, range:8, volume:1000."
)
Every = Annotated[str, typer.Option("--every", metavar="KIND:SIZE", help=_RULES)]
To = Annotated[Path, typer.Option(metavar="FILE", help=".parquet, .csv or .json (lines); it appears when whole.")]
Raw = Annotated[bool, typer.Option("--raw", help="Integers: prices in 1e-9, volumes in lots.")]
Instrument = Annotated[str, typer.Option("--instrument", metavar="SYMBOL", help="Only this one.")]
Partial = Annotated[bool, typer.Option("--partial", help="Also the bar that is open when the tape ends.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command(epilog="Example: tapebook bars esh4-20231225.mbo.dbn.zst --every range:8 --to bars.parquet")
    @reads_files
    def bars(
        file: Source,
        to: To,
        options: dict[str, Any],
        every: Every = "time:1m",
        raw: Raw = False,
        instrument: Instrument = "",
        partial: Partial = False,
        as_json: Json = False,
    ) -> None:
        """Make bars: OHLC, VWAP, bought and sold volume, delta and its extremes, first and last quote."""
        make(file, to, every, raw, instrument, partial, options, cells=False, as_json=as_json)

    @app.command(epilog="Example: tapebook footprint sim:es --every time:5m --to cells.csv")
    @reads_files
    def footprint(
        file: Source,
        to: To,
        options: dict[str, Any],
        every: Every = "time:1m",
        raw: Raw = False,
        instrument: Instrument = "",
        partial: Partial = False,
        as_json: Json = False,
    ) -> None:
        """Make footprint cells: volume sold at the bid and bought at the ask, by price, within each bar."""
        make(file, to, every, raw, instrument, partial, options, cells=True, as_json=as_json)


def make(
    file: str,
    to: Path,
    every: str,
    raw: bool,
    instrument: str,
    partial: bool,
    options: dict[str, Any],
    *,
    cells: bool,
    as_json: bool,
) -> None:
    """Write the bars or cells of a source and say what was written."""
    from tapebook.bars.rules import BarRule
    from tapebook.bars.table import write_bars
    from tapebook.cli.show import watched
    from tapebook.market.errors import UnsupportedSchema
    from tapebook.market.tape import Tape
    from tapebook.report.sources import open_any

    rule = BarRule.parse(every)
    tape = open_any(file, **options)
    if not isinstance(tape, Tape):
        raise UnsupportedSchema(
            "bars are made of trades",
            expected="trades",
            found=f"{tape.origin.format} {tape.origin.schema}",
            where=tape.origin.name,
            remedy="use tapebook convert for a file that holds bars already",
        )
    with watched(tape.progress, f"making bars of {tape.origin.name}", quiet=as_json):
        table = write_bars(tape, to, rule, cells=cells, raw=raw, symbol=instrument, partial=partial)
    if as_json:
        written = {"path": str(table.path), "rows": table.rows, "bars": table.bars, "columns": table.columns}
        typer.echo(json.dumps(written))
        return
    counts = ", ".join(f"{symbol} {n:,}" for symbol, n in table.bars.items())
    typer.echo(f"{table.path}  {table.rows:,} rows of {len(table.columns)} columns; bars: {counts}")
