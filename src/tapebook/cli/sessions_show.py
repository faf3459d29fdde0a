"""What ``tapebook sessions`` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tapebook.cli.info import duration, utc
from tapebook.cli.lake import plain_console

if TYPE_CHECKING:
    from tapebook.capture.session_compare import Comparison
    from tapebook.capture.session_prune import PruneReport
    from tapebook.capture.session_verify import Verdict

_TOLD = 20


def show_list(sessions: list[dict[str, Any]], home: str) -> None:
    """Print a line for each session."""
    from rich.table import Table

    out = plain_console()
    if not sessions:
        out.print(f"no sessions in {home}")
        return
    table = Table("session", "venue", "contracts", "state", "started (UTC)", "lasted", "MB", "database")
    table.columns[6].justify = "right"
    for one in sessions:
        state = one["state"] + (
            "" if one["complete"] or one["state"] in ("running", "pruned", "damaged") else ", incomplete"
        )
        ended = one["ended_ns"]
        table.add_row(
            one["name"],
            one["venue"],
            _few(one["contracts"]),
            state,
            _when(one["started_ns"]) if one["started_ns"] else "",
            duration(ended - one["started_ns"]) if ended is not None else "",
            f"{one['size_bytes'] / 1e6:,.1f}",
            one["database"] if one["state"] != "pruned" else "",
        )
    out.print(table)


def show_session(about: dict[str, Any]) -> None:
    """Print all that is known of a session."""
    out = plain_console()
    out.print(f"{about['name']}  {about['venue']}  {about['state']}")
    ended = f" to {_when(about['ended_ns'])}" if about["ended_ns"] is not None else ""
    out.print(f"from {_when(about['started_ns'])}{ended} UTC")
    if about["folder"]:
        sizes = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in about["sizes"].items() if size)
        out.print(f"folder    {about['folder']}  ({sizes})")
    if about["journal"]:
        j = about["journal"]
        out.print(f"journal   frames {j['first_sequence']:,} to {j['last_sequence']:,} in {j['segments']} segments")
    if "pruned" in about:
        p = about["pruned"]
        out.print(f"lake      {p['lake']}, import {p['source'] or 'none'}: {p['events']:,} events")
    if about["counted_in"] == "database":
        behind = about["behind_frames"]
        lag = "every frame of the journal" if not behind else f"{behind:,} frames behind the journal"
        out.print(f"database  {about['database']}, {lag}")
    elif about["counted_in"]:
        out.print("counted in the journal: the database is not there")
    _contracts(out, about["contracts_seen"])
    _gaps(out, about["gaps"], about.get("n_gaps", 0))
    for one in about["findings"][:_TOLD]:
        whose = f" {one['contract_id']}" if one["contract_id"] else ""
        out.print(f"finding   {one['count']:,} times{whose}: {one['finding']}, first {_when(one['first_ns'])}")
    for one in about.get("books", []):
        parts = [f"began anew {one['resets']:,} times"]
        if one["depth"]:
            parts.append(f"two-sided {one['depth']['two_sided_percent']:g} % of the time seen")
        if one["latency_ns"]:
            found = one["latency_ns"]
            parts.append(f"received less venue time: median {duration(found['p50'])}, 99 % {duration(found['p99'])}")
        out.print(f"book      {one['symbol']}: " + "; ".join(parts))


def show_comparison(found: Comparison) -> None:
    """Print two sessions side by side."""
    from rich.table import Table

    out = plain_console()
    one, other = found.names
    table = Table("contract", "", one, other, "difference")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in found.contracts:
        a, b, difference = row["first"], row["second"], row["difference"] or {}
        for name in ("quotes", "trades", "market_depth"):
            values = [_number(side["rows"][name] if side else None) for side in (a, b)]
            table.add_row(row["contract_id"] or "(all)", name, *values, _number(difference.get(name)))
        for name in ("traded_size", "gaps", "gap_s", "findings", "span_s"):
            values = [_number(side[name] if side else None) for side in (a, b)]
            table.add_row("", name, *values, _number(difference.get(name)))
    out.print(table)
    if found.start_ns is None or found.end_ns is None:
        out.print("they do not overlap in time")
        return
    out.print(f"both heard {_when(found.start_ns)} to {_when(found.end_ns)}: by contract and kind, news only")
    events = Table("contract", "kind", "in both", f"only in {one}", f"only in {other}")
    for column in events.columns[2:]:
        column.justify = "right"
    for row in found.events:
        values = [_number(row[name]) for name in ("both", "first_only", "second_only")]
        events.add_row(row["contract_id"], row["kind"], *values)
    out.print(events)
    for example in found.examples:
        out.print(f"only in {example['only_in']}: {example['kind']} {example['contract_id']} {utc(example['ts_ns'])}")


def show_verdict(verdict: Verdict) -> None:
    """Print what a verification found."""
    out = plain_console()
    out.print(f"journal   {verdict.frames:,} whole frames, {verdict.missing_frames:,} missing")
    if verdict.torn:
        out.print("          its last record is torn: it was never acknowledged")
    if verdict.rows is not None:
        out.print(
            f"database  {verdict.rows:,} rows expected; {verdict.missing:,} missing, {verdict.extra:,} too many, "
            f"{verdict.different:,} different, {verdict.unverifiable:,} without their frame; "
            f"{verdict.behind:,} frames behind the journal"
        )
    for problem in verdict.problems:
        out.print(f"problem   {problem}")
    for one in verdict.differences:
        out.print(f"  {one['table']} of frame {one['sequence']}, row {one['row_index']}:")
        out.print(f"    journal  {one['journalled'] if one['journalled'] is not None else 'has none'}")
        out.print(f"    database {one['stored'] if one['stored'] is not None else 'has none'}")
    out.print(f"{verdict.name}: " + ("all is well" if verdict.ok else "NOT whole"))


def show_pruned(done: list[PruneReport], *, dry_run: bool) -> None:
    """Print what was pruned, or would be."""
    out = plain_console()
    if not done:
        out.print("no session is old enough")
    for one in done:
        if not one.pruned:
            out.print(f"{one.name}: left alone: {one.reason}")
        elif dry_run:
            out.print(f"{one.name}: would move into {one.lake} and free {one.freed_bytes / 1e6:,.1f} MB")
        else:
            moved = f"{one.events:,} events in {one.lake} (import {one.source})" if one.source else "no events"
            out.print(f"{one.name}: {moved}; freed {one.freed_bytes / 1e6:,.1f} MB and {one.rows:,} rows")


def _contracts(out: Any, contracts: list[dict[str, Any]]) -> None:
    from rich.table import Table

    if not contracts:
        return
    names = ("quotes", "trades", "market_depth")
    table = Table("contract", "symbol", *names, "a second", "lots traded", "first (UTC)", "last", "gaps", "findings")
    for i in (2, 3, 4, 5, 6, 9, 10):
        table.columns[i].justify = "right"
    for one in contracts:
        rates = [one["per_s"][name] for name in names]
        table.add_row(
            one["contract_id"] or "(all)",
            one["symbol"],
            *(f"{one['rows'][name]:,}" for name in names),
            " / ".join(f"{rate:,.1f}" for rate in rates if rate is not None),
            _number(one["traded_size"]),
            _when(one["first_received_ns"]),
            _when(one["last_received_ns"]),
            f"{one['gaps']:,}" + (f" ({one['gap_s']:,.1f} s)" if one["gap_s"] else ""),
            f"{one['findings']:,}",
        )
    out.print(table)


def _gaps(out: Any, gaps: list[dict[str, Any]], n: int) -> None:
    for one in gaps[:_TOLD]:
        length = f" ({one['duration_s']:,.3f} s)" if one["duration_s"] is not None else ""
        whose = one["contract_id"] or one["source"]
        begin = _when(one["begin_ns"]) or "?"
        out.print(
            f"gap       {begin} to {_when(one['end_ns']) or '?'}{length}  {whose}: {one['reason']} {one['detail']}"
        )
    if n > _TOLD:
        out.print(f"          … and {n - _TOLD:,} more gaps (--json tells up to 1,000)")


def _when(ns: int | None) -> str:
    return utc(ns)[:23] if ns is not None else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def _few(words: list[str]) -> str:
    return ", ".join(words[:2]) + (f" … {len(words)} in all" if len(words) > 2 else "")
