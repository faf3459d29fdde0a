"""``tapebook hawkes``: fit the aggressive buys and sells of a tape, show the table, draw the picture."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tapebook.cli.options import Json, Source, reads_files

if TYPE_CHECKING:
    from tapebook.report.hawkes import HawkesStudy


class _Shape(StrEnum):
    exponential = "exponential"
    power = "power"


class _By(StrEnum):
    side = "side"
    none = "none"


class _Clock(StrEnum):
    event = "event"
    receive = "receive"


class _Method(StrEnum):
    mle = "mle"
    em = "em"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: tapebook hawkes sim:es?duration_s=600 --n-exp 3 --to out")
    @reads_files
    def hawkes(
        file: Source,
        options: dict[str, Any],
        n_exp: Annotated[
            int | None, typer.Option("--n-exp", min=1, help="Exponentials in the kernel (1; 12 for a power law).")
        ] = None,
        shape: Annotated[_Shape, typer.Option("--shape", help="Shape of the kernel.")] = _Shape.exponential,
        by: Annotated[
            _By, typer.Option("--by", help="Buys and sells that excite each other, or orders of one type.")
        ] = _By.side,
        method: Annotated[_Method, typer.Option("--method", help="Maximum likelihood, or EM.")] = _Method.mle,
        enforce: Annotated[
            bool, typer.Option("--enforce-stationary", help="Hold the branching ratio below 1.")
        ] = False,
        merge_ns: Annotated[int, typer.Option("--merge-ns", min=0, help="Fills so close are one order.")] = 0,
        clock: Annotated[
            _Clock, typer.Option("--clock", help="The venue's time, or the time of receipt.")
        ] = _Clock.event,
        instrument: Annotated[str, typer.Option("--instrument", help="Its symbol; the most traded by default.")] = "",
        session: Annotated[
            str, typer.Option("--session", metavar="YYYY-MM-DD", help="Trade date; the busiest by default.")
        ] = "",
        bootstrap: Annotated[
            int, typer.Option("--bootstrap", min=0, help="Refitted samples for the p-value of KS.")
        ] = 0,
        seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 1,
        to: Annotated[
            Path | None, typer.Option("--to", metavar="DIR", help="Write hawkes.json and hawkes.png there.")
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Fit a Hawkes process to aggressive orders: baselines, children, half-lives, branching ratio, residuals."""
        from tapebook.cli.show import watched
        from tapebook.market.errors import UnsupportedSchema
        from tapebook.market.tape import Table
        from tapebook.report.hawkes import study
        from tapebook.report.sources import open_any

        source = open_any(file, **options)
        if isinstance(source, Table):
            raise UnsupportedSchema(
                "this file holds no trades", expected="a tape with trades", found=source.origin.schema, where=file
            )
        with watched(source.progress, f"reading {source.origin.name}", quiet=as_json):
            found = study(
                source,
                by=by.value,
                shape=shape.value,
                n_exp=n_exp,
                method=method.value,
                enforce_stationary=enforce,
                instrument=instrument,
                session=session,
                clock=clock.value,
                merge_ns=merge_ns,
                bootstrap=bootstrap,
                seed=seed,
            )
        written = write(found, to) if to is not None else []
        if as_json:
            typer.echo(json.dumps(found.to_dict() | {"written": written}))
        else:
            show(found, written)


def write(found: HawkesStudy, folder: Path) -> list[str]:
    """Write the numbers and the picture; return the paths."""
    from tapebook.report.hawkes_plots import hawkes_picture
    from tapebook.report.paint import to_png

    folder.mkdir(parents=True, exist_ok=True)
    numbers, picture = folder / "hawkes.json", folder / "hawkes.png"
    numbers.write_text(json.dumps(found.to_dict(), indent=2))
    picture.write_bytes(to_png(hawkes_picture(found)))
    return [str(numbers), str(picture)]


def show(found: HawkesStudy, written: list[str]) -> None:
    """Print a study for people."""
    from rich.console import Console
    from rich.table import Table

    out = Console()
    orders, fitted = found.orders, found.fitted
    out.print(
        f"[bold]{orders.instrument.symbol}[/bold] {orders.instrument.venue}  session {orders.session}: "
        f"{orders.times_s.size:,} aggressive orders in {orders.horizon_s:,.0f} s "
        f"({int((orders.types == 0).sum()):,} buys, {int((orders.types == 1).sum()):,} sells)",
        highlight=False,
    )
    notes = [f"{orders.merged:,} further fills merged"] if orders.merged else []
    notes += [f"{orders.passed:,} prints without an aggressor passed over"] if orders.passed else []
    notes += [f"{orders.spread:,} orders of one stamp spread over {orders.resolution_ns:,} ns"] if orders.spread else []
    others = len(orders.sessions) - 1
    notes += [f"{others} other session{'s' if others > 1 else ''} on this tape (--session)"] if others else []
    if notes:
        out.print("; ".join(notes), style="dim", highlight=False)
    table = Table("parameter", "value", "std. error", "unit")
    for column in table.columns[1:3]:
        column.justify = "right"
    for what, value, error, unit in found.parameters():
        table.add_row(what.replace("[", "\\["), f"{value:.5g}", "" if error != error else f"{error:.2g}", unit)  # noqa: PLR0124 - NaN
    out.print(table)
    radius = fitted.model.branching_ratio
    colour = "green" if fitted.model.stationary else "red"
    word = "stationary" if fitted.model.stationary else "NOT stationary: --enforce-stationary holds it below 1"
    out.print(
        f"branching ratio [{colour}]{radius:.4f}[/]  {word}"
        + ("; the children were held down to stay below 1" if fitted.bounded else ""),
        highlight=False,
    )
    kind = "power law" if fitted.shape == "power" else f"{fitted.model.beta.shape[1]} exponential(s)"
    out.print(
        f"{kind}, {fitted.method}: log-likelihood {fitted.log_likelihood:,.2f}, AIC {fitted.aic:,.2f}"
        + ("" if fitted.converged else "  [red]the optimiser did not converge[/red]"),
        highlight=False,
    )
    for i, (name, test) in enumerate(zip(found.names, found.tests, strict=True)):
        p = f", refitted p {found.bootstrap_p[i]:.3g}" if found.bootstrap_p else ""
        out.print(
            f"residuals of {name}: KS {test.ks:.4f} (p {test.ks_p:.2g}{p}; a constant rate {found.poisson_ks[i]:.4f}), "
            f"Ljung-Box({test.ljung_box_lags}) p {test.ljung_box_p:.2g}, variance {test.variance:.3f} "
            f"(p {test.dispersion_p:.2g})",
            highlight=False,
        )
    for path in written:
        out.print(f"wrote {path}", highlight=False)
