"""Measure the stylised facts of the recordings and of the presets, side by side: the table of docs/simulator.md.

    python -m tests.simulator.measure

Only aggregates come out, never a row of a recording. Recordings are found as the tests find them (TAPEBOOK_DATA).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from tapebook.market.events import Events, Kind
from tapebook.market.tape import Tape
from tapebook.readers import open_tape
from tapebook.simulator import PRESETS, simulate
from tests.conftest import DATA
from tests.simulator.facts import facts

SEEDS = (1, 2)
DURATION_S = 3600.0


@dataclass(frozen=True)
class Recording:
    label: str
    name: str
    kinds: tuple[Kind, ...] = tuple(Kind)  # what is looked at: a venue may publish the same book twice
    from_ns: int = 0
    zone: str = ""
    unit: float = 1.0  # base units of a lot, so that quantities compare
    tick_e9: int = 0  # where the file does not say
    silent: tuple[str, ...] = ()  # facts that it cannot tell


NO_SIZES = ("touch", "shorter")

RECORDINGS = (
    # A holiday night: from one minute after the pre-open auction ended.
    Recording("ES holiday", "databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst", from_ns=1_703_545_260_000_000_000),
    # A minute of a day that fell 4 % and came back; trades with the book beside them. The zone does not matter here.
    Recording(
        "ES panic",
        "sierra/tbt.txt",
        kinds=(Kind.QUOTE, Kind.LEVEL, Kind.CLEAR, Kind.TRADE),
        zone="UTC",
        tick_e9=250_000_000,
    ),
    Recording("AMZN", "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"),
    Recording("BTC spot", "binance/spot_btcusdt_20240808.gz", kinds=(Kind.QUOTE, Kind.TRADE), unit=1e-8),
    Recording("BTC perp", "binance/usdm_btcusdt_20240808.gz", kinds=(Kind.QUOTE, Kind.TRADE), unit=1e-3),
    Recording("NQ night", "nq_time_and_sales/time_and_sales_nq_.csv", zone="UTC", tick_e9=250_000_000, silent=NO_SIZES),
    Recording(
        "NQ holiday",
        "nq_time_and_sales/time_and_sales_nq_20251127.csv",
        zone="UTC",
        tick_e9=250_000_000,
        silent=NO_SIZES,
    ),
)


def recorded(recording: Recording) -> dict[str, float]:
    """Return the facts of a recording."""
    tape = open_tape(DATA / recording.name, zone=ZoneInfo(recording.zone) if recording.zone else None)
    events = tape.events()
    events = events[np.isin(events["kind"], recording.kinds)]
    tick_e9 = recording.tick_e9 or tape.instruments.only().tick_e9
    found = facts(events, tick_e9, from_ns=recording.from_ns, qty_unit=recording.unit)
    return {name: value for name, value in found.items() if not name.startswith(recording.silent or ("\0",))}


def simulated(tape: Tape) -> dict[str, float]:
    """Return the facts of a simulated tape, from its opening on."""
    events: Events = tape.events()
    instrument = tape.instruments.only()
    unit = float(instrument.lot)
    return facts(events, instrument.tick_e9, from_ns=int(events["ts_event_ns"][0]) + 1, qty_unit=unit)


def columns() -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each recording that is there, then each preset (mean over seeds)."""
    for recording in RECORDINGS:
        if (DATA / recording.name).exists():
            yield recording.label, recorded(recording)
    for name in PRESETS:
        runs = [simulated(simulate(name, seed, DURATION_S)) for seed in SEEDS]
        yield f"sim:{name}", {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}


def main() -> None:
    table = dict(columns())
    names: dict[str, None] = {}
    for column in table.values():
        names.update(dict.fromkeys(column))
    print("| fact |", " | ".join(table), "|")
    print("|---|" + "---:|" * len(table))
    for name in names:
        values = [column.get(name, math.nan) for column in table.values()]
        print(f"| {name} |", " | ".join("-" if math.isnan(v) else f"{v:.3g}" for v in values), "|")


if __name__ == "__main__":
    main()
