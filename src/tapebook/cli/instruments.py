"""``tapebook instruments``: what the catalogue knows, or what one symbol means."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tapebook.market.catalog import Catalog, Found


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("instruments", epilog="Example: tapebook instruments CON.F.US.MNQ.M25")(instruments)


def instruments(
    symbol: Annotated[str, typer.Argument(help="A symbol in any vendor's spelling; without it the list.")] = "",
    venue: Annotated[str, typer.Option(help="Where it trades, if the symbol alone does not say.")] = "",
    on_date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="When the symbol was in use: decides the decade of ESH4."),
    ] = None,
    catalog: Annotated[Path | None, typer.Option(help="TOML file of further instruments.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the catalogue of instruments, or explain one symbol."""
    from tapebook.market.catalog import active, use

    use(catalog)
    known = active()
    if symbol:
        answer = explain(known, symbol, venue, on_date)
        typer.echo(json.dumps(answer)) if as_json else _show_one(answer)
    else:
        rows = listing(known)
        typer.echo(json.dumps({"instruments": rows})) if as_json else _show_list(rows)


def explain(known: Catalog, symbol: str, venue: str, on_date: datetime | None) -> dict[str, Any]:
    """Return what ``symbol`` means, JSON-able."""
    import numpy as np

    from tapebook.market.symbols import parse_contract

    on_ns = int(np.datetime64(on_date, "ns").astype(np.int64)) if on_date else None
    known.resolve(symbol, venue, on_ns=on_ns)  # tells what is wrong with a symbol that is not known
    found = known.find(symbol, venue, on_ns=on_ns)
    assert found is not None
    contract = parse_contract(symbol, on_ns)
    undecided = found.how == "product" and contract is not None and contract.month and not contract.year
    note = "the year has one digit: --on-date YYYY-MM-DD tells the decade" if undecided else ""
    return {"asked": symbol, **_row(found), "how": found.how, "source": found.source, "note": note}


def listing(known: Catalog) -> list[dict[str, Any]]:
    """Return every product and instrument, JSON-able."""
    contents = known.contents
    rows = []
    for root, future in contents.futures.items():
        found = known.find(root, future.venue)
        assert found is not None
        rows.append(_row(found))
    for venue, symbol in contents.entries:
        found = known.find(symbol, venue)
        assert found is not None
        rows.append(_row(found))
    return rows


def _row(found: Found) -> dict[str, Any]:
    it = found.instrument
    return {
        "symbol": it.symbol,
        "venue": it.venue,
        "name": found.name,
        "kind": it.kind,
        "root": it.root,
        "expiry": it.expiry,
        "tick": _plain(it.tick) if it.tick_e9 else None,
        "tick_value": _plain(it.tick_value, 2) if it.tick_e9 and not it.inverse else None,
        "multiplier": _plain(it.multiplier),
        "lot": _plain(it.lot),
        "currency": it.currency,
        "calendar": it.calendar,
        "inverse": it.inverse,
    }


def _plain(value: Decimal, digits_min: int = 0) -> str:
    """Write a decimal in full: no exponent, no trailing zeros beyond ``digits_min`` digits of the fraction."""
    whole, _, fraction = f"{value:f}".partition(".")
    fraction = fraction.rstrip("0").ljust(digits_min, "0")
    return f"{whole}.{fraction}" if fraction else whole


def _show_one(row: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{row['asked']}: {row['name'] or row['kind']}", show_header=False, title_justify="left")
    meaning = {
        "product": "a contract of a listed product",
        "entry": "a listed instrument",
        "rule": "a rule of its venue",
    }
    shown = {
        "symbol": row["symbol"],
        "venue": row["venue"],
        "kind": row["kind"] + (", inverse" if row["inverse"] else ""),
        "contract month": row["expiry"] or row["note"] or None,
        "tick": row["tick"] or "not known",
        "value of a tick": f"{row['tick_value']} {row['currency']}" if row["tick_value"] else None,
        "multiplier": row["multiplier"],
        "lot": row["lot"],
        "currency": row["currency"],
        "calendar": row["calendar"],
        "known by": meaning[row["how"]],
        "source": row["source"] or None,
    }
    for name, value in shown.items():
        if value is not None:
            table.add_row(name, value)
    Console().print(table)


def _show_list(rows: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title="Instruments (and others by the rules of their venue)",
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for name in ("symbol", "venue", "tick", "its value", "calendar"):
        table.add_column(name, justify="right" if name in {"tick", "its value"} else "left", no_wrap=True)
    table.add_column("name")
    for row in rows:
        value = f"{row['tick_value']} {row['currency']}" if row["tick_value"] else "inverse"
        table.add_row(row["symbol"], row["venue"], row["tick"], value, row["calendar"], row["name"])
    console = Console()
    (console if console.is_terminal else Console(width=110)).print(table)  # a pipe has no width to keep to
