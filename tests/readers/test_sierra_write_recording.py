from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tapebook.market.events import Kind
from tapebook.readers import open_tape
from tapebook.readers.sierra_write import write_scid


def test_a_recorded_hour_of_es_survives_the_way_through_a_scid_file(
    recording: Callable[[str], Path], tmp_path: Path
) -> None:
    tape = open_tape(recording("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst"))
    before = np.concatenate([block[block["kind"] == Kind.TRADE] for block in tape.blocks()])
    written = write_scid(tape, tmp_path / "ESH24-CME.scid")
    after = open_tape(tmp_path / "ESH24-CME.scid").events()
    assert written.records == after.size == before.size == 2973
    assert int(after["qty_lots"].sum()) == 9892
    for name in ("price", "qty_lots", "side"):
        assert after[name].tolist() == before[name].tolist()
    # Sierra Chart counts whole microseconds, and no two trades share one.
    assert int(np.abs(after["ts_event_ns"] - before["ts_event_ns"]).max()) < 10_000
    assert (np.diff(after["ts_event_ns"]) > 0).all()
