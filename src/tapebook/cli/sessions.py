"""``tapebook sessions``: what was captured, and what becomes of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tapebook.cli.options import Json

if TYPE_CHECKING:
    from tapebook.capture.session_prune import PruneReport
    from tapebook.capture.session_tape import From
    from tapebook.capture.sessions import Captured
    from tapebook.market.tape import Progress

_NAME: Final = "A session's name, its folder, or URL#NAME in a database."
Name = Annotated[str, typer.Argument(metavar="SESSION", help=_NAME)]
Home = Annotated[Path, typer.Option("--home", metavar="DIR", help="Where sessions are kept.")]
Db = Annotated[
    str,
    typer.Option("--db", metavar="URL", help="A database to look in; its password from PGPASSWORD or ~/.pgpass."),
]
Source = Annotated[
    str, typer.Option("--from", metavar="WHAT", help="journal or database: the same events. The journal by default.")
]
_HOME: Final = Path("captures")
_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Captured sessions: list, look at, compare, export, keep, check.")
    app.add_typer(group, name="sessions", epilog="Example: tapebook sessions list")
    for command in (_list, _show, _compare, _export, _verify, _backup, _restore, _prune):
        command(group)


def _list(group: typer.Typer) -> None:
    @group.command("list", epilog="Example: tapebook sessions list --db postgresql://me@host/ticks")
    def list_(home: Home = _HOME, db: Db = "", as_json: Json = False) -> None:
        """List captured sessions, oldest first."""
        from tapebook.capture.session_report import listed
        from tapebook.capture.sessions import captured_sessions
        from tapebook.capture.settings import refuse_password
        from tapebook.cli.sessions_show import show_list

        refuse_password(db, "--db")
        found = [listed(session) for session in captured_sessions(home, db)]
        _tell({"sessions": found}, as_json=as_json, show=lambda: show_list(found, str(home)))


def _show(group: typer.Typer) -> None:
    @group.command(epilog="Example: tapebook sessions show 20260819T140000-projectx-MNQ.U26 --deep")
    def show(
        session: Name,
        home: Home = _HOME,
        db: Db = "",
        deep: Annotated[bool, typer.Option("--deep", help="Decode its journal too: latencies, books.")] = False,
        as_json: Json = False,
    ) -> None:
        """Tell what a session holds: counts and rates by contract, gaps, findings, lag, room on disk."""
        from tapebook.capture.session_report import describe_session
        from tapebook.cli.sessions_show import show_session

        found = _captured(session, home, db)
        about = _watched(found, quiet=as_json, work=lambda p: describe_session(found, deep=deep, progress=p))
        _tell(about, as_json=as_json, show=lambda: show_session(about))


def _compare(group: typer.Typer) -> None:
    @group.command(epilog="Example: tapebook sessions compare monday monday-backup")
    def compare(
        first: Name,
        second: Name,
        home: Home = _HOME,
        db: Db = "",
        source: Source = "",
        as_json: Json = False,
    ) -> None:
        """Compare two sessions: statistics side by side, and events that only one of them heard."""
        from tapebook.capture.session_compare import compare_sessions
        from tapebook.cli.sessions_show import show_comparison

        one, other = _captured(first, home, db), _captured(second, home, db)
        where = _from(source)
        found = _watched(one, quiet=as_json, work=lambda p: compare_sessions(one, other, source=where, progress=p))
        _tell(asdict(found) | {"same": found.same}, as_json=as_json, show=lambda: show_comparison(found))


def _export(group: typer.Typer) -> None:
    @group.command(epilog="Example: tapebook sessions export monday --to monday.parquet --contract CON.F.US.MNQ.U26")
    def export(
        session: Name,
        to: Annotated[
            Path,
            typer.Option(metavar="FILE|DIR", help=".csv, .json, .parquet or .arrow (.csv.gz …), or a lake's folder."),
        ],
        home: Home = _HOME,
        db: Db = "",
        contract: Annotated[str, typer.Option(metavar="ID", help="Only this contract id or symbol.")] = "",
        start: Annotated[str, typer.Option(metavar="TIME", help="Received from then on: 2026-08-19T14:00Z.")] = "",
        end: Annotated[str, typer.Option(metavar="TIME", help="Received before then.")] = "",
        source: Source = "",
        as_json: Json = False,
    ) -> None:
        """Write a session's events, all or a part, to a file or into a lake."""
        from tapebook.capture.session_export import export_session, moment_ns
        from tapebook.capture.session_tape import Choice, session_tape
        from tapebook.cli.show import watched

        found = _captured(session, home, db)
        choice = Choice(contract=contract, start_ns=moment_ns(start, "--start"), end_ns=moment_ns(end, "--end"))
        tape = session_tape(found, source=_from(source), choice=choice)
        with watched(tape.progress, f"exporting {found.label}", quiet=as_json):
            done = export_session(tape, to)
        told = {"session": found.label, "path": str(to), "rows": done.rows}
        told |= {"bad_records": dict(tape.quarantine.counts), "notes": dict(tape.notes)}
        _tell(told, as_json=as_json, show=lambda: typer.echo(f"{to}  {done.rows:,} events of {found.label}"))


