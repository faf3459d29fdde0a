"""The page: one HTML file that holds everything it shows, readable in light and dark, on a phone and on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from tapebook import __version__
from tapebook.market.instruments import Instrument
from tapebook.report import words
from tapebook.report.captions import Tile
from tapebook.report.html import Column, Html, absent, definitions, mark, section, table, text

__all__ = ["SECTIONS", "page", "quality_section", "tape_sections", "whole_page"]

Document: TypeAlias = dict[str, Any]

SECTIONS: Final[Mapping[str, str]] = {
    "price": "Price and volume",
    "depth": "Depth and trades",
    "delta": "Cumulative delta",
    "profile": "Volume profile",
    "spread": "Quoted spread",
    "cost": "What trading cost",
    "flow": "Order flow and price",
    "imbalance": "Imbalance and what followed",
    "activity": "Volatility, excitation and one-sidedness",
    "impact": "What a trade moves",
    "signature": "Volatility by scale, and the memory of the tape",
}
"""Sections with a picture, in the order of the page."""

_RECORDS_SHOWN: Final = 8


def page(
    document: Document, instrument: Instrument, zone: ZoneInfo, heads: Sequence[Tile], pictures: Mapping[str, str]
) -> str:
    """Return the page of a tape's analysis; ``pictures`` are SVG by section."""
    sections = tape_sections(document, instrument, zone, pictures)
    return whole_page(document, instrument, zone, heads, sections)


def whole_page(
    document: Document, instrument: Instrument, zone: ZoneInfo, heads: Sequence[Tile], sections: Mapping[str, Html]
) -> str:
    """Put header, headline figures and sections into the packaged template."""
    package = files("tapebook.report")
    template = Template(package.joinpath("page.html").read_text(encoding="utf-8"))
    shown = [key for key, markup in sections.items() if 'class="absent"' not in markup]
    navigation = "".join(f'<a href="#{key}">{text(_short(key))}</a>' for key in shown)
    tiles = "".join(
        f'<div class="tile"><span>{text(t.label)}</span><b class="{t.tone}">{text(t.value)}</b>'
        f"<span>{text(t.note) or '&nbsp;'}</span></div>"
        for t in heads
    )
    return template.substitute(
        generator=f"tapebook {__version__}",
        title=text(f"{instrument.symbol} {document['source']['name']}"),
        style=package.joinpath("page.css").read_text(encoding="utf-8"),
        header=_header(document, instrument, zone),
        tiles=f'<div class="tiles">{tiles}</div>',
        navigation=navigation,
        sections="\n".join(sections.values()),
        footer=_footer(document),
    )


def _short(key: str) -> str:
    return {"flow": "order flow", "clock": "time of day", "what": "what was analysed"}.get(key, key)


def _header(d: Document, i: Instrument, zone: ZoneInfo) -> str:
    span, source = d["span"], d["source"]
    about = " · ".join(x for x in (i.venue, i.kind if i.kind != "unknown" else "", i.expiry) if x)
    lines = [f"<h1>{text(i.symbol)}<small>{text(about)}</small></h1>"]
    if span["first_ns"] is not None:
        utc = f"{span['first_utc']} to {span['last_utc']} UTC"
        local = f"{span['first_local']} to {span['last_local']} {words.zone_name(zone)}"
        length = words.duration(span["seconds"])
        same = str(zone) == "UTC"
        lines.append(f"<p>{text(utc if same else local)} · {text(length)}</p>")
        if not same:
            lines.append(f"<p>{text(utc)}</p>")
    what = " ".join(x for x in (source["format"], source["schema"]) if x)
    lines.append(f"<p>{text(source['name'])} · {text(what)} · tapebook {__version__}</p>")
    return "\n".join(lines)


def _footer(d: Document) -> str:
    written = ", ".join(f"{name} ({words.count(rows)} rows)" for name, rows in d.get("files", {}).items())
    beside = f"<p>Beside this page: report.json (every number of it){text(', ' + written if written else '')}.</p>"
    return (
        beside
        + "<p>Undefined values are shown as a dash, never as zero. Trades meet the quote that stood before their own "
        "message; effective spread = realised spread + price impact; sides are the aggressor's. "
        f"Made by tapebook {__version__}.</p>"
    )


