"""``tapebook capture``: record a venue live; and bring a database up to date after a kill."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tapebook.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tapebook.capture.config import CaptureFile
    from tapebook.capture.plan import CaptureSettings, Outcome
    from tapebook.capture.sources import SourceRequest
    from tapebook.capture.status import CaptureStatistics
    from tapebook.venues.credentials import Credentials

_OPTION_OF = {  # of settings that are not called as their options
    "database": "--db",
    "duration_s": "--duration",
    "batch_rows": "--batch-size",
    "batch_timeout_s": "--batch-timeout",
    "interval_s": "--interval",
    "metrics_port": "--metrics",
}
_FOR = {  # options that only some venues understand
    "gateway": ("projectx", "binance"),
    "terminal": ("mt5",),
    "zone": ("mt5",),
    "single_trades": ("binance-",),
    "credentials": ("projectx",),
}
_EXAMPLE = "Example: tapebook capture --venue projectx --contract CON.F.US.MNQ.M25 --duration 300"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog=_EXAMPLE)
    def capture(
        session: Annotated[str, typer.Argument(metavar="[SESSION]", help="With --recover: which session.")] = "",
        venue: Annotated[
            list[str] | None, typer.Option(help="projectx, binance, binance-usdm, binance-coinm, mt5. Repeat.")
        ] = None,
        contract: Annotated[
            list[str] | None,
            typer.Option(metavar="ID", help="As the venue writes it; VENUE:ID where there are several. Repeat."),
        ] = None,
        config: Annotated[
            Path | None, typer.Option(metavar="FILE", help="TOML that says all this (docs/capture.md).")
        ] = None,
        name: Annotated[str | None, typer.Option(help="Of the session; one that is there is gone on with.")] = None,
        home: Annotated[
            Path | None, typer.Option(metavar="DIR", help="Where sessions are kept; by default ./captures.")
        ] = None,
        db: Annotated[
            str | None,
            typer.Option(
                metavar="URL", help="postgresql://USER@HOST/NAME (password: PGPASSWORD, ~/.pgpass) or a SQLite file."
            ),
        ] = None,
        duration: Annotated[float | None, typer.Option(metavar="SECONDS", help="Stop by itself.")] = None,
        quotes: Annotated[bool | None, typer.Option("--quotes/--no-quotes", help="Best prices.")] = None,
        trades: Annotated[bool | None, typer.Option("--trades/--no-trades", help="Prints.")] = None,
        depth: Annotated[bool | None, typer.Option("--depth/--no-depth", help="The book.")] = None,
        gateway: Annotated[
            str | None,
            typer.Option(
                metavar="URL",
                help="A gateway elsewhere, of ProjectX or Binance: http://127.0.0.1:PORT.",
            ),
        ] = None,
        terminal: Annotated[
            str | None, typer.Option(metavar="HOST[:PORT]", help="mt5: the RPyC server beside the terminal.")
        ] = None,
        zone: Annotated[
            str | None,
            typer.Option(metavar="ZONE", help="mt5: of the broker's clock; America/Sao_Paulo unless said, or NY+7."),
        ] = None,
        single_trades: Annotated[
            bool | None, typer.Option("--single-trades", help="Binance futures: single trades, an undocumented stream.")
        ] = None,
        credentials: Annotated[
            Path | None, typer.Option(metavar="FILE", help="TOML with user_name and api_key, mode 0600.")
        ] = None,
        batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a transaction (5,000).")] = None,
        batch_timeout: Annotated[
            float | None, typer.Option(metavar="SECONDS", help="A smaller batch after so long (0.25).")
        ] = None,
        keep_raw: Annotated[
            bool | None,
            typer.Option(
                "--keep-raw/--no-keep-raw", help="Raw payloads in the database too, not in the journal alone."
            ),
        ] = None,
        memory_mb: Annotated[
            float | None, typer.Option(help="Of each process; above it batches shrink (1,000).")
        ] = None,
        disk_warn_mb: Annotated[float | None, typer.Option(help="Warn below so much free disk (2,000).")] = None,
        disk_stop_mb: Annotated[float | None, typer.Option(help="End cleanly below so much free disk (256).")] = None,
        sync_ms: Annotated[
            float | None,
            typer.Option(min=0, help="Force the journal to disk so often (50); 0: leave it to the system."),
        ] = None,
        interval: Annotated[float | None, typer.Option(metavar="SECONDS", help="Between two statistics (1).")] = None,
        metrics: Annotated[
            int | None, typer.Option(metavar="PORT", min=0, max=65535, help="Prometheus metrics on 127.0.0.1.")
        ] = None,
        recover: Annotated[
            bool, typer.Option("--recover", help="Bring a session's database to what its journal holds.")
        ] = False,
        every: Annotated[bool, typer.Option("--all", help="With --recover: every session that needs it.")] = False,
        as_json: Json = False,
    ) -> None:
        """Record quotes, trades and depth: into a journal at once, and from there into a database."""
        from tapebook.capture.config import CaptureFile, VenueEntry, load_capture_file
        from tapebook.capture.settings import HOME, refuse_password

        refuse_password(db or "", "--db")
        of_venues = _given(
            quotes=quotes,
            trades=trades,
            depth=depth,
            gateway=gateway,
            terminal=terminal,
            zone=zone,
            single_trades=single_trades,
            credentials=credentials,
        )
        of_all = _given(
            name=name,
            home=home,
            database=db,
            duration_s=duration,
            batch_rows=batch_size,
            batch_timeout_s=batch_timeout,
            keep_raw=keep_raw,
            memory_mb=memory_mb,
            disk_warn_mb=disk_warn_mb,
            disk_stop_mb=disk_stop_mb,
            sync_ms=sync_ms,
            interval_s=interval,
            metrics_port=metrics,
        )
        named = _given(venue=venue or None, contract=contract or None)
        if recover or every:
            idle = {n: value for n, value in of_all.items() if n not in ("home", "database")}
            _refuse({**named, **of_venues, **idle, **_given(config=config)}, "--recover captures nothing")
            _recover(session, home or HOME, db or "", every=every, as_json=as_json)
            return
        if session:
            raise typer.BadParameter("a SESSION is named with --recover only", param_hint="SESSION")
        if config is not None:
            _refuse({**named, **of_venues}, "--config says that of each venue")
            file = load_capture_file(config)
        else:
            by_venue = _by_venue(venue or [], contract or [])
            for option, whose in _FOR.items():
                if not any(one.startswith(whose) for one in by_venue):
                    _refuse(
                        {n: of_venues[n] for n in (option,) if n in of_venues}, f"of no use to {', '.join(by_venue)}"
                    )
            entries = []
            for one, ids in by_venue.items():
                where = {n: of_venues[n] for n in ("gateway", "terminal", "zone", "single_trades") if n in of_venues}
                what = {n: value for n, value in of_venues.items() if n not in where}
                addresses = _addresses(one, where.pop("gateway", ""), os.environ, **where)
                entries.append(VenueEntry(name=one, contracts=ids, addresses=addresses, **what))
            file = CaptureFile(venue=entries)
        file = file.but(**of_all)
        outcome = _run(file.settings(), _credentials_for(file), as_json=as_json)
        _tell(outcome, as_json=as_json)
        if outcome.state != "ended":
            raise typer.Exit(1)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given: what was left out is None."""
    return {name: value for name, value in options.items() if value is not None}


