"""The markets that come with the simulator. How close they are to recordings stands in docs/simulator.md.

``es`` and ``nq`` are a calm and a lively index future in regular hours, ``es-thin`` is ES on a holiday night, ``btc`` a
perpetual with a tick that is small beside its moves. Rates, clustering, size laws and the dynamics of the touch start
from recordings (aggregates only): ``es-thin`` stands for one of them in every number, ``es`` has the same dynamics with
the queues and the activity of regular hours, which no recording at hand covers.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from tapebook.market.errors import ConfigurationError
from tapebook.market.instruments import Instrument
from tapebook.simulator.preset import Flow, Hours, Latency, Preset, PriceLaw, Queues, Signs, Sizes

__all__ = ["BTC", "ES", "ES_THIN", "NQ", "PRESETS", "preset"]

_TAU_S: Final = (0.0001, 0.001, 0.01, 0.15, 4.0)

ES: Final = Preset(
    name="es",
    meaning="E-mini S&P 500 future, a calm day in regular hours: one-tick spread, hundreds of lots at the touch",
    instrument=Instrument(
        symbol="ESH6",
        venue="CME",
        tick_e9=250_000_000,
        multiplier=Decimal(50),
        calendar="CME",
        kind="future",
        root="ES",
        expiry="2026-03",
    ),
    start_price=Decimal(6000),
    hours=Hours(floor=0.72, opening=1.4, closing=1.0, decay_s=2700.0),
    flow=Flow(
        aggressors_per_s=9.0,
        changes_per_s=140.0,
        moves_per_s=1.0,
        tau_s=_TAU_S,
        market_market=(0.18, 0.26, 0.14, 0.08, 0.06),
        market_changes=(0.5, 0.8, 0.8, 0.5, 0.3),
        changes_changes=(0.08, 0.16, 0.14, 0.12, 0.10),
        move_market=(0.05, 0.10, 0.10, 0.10, 0.10),
        move_changes=(0.5, 1.5, 2.0, 2.0, 1.0),
    ),
    queues=Queues(
        near_orders=(120, 115, 120, 120, 120, 120, 120, 115, 115, 110),
        near_weight=(1.4, 0.28, 0.16, 0.10, 0.07, 0.05, 0.04, 0.03, 0.03, 0.03),
        deep_orders=60,
        deep_levels=60,
        deep_weight=0.25,
        gap_boost=0.3,
        rush=10.0,
        rush_share=0.7,
        flight=0.15,
        cancel_back=1.5,
        reprice_share=0.45,
        reduce_share=0.05,
    ),
    sizes=Sizes(
        orders=((0, 1), (0.72, 1), (0.80, 2), (0.88, 4), (0.94, 7), (0.97, 12), (0.99, 20), (1, 120)),
        aggressors=((0, 1), (0.56, 1), (0.74, 2), (0.84, 4), (0.90, 7), (0.95, 14), (0.99, 40), (1, 250)),
        round_share=0.35,
        take_touch_share=0.15,
        through_share=0.2,
        through_levels=3,
        post_share=0.5,
    ),
    signs=Signs(
        repeat_share=0.48,
        repeat_s=0.05,
        meta_share=0.85,
        metaorders=3,
        meta_exponent=1.5,
        meta_children_max=2000,
        lean_price=1.0,
        lean_queue=1.5,
    ),
    price=PriceLaw(
        vol_ticks=0.36,
        impact_ticks=0.05,
        pin_ticks=1.0,
        pull=2.2,
        pull_queue=1.7,
        move_bias=-0.8,
        move_lean=0.7,
        follow_share=0.02,
    ),
    latency=Latency(least_us=80.0, jitter_us=30.0, jitter_sigma=0.9),
)

ES_THIN: Final = replace(
    ES,
    name="es-thin",
    meaning="E-mini S&P 500 future on a holiday night: one-tick spread, some thirty lots at the touch",
    hours=Hours(),
    flow=replace(ES.flow, aggressors_per_s=0.9, changes_per_s=15.0, moves_per_s=0.2),
    queues=replace(ES.queues, near_orders=(15, 22, 24, 25, 25, 24, 24, 24, 24, 24), deep_orders=24, gap_boost=2.0),
    sizes=replace(
        ES.sizes, orders=((0, 1), (0.72, 1), (0.82, 2), (0.90, 3.5), (0.95, 5), (0.98, 12), (0.99, 16), (1, 80))
    ),
    price=replace(ES.price, vol_ticks=0.23, pull_queue=1.4),
)

NQ: Final = Preset(
    name="nq",
    meaning="E-mini Nasdaq-100 future in regular hours: a spread of one to three ticks, a few lots at the touch",
    instrument=Instrument(
        symbol="NQH6",
        venue="CME",
        tick_e9=250_000_000,
        multiplier=Decimal(20),
        calendar="CME",
        kind="future",
        root="NQ",
        expiry="2026-03",
    ),
    start_price=Decimal(21_500),
    grid_levels=1 << 16,
    hours=Hours(floor=0.72, opening=1.4, closing=1.0, decay_s=2700.0),
    flow=Flow(
        aggressors_per_s=12.0,
        changes_per_s=220.0,
        moves_per_s=10.0,
        tau_s=_TAU_S,
        market_market=(0.06, 0.12, 0.12, 0.14, 0.14),
        market_changes=(0.5, 0.8, 0.8, 0.5, 0.3),
        changes_changes=(0.06, 0.14, 0.14, 0.10, 0.10),
        move_market=(0.01, 0.02, 0.02, 0.02, 0.02),
        move_changes=(0.2, 0.6, 0.6, 0.6, 0.4),
    ),
    queues=Queues(
        near_orders=(0.8, 2.6, 3.4, 3.8, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0),
        near_weight=(1.0, 0.9, 0.6, 0.4, 0.3, 0.25, 0.2, 0.15, 0.12, 0.1, 0.1, 0.1, 0.1, 0.1),
        deep_orders=3.0,
        deep_levels=120,
        deep_weight=0.8,
        gap_boost=0.4,
        cancel_back=1.3,
        reprice_share=0.4,
        reduce_share=0.02,
    ),
    sizes=Sizes(
        orders=((0, 1), (0.82, 1), (0.90, 2), (0.96, 4), (0.99, 10), (1, 40)),
        aggressors=((0, 1), (0.50, 1), (0.70, 2), (0.87, 4), (0.95, 8), (0.98, 14), (1, 60)),
        round_share=0.3,
        take_touch_share=0.1,
        through_share=0.6,
        through_levels=4,
        post_share=0.4,
    ),
    signs=Signs(
        repeat_share=0.5,
        repeat_s=0.05,
        meta_share=0.6,
        metaorders=8,
        meta_exponent=1.5,
        meta_children_max=2000,
        lean_price=0.8,
        lean_queue=0.8,
    ),
    price=PriceLaw(
        vol_ticks=3.0,
        impact_ticks=0.25,
        pin_ticks=1.5,
        pull=0.5,
        pull_queue=0.4,
        move_bias=-0.2,
        move_lean=1.5,
        follow_share=0.05,
    ),
    latency=Latency(least_us=80.0, jitter_us=30.0, jitter_sigma=0.9),
)

BTC: Final = Preset(
    name="btc",
    meaning="Bitcoin perpetual: one-tick spread that jumps tens of ticks, order level as such venues do not publish it",
    instrument=Instrument(
        symbol="BTCUSDT",
        venue="BINANCE-USDM",
        tick_e9=100_000_000,
        lot_e9=1_000_000,
        currency="USDT",
        calendar="24-7",
        kind="perpetual",
        root="BTCUSDT",
    ),
    start_price=Decimal(62_000),
    grid_levels=1 << 18,
    hours=Hours(start_s=13 * 3600.0),
    flow=Flow(
        aggressors_per_s=18.0,
        changes_per_s=240.0,
        moves_per_s=6.0,
        tau_s=_TAU_S,
        market_market=(0.02, 0.05, 0.15, 0.25, 0.28),
        market_changes=(0.2, 0.5, 0.8, 0.5, 0.3),
        changes_changes=(0.04, 0.12, 0.16, 0.12, 0.10),
        move_market=(0.05, 0.1, 0.1, 0.1, 0.1),
        move_changes=(0.5, 2.0, 3.0, 2.0, 1.0),
    ),
    queues=Queues(
        near_orders=(24, 1.6, 1.0, 0.8, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6),
        near_weight=(1.0, 0.12, 0.08, 0.06, 0.05, 0.04, 0.04, 0.04, 0.04, 0.04),
        deep_orders=0.5,
        deep_levels=1500,
        deep_weight=0.5,
        gap_boost=3.0,
        stale_weight=0.2,
        cancel_back=1.3,
        reprice_share=0.2,
        partial_share=0.05,
    ),
    sizes=Sizes(
        orders=((0, 2), (0.3, 10), (0.6, 60), (0.9, 500), (0.99, 2500), (1, 20_000)),
        aggressors=((0, 2), (0.25, 5), (0.5, 30), (0.75, 150), (0.9, 650), (0.99, 7000), (1, 60_000)),
        round_share=0.2,
        take_touch_share=0.05,
        through_share=0.8,
        through_levels=40,
        post_share=0.3,
    ),
    signs=Signs(
        repeat_share=0.1,
        repeat_s=0.02,
        meta_share=0.95,
        metaorders=3,
        meta_exponent=1.45,
        meta_children_max=3000,
        lean_price=0.8,
        lean_queue=0.6,
    ),
    price=PriceLaw(
        vol_ticks=40.0,
        impact_ticks=2.0,
        pin_ticks=25.0,
        pull=0.7,
        pull_queue=0.0,
        move_bias=3.0,
        move_lean=1.5,
        follow_share=0.02,
    ),
    latency=Latency(least_us=4000.0, jitter_us=1500.0, jitter_sigma=0.6, line_ns=2000),
)

PRESETS: Final = {p.name: p for p in (ES, ES_THIN, NQ, BTC)}
"""The presets by name."""


def preset(name: str) -> Preset:
    """Return a preset by name.

    Raises
    ------
    ConfigurationError
        If there is none of that name.

    Examples
    --------
    >>> preset("es").instrument.symbol
    'ESH6'
    """
    found = PRESETS.get(name.lower())
    if found is None:
        raise ConfigurationError(
            "no such preset",
            expected=f"one of {', '.join(PRESETS)}",
            found=name,
            remedy="or give the path of a TOML file (its base is one of these)",
        )
    return found
