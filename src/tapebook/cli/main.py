"""The program: commands, exit codes (0 done, 1 failed, 2 wrong usage), and how an error is told.

Each command is a module of this folder with ``register(app)``; it imports only typer at its top and everything heavy
inside the command, so that ``tapebook --help`` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Final

import typer

from tapebook import __version__
from tapebook.market.errors import TickDataError

# Newer typers carry a click of their own, older ones use the library: the classes are taken from what typer shows.
_UsageError: Final[type[Exception]] = typer.BadParameter.__mro__[1]

COMMANDS: Final[tuple[str, ...]] = (
    "demo",
    "analyze",
    "info",
    "convert",
    "lake",
    "sql",
    "book",
    "bars",
    "features",
    "hawkes",
    "simulate",
    "capture",
    "sessions",
    "fanout",
    "gateway",
    "instruments",
    "bench",
)
"""Modules of ``tapebook.cli`` in the order in which ``--help`` lists them."""


def build() -> typer.Typer:
    """Return the application with every command."""
    app = typer.Typer(
        name="tapebook",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="From the tape and the book of a market to decisions.",
        epilog="Start with: tapebook demo",
    )

    def version(value: bool) -> None:
        if value:
            typer.echo(f"tapebook {__version__}")
            raise typer.Exit

    @app.callback()
    def root(
        _version: bool = typer.Option(False, "--version", callback=version, is_eager=True, help="Say the version."),
    ) -> None:
        pass

    for name in COMMANDS:
        import_module(f"tapebook.cli.{name}").register(app)
    return app


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises for what a user can cause."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        result = typer.main.get_command(build())(arguments, prog_name="tapebook", standalone_mode=False)
    except typer.Abort:
        typer.echo("aborted", err=True)
        return 1
    except typer.Exit as error:
        return int(error.exit_code)
    except _UsageError as error:
        error.show()  # type: ignore[attr-defined] # every usage error of click has it
        return 2
    except TickDataError as error:
        tell(error, as_json="--json" in arguments)
        return 1
    except BrokenPipeError:  # the reader of our output (head, less) went away: that is no failure of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        return 1
    except OSError as error:
        tell(
            TickDataError(error.strerror or str(error), where=str(error.filename or "")), as_json="--json" in arguments
        )
        return 1
    return result if isinstance(result, int) else 0


def tell(error: TickDataError, *, as_json: bool) -> None:
    """Print an error for people on stderr, or for machines as one JSON object on stdout."""
    if as_json:
        fields = {name: getattr(error, name) for name in ("message", "expected", "found", "where", "remedy")}
        typer.echo(json.dumps({"error": {"type": type(error).__name__, **fields}}))
    else:
        typer.secho(f"error: {error}", fg="red", err=True)


def run() -> None:  # the console script
    """Run the command line of this process."""
    sys.exit(main())


if __name__ == "__main__":
    run()
