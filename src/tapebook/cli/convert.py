"""``tapebook convert``: recordings into the Parquet lake, or into one file of another format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tapebook.cli.options import Json, reads_files

if TYPE_CHECKING:
    from tapebook.market.tape import Progress, Table, Tape


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: tapebook convert es-*.dbn.zst --to lake")
    @reads_files
    def convert(
        files: Annotated[
            list[str], typer.Argument(help="Recordings of any known format, lakes, or specs such as sim:es.")
        ],
        options: dict[str, Any],
        to: Annotated[
            str, typer.Option(metavar="DIR|FILE", help="A lake, or a file .parquet .arrow .csv .json (.csv.gz …).")
        ],
        instrument: Annotated[
            list[str] | None, typer.Option("--instrument", help="Keep only this symbol. Repeat.")
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Convert recordings: into the lake (a folder), or into one file whose extension names the format.

        The same file imported twice leaves the same lake. One bad input does not stop the others, unless --strict.
        """
        from tapebook.market.errors import ConfigurationError
        from tapebook.store.rows import FORMATS, format_of

        target = Path(to)
        into_file = format_of(target) is not None and not target.is_dir()
        if not into_file and target.suffix and not target.is_dir() and not to.endswith(("/", "\\")):
            raise ConfigurationError(
                "is this a file or a folder?",
                expected=f"a file {', '.join(FORMATS)}, or a folder",
                found=target.suffix,
                where=f"--to {to}",
                remedy="end the name of a new folder with /",
            )
        failed: list[dict[str, Any]] = []
        if into_file:
            done = _into_file(files, target, options, instrument, as_json)
        else:
            done, failed = _into_lake(files, target, options, instrument, as_json, strict=bool(options.get("strict")))
        if as_json:
            typer.echo(json.dumps({"to": str(target), "inputs": done, "failed": failed}, default=str))
        if failed:
            raise typer.Exit(1)


def _open(name: str, options: dict[str, Any], instrument: list[str] | None) -> Tape | Table:
    from tapebook.market.tape import Tape
    from tapebook.report.sources import open_any
    from tapebook.store.chain import only

    source = open_any(name, **options)
    return only(source, instrument) if instrument and isinstance(source, Tape) else source


def _into_lake(
    files: list[str],
    target: Path,
    options: dict[str, Any],
    instrument: list[str] | None,
    as_json: bool,
    *,
    strict: bool,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Import the files one by one; return what was done and what failed."""
    from tapebook.cli.show import say, watched
    from tapebook.market.errors import TickDataError
    from tapebook.store import Lake

    lake = Lake(target)
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for i, name in enumerate(files, start=1):
        try:
            source = _open(name, options, instrument)
            with watched(source.progress, f"{i}/{len(files)} {source.origin.name}", quiet=as_json):
                report = lake.ingest(source)
        except TickDataError as error:
            if strict or len(files) == 1:
                raise
            failed.append({"name": name, "error": type(error).__name__, "message": str(error)})
            if not as_json:
                typer.secho(f"error: {name}: {error}", fg="red", err=True)
            continue
        row = {
            "name": name,
            "source": report.source,
            "rows": report.rows,
            "size_bytes": sum(f.size_bytes for f in report.files),
            "partitions": [
                {"venue": f.venue, "symbol": f.symbol, "date": f.date, "rows": f.rows, "path": f.path}
                for f in report.files
            ],
            "again": report.again,
            "replaced": list(report.replaced),
            **_noticed(source),
        }
        done.append(row)
        if not as_json:
            say(_sentence(row, target))
    return done, failed


def _into_file(
    files: list[str],
    target: Path,
    options: dict[str, Any],
    instrument: list[str] | None,
    as_json: bool,
) -> list[dict[str, Any]]:
    """Write all files into one; return what was done."""
    from tapebook.cli.show import say, watched
    from tapebook.store.export import export

    sources = [_open(name, options, instrument) for name in files]
    with watched(_together(sources), f"writing {target.name}", quiet=as_json):
        report = export(sources, target)
    done = [{"name": name, **_noticed(source)} for name, source in zip(files, sources, strict=True)]
    done[0] |= {"rows": report.rows, "size_bytes": report.size_bytes}
    if not as_json:
        say(f"{target}: {report.rows:,} rows, {report.size_bytes / 1e6:,.1f} MB")
        for row in done:
            say(_bad(row)) if _bad(row) else None
    return done


def _noticed(source: Tape | Table) -> dict[str, Any]:
    quarantine = source.quarantine
    return {
        "bad_records": dict(quarantine.counts),
        "truncated": quarantine.truncated,
        "notes": dict(source.notes),
    }


def _sentence(row: dict[str, Any], target: Path) -> str:
    if not row["rows"]:
        return f"{row['name']}: nothing to import{_bad(row)}"
    symbols = sorted({p["symbol"] for p in row["partitions"] if p["symbol"]}) or ["a table"]
    days = sorted({p["date"] for p in row["partitions"]})
    what = ", ".join(symbols[:5]) + (f" and {len(symbols) - 5} more" if len(symbols) > 5 else "")
    span = f", {days[0]} to {days[-1]}" if len(days) > 1 else f", {days[0]}" if days[0] else ""
    size = f"{row['rows']:,} rows, {row['size_bytes'] / 1e6:,.1f} MB,"
    again = " (was there already)" if row["again"] else ""
    older = f"; replaced {len(row['replaced'])} files of an older edition" if row["replaced"] else ""
    return f"{row['name']}: {size} into {target}: {what}{span}{again}{older}{_bad(row)}"


def _bad(row: dict[str, Any]) -> str:
    text = ""
    if row["bad_records"]:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in row["bad_records"].items())
        text += f"; {sum(row['bad_records'].values()):,} bad records left out: {reasons}"
    return text + (f"; the input ends early: {row['truncated']}" if row["truncated"] else "")


def _together(sources: list[Tape | Table]) -> Progress:
    """Return the progress of several sources as one, added up whenever it is looked at."""
    from tapebook.market.tape import Progress

    class Sum(Progress):
        def __getattribute__(self, name: str) -> Any:
            if name in ("done_bytes", "total_bytes"):
                return sum(getattr(s.progress, name) for s in sources)
            return super().__getattribute__(name)

    return Sum()
