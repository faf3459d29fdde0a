"""``tapebook simulate``: a synthetic session with planted episodes, and the truth about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pyarrow as pa

    from tapebook.simulator import SimulatedTape


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: tapebook simulate --duration-s 900 --episode iceberg@60 --episode sweep@300 --to es")
    def simulate(
        to: Annotated[
            Path,
            typer.Option(metavar="FOLDER|FILE", help="A folder, or a file .parquet .arrow .csv .json for the tape."),
        ],
        preset: Annotated[
            str, typer.Option(metavar="NAME|FILE.toml", help="es, es-thin, nq, btc, or your own.")
        ] = "es",
        seed: Annotated[int, typer.Option(min=0, help="Chooses the session.")] = 1,
        duration_s: Annotated[
            float | None, typer.Option(help="Length; without it to the end of regular hours (btc: an hour).")
        ] = None,
        episode: Annotated[
            list[str] | None,
            typer.Option(metavar="KIND@SECONDS", help="Plant one (KIND@SECONDS:field=value sets a number). Repeat."),
        ] = None,
        date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Trade date.")] = "",
        start_s: Annotated[float | None, typer.Option(help="Start so long after the open.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for machines.")] = False,
    ) -> None:
        """Simulate a session: the tape as events, and beside it truth.parquet and truth.json: what was planted where.

        Kinds: flash_crash, liquidity_evaporation, quote_stuffing, iceberg, sweep, layering, wash_trades, informed_flow.
        """
        from tapebook.cli.show import watched
        from tapebook.simulator import preset_named
        from tapebook.simulator import simulate as run
        from tapebook.store.export import export

        market = preset_named(preset, date=date, start_s=start_s)
        tape = run(market, seed, duration_s, episode or ())
        events_path, truth_stem = places(to)
        events_path.parent.mkdir(parents=True, exist_ok=True)
        with watched(tape.progress, f"simulating {market.name}", quiet=as_json):
            report = export([tape], events_path)
        truth_paths = write_truth(tape.truth(), truth_stem)
        found = about(tape, events_path, report.rows, report.size_bytes, truth_paths)
        if as_json:
            typer.echo(json.dumps(found))
        else:
            show(found)


def places(to: Path) -> tuple[Path, Path]:
    """Return where the events go, and the truth's path without its extension.

    >>> [[p.as_posix() for p in places(Path(to))] for to in ("es", "a/es-1.5.csv.gz")]
    [['es/events.parquet', 'es/truth'], ['a/es-1.5.csv.gz', 'a/es-1.5.truth']]
    """
    from tapebook.store.rows import format_of

    if to.is_dir() or (format_of(to) is None and not to.suffix):
        return to / "events.parquet", to / "truth"
    plain = to.with_suffix("") if to.suffix in (".gz", ".zst") else to
    return to, plain.with_suffix(".truth")


def write_truth(truth: pa.Table, stem: Path) -> list[Path]:
    """Write the truth table as Parquet and as JSON (parameters as an object, one list of episodes)."""
    import pyarrow.parquet as pq

    from tapebook.market.parquet import write_whole

    paths = [stem.with_name(stem.name + ".parquet"), stem.with_name(stem.name + ".json")]
    with write_whole(paths[0]) as beside:
        pq.write_table(truth, beside, compression="zstd")
    rows = [{**row, "parameters": json.loads(row["parameters"])} for row in truth.to_pylist()]
    with write_whole(paths[1]) as beside:
        beside.write_text(json.dumps({"episodes": rows}, indent=1) + "\n", encoding="utf-8")
    return paths


def about(tape: SimulatedTape, path: Path, rows: int, size_bytes: int, truth: list[Path]) -> dict[str, Any]:
    """Return what was done, for machines."""
    instrument = tape.instruments.only()
    episodes = [
        {name: row[name] for name in ("episode", "kind", "side", "start_ns", "end_ns", "n_events", "meaning")}
        for row in tape.truth().to_pylist()
    ]
    return {
        "events": str(path),
        "truth": [str(p) for p in truth],
        "rows": rows,
        "size_bytes": size_bytes,
        "session": tape.origin.name,
        "symbol": instrument.symbol,
        "venue": instrument.venue,
        **{name: tape.origin.details[name] for name in ("seed", "duration_s", "meaning")},
        "episodes": episodes,
        "not_planted": tape.notes.get("episodes that found no occasion", 0),
    }


def show(found: dict[str, Any]) -> None:
    """Say what was done, for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"[bold]{found['session']}[/] {found['symbol']}: {found['meaning']}")
    console.print(f"{found['events']}: {found['rows']:,} events, {found['size_bytes'] / 1e6:,.1f} MB")
    if found["episodes"]:
        table = Table("kind", "start (UTC)", "seconds", "events", "what happens")
        for row in found["episodes"]:
            seconds = (row["end_ns"] - row["start_ns"]) / 1e9
            table.add_row(row["kind"], clock(row["start_ns"]), f"{seconds:.3f}", f"{row['n_events']:,}", row["meaning"])
        console.print(table)
        console.print(f"truth: {', '.join(found['truth'])}")
    if found["not_planted"]:
        console.print(f"[yellow]{found['not_planted']} episodes found no occasion and were not planted[/]")


def clock(ts_ns: int) -> str:
    """Return the time of day of a stamp.

    >>> clock(1_772_634_600_250_000_000)
    '14:30:00.250'
    """
    seconds, rest = divmod(ts_ns, 1_000_000_000)
    minutes, s = divmod(seconds % 86_400, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{s:02d}.{rest // 1_000_000:03d}"