def tape_sections(d: Document, i: Instrument, zone: ZoneInfo, pictures: Mapping[str, str]) -> dict[str, Html]:
    """Return the sections of the page by key, in order."""
    sections: dict[str, Html] = {}
    for key, title in SECTIONS.items():
        if key in pictures:
            extra: list[object] = []
            if key == "cost":
                extra.append(_horizons(d, i))
            if key == "profile" and len(d["profile"]["sessions"]) > 1:
                extra.append(_sessions(d, i))
            no_depth = key == "depth" and d["drawn"]["depth"]["shows"] == "volume"
            name = "Trades by time and price" if no_depth else title
            sections[key] = section(key, name, *extra, picture=pictures[key], caption=d["captions"].get(key, ""))
        else:
            sections[key] = absent(key, title, d["missing"].get(key, "nothing to draw"))
    if d.get("planted"):
        sections["planted"] = _planted(d, i, zone)
    sections["quality"] = quality_section(d, zone)
    sections["what"] = _what(d, i)
    return sections


def _horizons(d: Document, i: Instrument) -> Html:
    columns = [
        Column("after"),
        *(Column(n, number=True) for n in ("effective", "realised", "impact", "trades", "undefined")),
    ]
    rows = [
        [
            words.horizon(r["horizon_s"]),
            *(words.price(r[n], i, extra=3) for n in ("effective", "realised", "impact")),
            words.count(r["prints"]),
            words.count(r["prints_undefined"]),
        ]
        for r in d["spreads"]["realised"]
    ]
    note = Html(f"<h3>By horizon, {text(i.currency)} of price, weighted by size</h3>")
    return Html(note + table(columns, rows))


def _sessions(d: Document, i: Instrument) -> Html:
    columns = [Column("trade date"), *(Column(n, number=True) for n in ("VAL", "POC", "VAH", "volume")), Column("")]
    rows = [
        [
            s["trade_date"],
            *(words.price(s[n], i) for n in ("val", "poc", "vah")),
            words.quantity(s["volume"], i),
            "" if s["closed"] else "developing",
        ]
        for s in d["profile"]["sessions"]
    ]
    return Html("<h3>By session</h3>" + table(columns, rows))


def _planted(d: Document, i: Instrument, zone: ZoneInfo) -> Html:
    columns = [Column("episode"), Column("from"), Column("lasts", number=True), Column("prices", number=True)]
    columns += [Column("lots traded", number=True), Column("what", wide=True)]
    rows = [
        [
            p["kind"].replace("_", " "),
            words.moment(p["start_ns"], zone)[11:],
            words.duration((p["end_ns"] - p["start_ns"]) / 1e9),
            f"{words.price(p['price_low'], i)} to {words.price(p['price_high'], i)}",
            words.count(p["traded_lots"] + p["filled_lots"]),
            p["meaning"],
        ]
        for p in d["planted"]
    ]
    said = (
        "This session is simulated, and these episodes were planted in it: the truth that detectors are scored against."
    )
    return section("planted", "Planted episodes", table(columns, rows), caption=said)


def quality_section(d: Document, zone: ZoneInfo) -> Html:
    """Return the section about the recording's quality: findings, quarantine, what the reader noticed."""
    q = d["quality"]
    parts: list[object] = []
    if q["findings"]:
        columns = [Column("finding"), Column(""), Column("count", number=True), Column("share", number=True)]
        columns += [Column("first", number=True), Column("means", wide=True), Column("more", wide=True)]
        rows = [_finding(f, zone) for f in q["findings"]]
        if not any(row[-1] for row in rows):
            columns, rows = columns[:-1], [row[:-1] for row in rows]
        parts.append(table(columns, rows))
    else:
        parts.append(Html(f"<p>{mark('sound', 'sound')} Nothing was found to be wrong with this recording.</p>"))
    if q.get("completeness_percent") is not None:
        complete = words.number(q["completeness_percent"], 2)
        parts.append(
            Html(
                f'<p class="caption">{complete} % of the open time between first and last event is free of silence.</p>'
            )
        )
    if q.get("latency_ns"):
        latency = " · ".join(f"{k} {words.duration(v / 1e9)}" for k, v in q["latency_ns"].items())
        parts.append(Html(f"<p>Receive less event time: {text(latency)}</p>"))
    if q["quarantined"]:
        parts.append(_quarantine(q))
    if q["notes"]:
        rows = [[name.replace("_", " "), words.count(n)] for name, n in q["notes"].items()]
        parts.append(
            Html("<h3>What the reader noticed</h3>" + table([Column("note"), Column("count", number=True)], rows))
        )
    return section("quality", "Quality of the recording", *parts)


