"""The page of a file of bars: its pictures, headline figures and sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from tapebook.market.instruments import Instrument
from tapebook.report import words
from tapebook.report.captions import Tile, quality_tile
from tapebook.report.html import Column, Html, absent, definitions, section, table
from tapebook.report.page import SECTIONS, quality_section
from tapebook.report.paint import to_svg
from tapebook.report.plots_bars import clock_picture
from tapebook.report.plots_price import delta_picture, price_picture
from tapebook.report.scene import Scene

__all__ = ["bar_pictures", "bar_sections", "bar_tiles"]


def bar_pictures(
    scene: Scene, document: Mapping[str, Any], by_clock: list[dict[str, Any]], instrument: Instrument
) -> dict[str, str]:
    """Return the pictures of bars as SVG, by section."""
    title = f"{instrument.symbol} {instrument.venue}"
    pictures: dict[str, str] = {}
    if document["price"]["close"] is not None:
        pictures["price"] = to_svg(price_picture(scene, vwap=False), f"{SECTIONS['price']} of {title}")
        if "delta" not in document["missing"]:
            pictures["delta"] = to_svg(delta_picture(scene), f"{SECTIONS['delta']} of {title}")
    if len(by_clock) > 1:
        pictures["clock"] = to_svg(clock_picture(by_clock), f"Volume and range by time of day of {title}")
    return pictures


def bar_tiles(document: Mapping[str, Any], instrument: Instrument) -> list[Tile]:
    """Return the headline figures of bars."""
    p, t, b = document["price"], document["trades"], document["bars"]
    found = []
    if p["close"] is not None:
        tone = "buy" if p["change"] > 0 else "sell" if p["change"] < 0 else ""
        change = words.price(p["change"], instrument, sign=True)
        found.append(Tile("last close", words.price(p["close"], instrument), change, tone))
        found.append(Tile("range", words.price(p["range"], instrument), words.ticks(p["range_ticks"])))
    if t["volume"]:
        note = f"{words.count(t['prints'])} trades" if t["prints"] else ""
        found.append(Tile("volume", words.quantity(t["volume"], instrument), note))
    if "delta" not in document["missing"]:
        note = f"{words.number(100 * t['delta_share'], 1)} % of volume"
        tone = "buy" if t["delta"] > 0 else "sell"
        found.append(Tile("delta", words.quantity(t["delta"], instrument, sign=True), note, tone))
    found.append(Tile("bars", words.count(b["count"]), f"of {words.duration(b['seconds'])}"))
    found.append(quality_tile(dict(document)))
    return found


def bar_sections(d: dict[str, Any], i: Instrument, zone: ZoneInfo, pictures: Mapping[str, str]) -> dict[str, Html]:
    """Return the sections of the page by key, in order."""
    sections: dict[str, Html] = {}
    for key in ("price", "delta"):
        if key in pictures:
            sections[key] = section(key, SECTIONS[key], picture=pictures[key], caption=d["captions"][key])
        else:
            sections[key] = absent(key, SECTIONS[key], d["missing"].get(key, "no bar has a price"))
    if "clock" in pictures:
        busiest = max(d["by_time_of_day"], key=lambda row: row["mean_volume"])
        widest = max(d["by_time_of_day"], key=lambda row: row["mean_range"])
        said = (
            f"Mean volume and range of a bar by half hour of the day in {words.zone_name(zone)}: most volume from "
            f"{busiest['from']} ({words.quantity(round(busiest['mean_volume'], 1), i)} a bar), the widest bars from "
            f"{widest['from']} ({words.price(widest['mean_range'], i, extra=1)})."
        )
        sections["clock"] = section("clock", "Time of day", picture=pictures["clock"], caption=said)
    rest = [SECTIONS[k].lower() for k in d["missing"] if k != "delta"]
    why = "bars do not hold what these need: " + ", ".join(rest)
    sections["rest"] = absent("rest", "Everything else", why)
    sections["quality"] = quality_section(d, zone)
    pairs: list[tuple[str, object]] = [
        ("bars", f"{words.count(d['bars']['count'])} of {words.duration(d['bars']['seconds'])}"),
        ("columns", ", ".join(d["bars"]["columns"])),
        ("tick", words.plain(d["instrument"]["tick"], 8) if d["instrument"]["tick"] else "unknown"),
        ("calendar", d["instrument"]["calendar"]),
    ]
    parts: list[object] = [definitions(pairs)]
    if d["others"]:
        columns = [Column("also in this file"), Column("bars", number=True)]
        parts.append(table(columns, [[o["symbol"], words.count(o["events"])] for o in d["others"][:40]]))
    sections["what"] = section("what", "What was analysed", *parts)
    return sections
