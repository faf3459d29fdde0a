"""The main job: a tape in, Parquet tables, one HTML page and report.json out, in one streaming pass.

``analyze`` chooses the instrument (:mod:`~tapebook.report.survey`), reads the tape once through quality checks and
:class:`~tapebook.report.collect.Collector`, and writes. Memory stays bounded whatever the tape's length: what grows
goes to the tables as it comes, what is drawn is summed up on the way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tapebook.market.tape import Table, Tape
from tapebook.quality.check import QualityCheck
from tapebook.quality.info import finding_row
from tapebook.report.captions import captions, tiles
from tapebook.report.collect import Collector
from tapebook.report.document import clean, tape_document
from tapebook.report.page import page
from tapebook.report.pictures import draw
from tapebook.report.scene import make_scene
from tapebook.report.survey import Choice, choose
from tapebook.report.tables import Tables, write_table
from tapebook.report.zones import exchange_zone

__all__ = ["Analysis", "analyze"]


@dataclass(frozen=True)
class Analysis:
    """What an analysis made.

    Attributes
    ----------
    document
        The content of report.json.
    folder, page, numbers
        Where it stands: the folder, report.html and report.json in it.
    tables
        Rows of each Parquet file, by name.
    """

    document: dict[str, Any]
    folder: Path
    page: Path
    numbers: Path
    tables: Mapping[str, int]


def analyze(source: Tape | Table, folder: str | Path, *, instrument: str = "") -> Analysis:
    """Analyse a tape (or a table of bars) and write the report into ``folder``.

    Parameters
    ----------
    source
        What :func:`~tapebook.report.sources.open_any` or a reader opened; ``source.progress`` tells how far it is.
    folder
        Made if it is not there. Files of an earlier report in it are replaced.
    instrument
        Symbol to analyse, of a tape with several; by default the one with the most trades.

    Returns
    -------
    Analysis
        The numbers and where everything stands.

    Raises
    ------
    TickDataError
        If the source holds nothing to analyse, or no such instrument, or is damaged beyond its quarantine.

    Examples
    --------
    >>> import tempfile
    >>> from tapebook.report.sources import open_any
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     analysis = analyze(open_any("sim:es?duration_s=5"), folder)
    ...     analysis.page.name, analysis.document["instrument"]["symbol"]
    ('report.html', 'ESH6')
    """
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    if isinstance(source, Table):
        from tapebook.report.bars import analyze_bars

        document, html, tables = analyze_bars(source, where, instrument)
        return _written(document, html, where, tables)
    choice = choose(source, instrument)
    while True:
        collector, check, others = _pass(source, choice, where)
        # A tape that began with one instrument may have gone on with a busier one: then that one is meant.
        if instrument or not others or max(others.values()) <= collector.n_trades:
            break
        collector.tables.abandon()
        choice = choose(source, whole=True)
    return _report(source, choice, collector, check, where)


def _pass(tape: Tape, choice: Choice, where: Path) -> tuple[Collector, QualityCheck, dict[int, int]]:
    """Read the tape once; return also the trades of instruments that were not known beforehand."""
    consecutive = tape.origin.details.get("sequence") == "consecutive" or None
    check = QualityCheck(tape.instruments, consecutive=consecutive)
    tables = Tables(where, choice.instrument)
    collector = Collector(choice.instrument, choice.instrument_id, tables, choice.span_ns, hours=choice.hours)
    known = {choice.instrument_id} | {o["id"] for o in choice.others}
    others: dict[int, int] = {}
    try:
        for block in tape.blocks():
            check.see(block)
            collector.see(block)
            for key in set(np.unique(block["instrument_id"]).tolist()) - known:
                others[key] = others.get(key, 0) + int(((block["instrument_id"] == key) & (block["kind"] == 1)).sum())
        collector.finish()
    except BaseException:
        tables.abandon()
        raise
    return collector, check, others


def _report(tape: Tape, choice: Choice, collector: Collector, check: QualityCheck, where: Path) -> Analysis:
    instrument = choice.instrument
    zone = exchange_zone(instrument)
    rows, width_ns = collector.timeline.columns()
    scene = make_scene(instrument, rows, width_ns, zone) if rows.size else None
    quality = _quality(tape, check, choice)
    document = tape_document(tape.origin, collector, scene, zone, quality)
    document["instrument"]["tick_from"] = "seen" if choice.tick_seen else "catalogue"
    document["hours"] = "calendar" if choice.hours else "set aside"
    document["others"] = _others(choice, check)
    planted = _planted(tape)
    if planted:
        document["planted"] = planted
    tables = collector.tables.close() | _small_tables(document, collector, where)
    document["files"] = tables
    pictures, drawn = draw(scene, collector, document) if scene is not None else ({}, {"pictures": []})
    document["captions"] = captions(document, instrument, zone, drawn)
    document["drawn"] = drawn
    heads = tiles(document, instrument)
    document["headline"] = [tile._asdict() for tile in heads]
    document = clean(document)
    html = page(document, instrument, zone, heads, pictures)
    return _written(document, html, where, tables)


def _written(document: dict[str, Any], html: str, where: Path, tables: Mapping[str, int]) -> Analysis:
    numbers = where / "report.json"
    _write_whole(numbers, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    shown = where / "report.html"
    _write_whole(shown, html)
    return Analysis(document, where, shown, numbers, tables)


def _write_whole(path: Path, content: str) -> None:
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(content, encoding="utf-8")
    os.replace(part, path)  # noqa: PTH105 - one step: a reader sees the old file or the new one


def _quality(tape: Tape, check: QualityCheck, choice: Choice) -> dict[str, Any]:
    symbol = choice.instrument.symbol
    findings = [f for f in check.findings(tape.quarantine) if f.symbol in ("", symbol)]
    seen = check.observed.get(choice.instrument_id)
    completeness = seen.silence.completeness() if seen is not None else float("nan")
    latency = check.latency_ns().get(symbol)
    names = ("min", "p50", "p90", "p99", "p999", "max")
    return {
        "findings": [finding_row(f) for f in findings],
        "completeness_percent": 100 * completeness,
        "latency_ns": dict(zip(names, latency, strict=True)) if latency else None,
        "quarantined": tape.quarantine.total,
        "truncated": tape.quarantine.truncated,
        "records": [
            {
                "reason": r.reason,
                "expected": r.expected,
                "found": r.found,
                "where": r.where,
                "raw": r.raw[:120].decode("utf-8", "replace"),
            }
            for r in tape.quarantine.records[:50]
        ],
        "notes": dict(tape.notes),
    }


def _others(choice: Choice, check: QualityCheck) -> list[dict[str, Any]]:
    rows = [
        {
            "symbol": seen.instrument.symbol,
            "venue": seen.instrument.venue,
            "events": seen.n_events,
            "trades": int(seen.by_kind[1]),
        }
        for key, seen in check.observed.items()
        if key != choice.instrument_id
    ]
    return sorted(rows, key=lambda r: (-r["trades"], -r["events"], r["symbol"]))


def _planted(tape: Tape) -> list[dict[str, Any]]:
    """Return the truth about a simulated tape's episodes."""
    truth = getattr(tape, "truth", None)
    if truth is None:
        return []
    names = ("kind", "side", "start_ns", "end_ns", "price_low", "price_high", "traded_lots", "filled_lots", "meaning")
    rows: list[dict[str, Any]] = truth().select(names).to_pylist()
    for row in rows:
        row["price_low"] /= 1e9
        row["price_high"] /= 1e9
    return rows


def _small_tables(document: dict[str, Any], collector: Collector, where: Path) -> dict[str, int]:
    from tapebook.report.summary import profile_columns, quality_columns, spread_columns, stat_columns

    tables = {
        "spreads.parquet": spread_columns(document),
        "profile.parquet": profile_columns(collector.profile(), collector.instrument),
        "quality.parquet": quality_columns(document),
        "stats.parquet": stat_columns(document),
    }
    written = {}
    for name, columns in tables.items():
        n = write_table(where / name, columns)
        if n:
            written[name] = n
    return written
