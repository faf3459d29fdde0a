"""All pictures of a tape's report as SVG, and what was decided in drawing them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapebook.report.captions import Document, shown_fit
from tapebook.report.collect import Collector
from tapebook.report.page import SECTIONS
from tapebook.report.paint import to_svg
from tapebook.report.plots_activity import activity_picture
from tapebook.report.plots_book import cost_picture, heatmap_picture, spread_picture
from tapebook.report.plots_curves import impact_picture, signature_picture
from tapebook.report.plots_flow import flow_picture, frame, imbalance_picture
from tapebook.report.plots_price import delta_picture, grouped, price_picture, profile_picture
from tapebook.report.scene import Scene
from tapebook.report.words import horizon

__all__ = ["draw", "figures"]


def draw(scene: Scene, collector: Collector, document: Document) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the pictures by section, and what their sentences need to know about them."""
    drawn, about = figures(scene, collector, document)
    instrument = collector.instrument
    title = f"{instrument.symbol} {instrument.venue}"
    return {key: to_svg(figure, f"{SECTIONS[key]} of {title}") for key, figure in drawn.items()}, about


def figures(scene: Scene, collector: Collector, document: Document) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the figures by section, before they become SVG."""
    missing = document["missing"]
    about: dict[str, Any] = {"column_s": scene.width_ns / 1e9, "columns": int(scene.rows.size)}
    found: dict[str, Any] = {}
    unit = scene.tick or 1.0
    in_ticks = "ticks" if scene.tick else "price"
    if "price" in missing:
        return found, about | {"pictures": []}
    found["price"] = price_picture(scene, document.get("planted", ()))
    if not collector.depth_map.empty and ("depth" not in missing or collector.n_trades):
        found["depth"], about["depth"] = heatmap_picture(scene, collector.depth_map, collector.levels_max)
    if "delta" not in missing:
        found["delta"] = delta_picture(scene)
    if "profile" not in missing:
        profile = collector.profile()
        found["profile"] = profile_picture(scene, profile)
        about["profile_bar"] = grouped(profile, scene.lot)[-1]
    if "spread" not in missing:
        found["spread"] = spread_picture(scene, collector.seconds.held_ns)
    if "cost" not in missing:
        realised = document["spreads"]["realised"]
        if any(row["prints"] for row in realised):
            found["cost"] = cost_picture(realised, unit, in_ticks)
    row = shown_fit(document) if "flow" not in missing else None
    if row is not None:
        points = collector.flow[row["interval_s"]].points()
        points = points[:, [0, 2]] * [scene.lot, 1e-9 / unit]
        shares = [
            (horizon(r["interval_s"]), r["ofi"] and r["ofi"]["r2"], r["trades"] and r["trades"]["r2"])
            for r in document["flow"]
        ]
        beyond = (np.abs(points[:, 0]) > frame(points[:, 0])) | (np.abs(points[:, 1]) > frame(points[:, 1]))
        about["points_beyond"] = int(beyond.sum())
        label = f"move of the mid in {row['interval_s']} s, {in_ticks}"
        found["flow"] = flow_picture(points, row["ofi"], shares, label)
    if "imbalance" not in missing:
        ahead = document["touch"]["ahead_s"]
        label = f"mean move in {ahead} s, {in_ticks}"
        found["imbalance"] = imbalance_picture(collector.forecast.by_imbalance(), unit, label)
    if "activity" not in missing:
        found["activity"] = activity_picture(scene, document, unit, in_ticks)
    if "impact" not in missing:
        found["impact"] = impact_picture(document["tape"], unit, in_ticks)
    if "signature" not in missing:
        found["signature"] = signature_picture(document["tape"], unit, in_ticks)
    about["pictures"] = list(found)
    return found, about