def _verify(group: typer.Typer) -> None:
    @group.command(epilog="Example: tapebook sessions verify monday")
    def verify(session: Name, home: Home = _HOME, db: Db = "", as_json: Json = False) -> None:
        """Check the journal's checksums and numbers, and every row of the database against its frames.

        Of a backup (its folder or archive) every file is compared with its checksum.
        """
        from tapebook.capture.backup_files import is_backup
        from tapebook.capture.session_backup import check_backup
        from tapebook.capture.session_verify import verify_captured
        from tapebook.cli.sessions_show import show_verdict

        if is_backup(Path(session)):
            copy = check_backup(Path(session))
            told = asdict(copy) | {"path": str(copy.path), "ok": True}
            text = f"{copy.path}  all {copy.files} files are as they were copied, up to frame {copy.last_sequence:,}"
            _tell(told, as_json=as_json, show=lambda: typer.echo(text))
            return
        found = _captured(session, home, db)
        verdict = _watched(found, quiet=as_json, work=lambda p: verify_captured(found, progress=p))
        _tell(asdict(verdict), as_json=as_json, show=lambda: show_verdict(verdict))
        if not verdict.ok:
            raise typer.Exit(1)


def _backup(group: typer.Typer) -> None:
    @group.command(epilog="Example: tapebook sessions backup monday --to /mnt/backups")
    def backup(
        session: Name,
        to: Annotated[Path, typer.Option(metavar="DIR|FILE", help="A folder, or a file ending with .tar or .tar.zst.")],
        home: Home = _HOME,
        db: Db = "",
        as_json: Json = False,
    ) -> None:
        """Copy a session, journal and rows, consistent even while it is being captured."""
        from tapebook.capture.session_backup import backup_session
        from tapebook.market.clock import WallClock

        found = _captured(session, home, db)
        now_ns = WallClock().now_ns()
        done = _watched(found, quiet=as_json, work=lambda p: backup_session(found, to, now_ns=now_ns, progress=p))
        told = asdict(done) | {"path": str(done.path)}
        text = f"{done.path}  {done.files} files, {done.size_bytes / 1e6:,.1f} MB, up to frame {done.last_sequence:,}"
        _tell(told, as_json=as_json, show=lambda: typer.echo(text))


def _restore(group: typer.Typer) -> None:
    @group.command(epilog="Example: tapebook sessions restore /mnt/backups/monday --as monday-again")
    def restore(
        backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="What tapebook sessions backup made.")],
        home: Home = _HOME,
        name: Annotated[str, typer.Option("--as", metavar="NAME", help="The folder's name, if another.")] = "",
        db: Db = "",
        as_json: Json = False,
    ) -> None:
        """Make a session of a backup; every file is compared with its checksum first."""
        from tapebook.capture.session_backup import restore_session
        from tapebook.capture.settings import refuse_password

        refuse_password(db, "--db")
        folder = restore_session(backup, home=home, name=name, database=db)
        _tell({"folder": str(folder)}, as_json=as_json, show=lambda: typer.echo(f"restored to {folder}"))