def _finding(f: Mapping[str, Any], zone: ZoneInfo) -> list[object]:
    more = "; ".join(_detail(k, v) for k, v in f["details"].items())
    first = words.moment(f["first_ts_ns"], zone, fraction=3) if f["first_ts_ns"] is not None else f["first_where"]
    name = f["name"].replace("_", " ")
    return [
        name,
        mark(f["severity"], f["severity"]),
        words.count(f["count"]),
        words.percent(f["share"]),
        first or words.ABSENT,
        f["meaning"],
        more,
    ]


def _detail(name: str, value: Any) -> str:
    """Return a number of a finding with its unit, which its name ends with."""
    words_of_name = name.replace("_", " ")
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    if known and name.endswith("_s"):
        return f"{words_of_name[:-2]} {words.duration(value)}"
    if known and name.endswith(("from_ns", "to_ns")):
        return f"{words_of_name[:-3]} {words.moment(int(value), ZoneInfo('UTC'))} UTC"
    if known and name.endswith("_ns"):
        return f"{words_of_name[:-3]} {words.duration(value / 1e9)}"
    return f"{words_of_name} {_short_value(value)}"


def _short_value(value: object) -> str:
    if isinstance(value, float):
        return words.plain(value, 4)
    if isinstance(value, int) and not isinstance(value, bool):
        return words.count(value)
    shown = ", ".join(str(v) for v in value) if isinstance(value, (list, tuple)) else str(value)
    return shown if len(shown) <= 120 else shown[:117] + "..."


def _quarantine(q: Mapping[str, Any]) -> Html:
    head = f"<h3>Quarantine: {words.count(q['quarantined'])} records that could not be read</h3>"
    columns = [Column("reason"), Column("where"), Column("expected"), Column("found"), Column("record", wide=True)]
    rows = [
        [r["reason"], r["where"], r["expected"], r["found"], Html(f"<code>{text(r['raw'])}</code>")]
        for r in q["records"][:_RECORDS_SHOWN]
    ]
    left = q["quarantined"] - len(rows)
    more = f"<p>and {words.count(left)} more</p>" if left > 0 else ""
    return Html(head + table(columns, rows) + more)


def _what(d: Document, i: Instrument) -> Html:
    events, sides = d["events"], d["sides"]
    kinds = ", ".join(f"{words.count(n)} {name}" for name, n in events["by_kind"].items())
    part = d["instrument"]
    tick = words.plain(part["tick"], 8) if part["tick"] else "unknown"
    if part["tick"] and part["multiplier"] != 1:
        tick += f" = {words.number(part['tick_value'], 2)} {i.currency}"
    if part.get("tick_from") == "seen":
        tick += " (as seen in the prices)"
    pairs: list[tuple[str, object]] = [
        ("events", f"{words.count(events['total'])}: {kinds}"),
        ("of snapshots", words.count(events["in_snapshots"])) if events["in_snapshots"] else ("", ""),
        ("tick", tick),
        (
            "calendar",
            part["calendar"]
            + (" (its hours do not fit this tape and were left aside)" if d.get("hours") == "set aside" else ""),
        ),
        (
            "aggressor from",
            f"{sides['source'].replace('_', ' ')}, known for {words.percent(sides['known_share'])} of the trades",
        ),
    ]
    if d["source"]["details"]:
        told = ", ".join(
            f"{k} {_short_value(v)}" for k, v in d["source"]["details"].items() if v not in ("", None, [], {})
        )
        pairs.append(("source says", told))
    parts: list[object] = [definitions(p for p in pairs if p[0])]
    if d["others"]:
        columns = [
            Column("also on this tape"),
            Column("venue"),
            Column("events", number=True),
            Column("trades", number=True),
        ]
        rows = [[o["symbol"], o["venue"], words.count(o["events"]), words.count(o["trades"])] for o in d["others"][:40]]
        note = (
            f"<h3>Other instruments ({len(d['others'])})</h3><p>Choose one with <code>--instrument SYMBOL</code>.</p>"
        )
        parts.append(Html(note + table(columns, rows)))
    return section("what", "What was analysed", *parts)