def _refuse(options: Mapping[str, Any], why: str) -> None:
    """Raise where there are options that would count for nothing."""
    if options:
        raise typer.BadParameter(
            why, param_hint=", ".join(_OPTION_OF.get(n, f"--{n.replace('_', '-')}") for n in options)
        )


def _by_venue(venues: list[str], contracts: list[str]) -> dict[str, list[str]]:
    """Return the contracts of each venue.

    >>> _by_venue(["projectx"], ["A", "B"]), _by_venue(["projectx", "binance"], ["projectx:A", "binance:B"])
    ({'projectx': ['A', 'B']}, {'projectx': ['A'], 'binance': ['B']})
    """
    if not venues or not contracts:
        raise typer.BadParameter("name a venue and a contract, or --config", param_hint="--venue, --contract")
    out: dict[str, list[str]] = {one: [] for one in venues}
    for text in contracts:
        one, mark, contract_id = text.partition(":")
        if mark and one in out:
            out[one].append(contract_id)
        elif len(out) == 1:
            out[venues[0]].append(text)
        else:
            raise typer.BadParameter(f"whose is {text}? Write VENUE:{text}", param_hint="--contract")
    return out


def _addresses(venue: str, gateway: str, environment: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """Return where a venue is: as options say, as the environment does, or nothing: its public addresses.

    >>> _addresses("projectx", "", {"TAPEBOOK_PROJECTX_REST": "https://api.e8.projectx.com"})
    {'rest': 'https://api.e8.projectx.com'}
    >>> _addresses("binance-usdm", "http://127.0.0.1:8010", {})
    {'rest': 'http://127.0.0.1:8010', 'socket': 'ws://127.0.0.1:8010', 'use_proxy': False}
    >>> _addresses("mt5", "", {}, terminal="127.0.0.1:18812", zone="NY+7")
    {'host': '127.0.0.1', 'port': 18812, 'zone': 'NY+7'}
    """
    if venue == "mt5":
        return _terminal(more.get("terminal", ""), more.get("zone", ""))
    binance = venue.startswith("binance")
    single: dict[str, Any] = {"single_trades": True} if binance and more.get("single_trades") else {}
    if gateway:
        root = gateway.rstrip("/")
        if binance:
            return {"rest": root, "socket": "ws" + root.removeprefix("http"), "use_proxy": False, **single}
        hubs = {f"{hub}_hub": f"{root}/hubs/{hub}" for hub in ("market", "user")}
        return {"rest": root, "use_proxy": False, **hubs}
    prefix = f"TAPEBOOK_{venue.upper().replace('-', '_')}_"
    names = ("rest", "socket") if binance else ("rest", "market_hub", "user_hub")
    said = {name: environment[prefix + name.upper()] for name in names if environment.get(prefix + name.upper())}
    here = any(f"//{host}" in said.get("rest", "") for host in ("127.0.0.1", "localhost", "[::1]"))
    return {**said, **({"use_proxy": False} if here else {}), **single}


def _terminal(address: str, zone: str) -> dict[str, Any]:
    """Return where a terminal is, and the zone of its clock."""
    host, _, port = address.rpartition(":") if address.rpartition(":")[2].isdecimal() else (address, "", "")
    found: dict[str, Any] = {"host": host} if host else {}
    if port:
        found["port"] = int(port)
    return {**found, "zone": zone} if zone else found


def _credentials_for(file: CaptureFile) -> Callable[[SourceRequest], Credentials]:
    """Return what finds user name and key: the environment, the file, or whoever sits at the terminal."""
    import os
    from getpass import getpass

    from tapebook.capture.sources import WITHOUT_KEYS
    from tapebook.venues.credentials import Credentials, Secret, find_credentials

    known = {entry.name: entry.secret() for entry in file.venue}

    def find(request: SourceRequest) -> Credentials:
        if request.venue in WITHOUT_KEYS:
            return Credentials(Secret(""), Secret(""))
        return known.get(request.venue) or find_credentials(
            f"TAPEBOOK_{request.venue.upper()}",
            environment=os.environ,
            path=request.credentials,
            ask=getpass if sys.stdin.isatty() else None,
        )

    return find


def _run(
    settings: CaptureSettings, credentials_for: Callable[[SourceRequest], Credentials], *, as_json: bool
) -> Outcome:
    from tapebook.capture.session import run_capture

    with _shown(as_json=as_json) as show:
        return run_capture(settings, credentials_for, show)


def _shown(*, as_json: bool) -> Any:
    """Return what shows statistics: a live table on a terminal, a line each elsewhere, NDJSON for machines."""
    import contextlib

    from tapebook.capture.status import line_of, table_of

    @contextlib.contextmanager
    def shown() -> Iterator[Callable[[CaptureStatistics], None]]:
        if as_json:
            yield lambda now: typer.echo(json.dumps({"statistics": asdict(now)}))
        elif not sys.stderr.isatty():
            yield lambda now: typer.echo(line_of(now), err=True)
        else:
            from rich.console import Console
            from rich.live import Live

            with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
                yield lambda now: live.update(table_of(now), refresh=True)

    return shown()


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    now = outcome.statistics
    if as_json:
        found = {**asdict(outcome), "folder": str(outcome.folder)}
        typer.echo(json.dumps({"session": found}))
        return
    rows = ", ".join(f"{n:,} {table}" for table, n in now.rows.items())
    typer.echo(f"session   {outcome.name}, {outcome.state} ({outcome.reason}) after {now.uptime_s:,.0f} s")
    typer.echo(f"received  {now.frames:,} frames, {now.frame_bytes / 1e6:,.1f} MB")
    typer.echo(f"database  {outcome.database}: {rows}")
    typer.echo(f"folder    {outcome.folder}")
    for finding, n in now.findings.items():
        typer.echo(f"finding   {n:,} times: {finding}")
    if outcome.state != "ended":
        typer.secho(f"the database lacks frames that the journal has ({now.database_error})", fg="red", err=True)
        typer.secho(f"bring it up to date: tapebook capture --recover {outcome.folder}", err=True)


def _recover(session: str, home: Path, db: str, *, every: bool, as_json: bool) -> None:
    from tapebook.capture.recover import Recovery, find_session, recover_session, unfinished
    from tapebook.market.errors import TickDataError

    if bool(session) == every:
        raise typer.BadParameter("name a SESSION, or --all", param_hint="--recover")
    done: list[Recovery] = []
    for folder in unfinished(home) if every else [find_session(session, home)]:
        try:
            done.append(recover_session(folder, database=db))
        except TickDataError as error:
            if not every:
                raise
            done.append(Recovery.failed(folder, str(error)))  # the others are not to wait for it
    if as_json:
        typer.echo(json.dumps({"recovered": [{**asdict(one), "folder": str(one.folder)} for one in done]}))
    else:
        for one in done:
            typer.echo(f"{one.name}: {one.state}; {one.frames:,} frames decoded, {one.rows:,} rows written")
            if one.missing_frames:
                typer.echo(f"  {one.missing_frames:,} frames are missing from the journal: marked as gaps")
            if one.error:
                typer.secho(f"  {one.error}", fg="red", err=True)
        if not done:
            typer.echo("no session needs it")
    if any(one.state == "incomplete" for one in done):
        raise typer.Exit(1)
