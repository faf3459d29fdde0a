"""Markets small enough to run with the kernels uncompiled: short queues, a short warm-up."""

from __future__ import annotations

import msgspec

from tapebook.simulator import BTC, ES, NQ, Preset


def small(preset: Preset, *, shrink: float = 10.0) -> Preset:
    """Return ``preset`` with queues a ``shrink``-th as long."""
    replace = msgspec.structs.replace
    q = preset.queues
    queues = replace(
        q,
        near_orders=tuple(max(n / shrink, 0.5) for n in q.near_orders),
        deep_orders=max(q.deep_orders / shrink, 0.5),
        deep_levels=24,
    )
    return replace(
        preset, name=f"small-{preset.name}", queues=queues, hours=replace(preset.hours, warm_up_s=0.2), grid_levels=4096
    )


SMALL_ES = small(ES)
SMALL_NQ = small(NQ, shrink=1.0)
SMALL_BTC = small(BTC, shrink=4.0)