def _prune(group: typer.Typer) -> None:
    @group.command(epilog="Example: tapebook sessions prune --older-than 30d --dry-run")
    def prune(
        older_than: Annotated[str, typer.Option(metavar="AGE", help="Since they ended: 30d, 12h.")],
        lake: Annotated[
            Path | None,
            typer.Option(metavar="DIR", help="Where events go; by default the settings' lake, else ./lake."),
        ] = None,
        session: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this one. Repeat.")] = None,
        home: Home = _HOME,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
        as_json: Json = False,
    ) -> None:
        """Move old sessions into the lake; journal and rows are deleted when the lake has given everything back.

        The raw frames are gone afterwards: make a backup first where they are wanted. A running session is never
        touched.
        """
        from tapebook.capture.session_prune import PruneReport, candidates
        from tapebook.capture.sessions import captured_sessions
        from tapebook.cli.lake import open_lake
        from tapebook.cli.sessions_show import show_pruned
        from tapebook.market.clock import WallClock
        from tapebook.market.errors import StoreError

        now_ns = WallClock().now_ns()
        target = open_lake(lake).path
        done, failed = [], False
        for one in candidates(captured_sessions(home), now_ns - _age_s(older_than) * 10**9):
            if session and one.label not in session:
                continue
            work = partial(_pruned, one, target, now_ns, dry_run)
            try:
                report = _watched(one, quiet=as_json, work=work)
            except StoreError as error:  # the next one may do
                report, failed = PruneReport(name=one.label, pruned=False, reason=str(error)), True
            done.append(report)
        for name in set(session or ()) - {report.name for report in done}:
            reason = "no such session, or it runs, did not end so long ago, or was pruned before"
            done.append(PruneReport(name=name, pruned=False, reason=reason))
            failed = True
        told = {"dry_run": dry_run, "sessions": [asdict(one) for one in done]}
        _tell(told, as_json=as_json, show=lambda: show_pruned(done, dry_run=dry_run))
        if failed:
            raise typer.Exit(1)


def _pruned(session: Captured, lake: Path, now_ns: int, dry_run: bool, progress: Progress) -> PruneReport:
    from tapebook.capture.session_prune import prune_session

    return prune_session(session, lake, now_ns=now_ns, dry_run=dry_run, progress=progress)


def _captured(name: str, home: Path, db: str) -> Captured:
    from tapebook.capture.sessions import captured
    from tapebook.capture.settings import refuse_password

    refuse_password(db, "--db")
    refuse_password(name.rpartition("#")[0], "SESSION")
    return captured(name, home, db)


def _from(text: str) -> From:
    if text == "journal":
        return "journal"
    if text == "database":
        return "database"
    if text:
        raise typer.BadParameter("journal or database", param_hint="--from")
    return ""


def _age_s(text: str) -> int:
    """Return an age in seconds.

    >>> _age_s("30d"), _age_s("12h")
    (2592000, 43200)
    """
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and unit in _UNITS):
        raise typer.BadParameter("an age such as 30d or 12h", param_hint="--older-than")
    return int(number) * _UNITS[unit]


def _watched(session: Captured, *, quiet: bool, work: Callable[[Any], Any]) -> Any:
    """Do something with a progress bar."""
    from tapebook.cli.show import watched
    from tapebook.market.tape import Progress

    progress = Progress()
    with watched(progress, f"reading {session.label}", quiet=quiet or not sys.stderr.isatty()):
        return work(progress)


def _tell(found: dict[str, Any], *, as_json: bool, show: Callable[[], None]) -> None:
    if as_json:
        typer.echo(json.dumps(found, default=str))
    else:
        show()
