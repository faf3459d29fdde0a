"""``tapebook fanout``: a session's events into Redis Streams, for other processes and machines."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tapebook.cli.options import Json

if TYPE_CHECKING:
    from tapebook.capture.fanout import FanoutState


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: tapebook fanout 20260819T140000-projectx-MNQ.U26 --redis redis://127.0.0.1:6379/0")
    def fanout(
        session: Annotated[str, typer.Argument(metavar="SESSION", help="Its name or folder; it may be running.")],
        redis: Annotated[
            str,
            typer.Option(
                metavar="URL",
                help="redis://HOST:PORT/0; the password in TAPEBOOK_REDIS_PASSWORD (or all in TAPEBOOK_REDIS_URL).",
            ),
        ] = "",
        home: Annotated[Path, typer.Option("--home", metavar="DIR", help="Where sessions are kept.")] = Path(
            "captures"
        ),
        prefix: Annotated[str, typer.Option(help="Of the keys in Redis.")] = "tapebook",
        entries: Annotated[int, typer.Option(min=1, help="About how many entries a contract's stream keeps.")] = 10_000,
        follow: Annotated[
            bool, typer.Option("--follow/--once", help="Go on while it is captured, or end where it stands.")
        ] = True,
        as_json: Json = False,
    ) -> None:
        """Send a session's events into Redis Streams, one a contract; a restart goes on where it stood.

        It reads the journal and is a process of its own: whatever Redis does, the capture goes on.
        """
        import os
        import signal
        import threading

        from tapebook.capture.fanout import Fanout, FanoutSettings
        from tapebook.capture.sessions import captured
        from tapebook.market.errors import ConfigurationError
        from tapebook.venues.redis.settings import redis_url

        try:
            import redis as _library  # noqa: F401 - asked for before anything else happens
        except ImportError:
            raise ConfigurationError(
                "the extra redis is not installed", remedy="pip install 'tapebook[redis]'"
            ) from None
        url = redis_url(redis, os.environ, argument=True)
        stop = threading.Event()
        for name in ("SIGINT", "SIGTERM"):
            signal.signal(getattr(signal, name), lambda *_: stop.set())
        work = Fanout(
            captured(session, home),
            FanoutSettings(url=url, prefix=prefix, entries_max=entries, follow=follow),
            tell=lambda state: _tell(state, as_json=as_json),
            ended=stop.is_set,
        )
        last = work.run()
        if last.state != "done":
            raise typer.Exit(1)


def _tell(state: FanoutState, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"fanout": asdict(state)}))
        return
    text = f"{state.state}: frame {state.position:,}; sent {state.events:,} events in {state.entries:,} entries"
    typer.echo(text + (f"; {state.error}" if state.error else ""), err=state.state != "done")
