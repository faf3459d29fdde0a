"""Real processes and every fault: a complete journal, marked gaps, the right book, and a database that is the journal.

The long run is the same by hand: ``python -m tests.capture.endurance run FOLDER FROM TO SECONDS`` plays the faults with
those numbers (the first fifteen alone, then drawn combinations), each for so many seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tapebook.gateway.faults import KINDS, Fault
from tests.capture.endurance import ALONE, combination, endure, judge
from tests.store.capture_servers import postgres

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals")]

RECORDS = tuple(
    fault for name in ("lose", "duplicate", "reorder", "malformed", "split", "merge", "delay") for fault in ALONE[name]
)
SOCKETS = (
    *(Fault(fault=kind, every_s=3) for kind in ("drop", "close", "expire", "reset")),
    *(Fault(fault="half_open", at_s=4), Fault(fault="restart", at_s=8, for_s=0.4)),
    Fault(fault="throttle", at_s=7.9, for_s=1.0),
)


def test_every_fault_has_its_run() -> None:
    assert set(ALONE) == set(KINDS)
    assert {fault.fault for seed in range(15, 60) for fault in combination(seed)} == set(KINDS)


def test_records_that_are_lost_damaged_cut_and_late(tmp_path: Path) -> None:
    ran = endure(tmp_path, RECORDS, seconds=8, seed=3)
    verdict = judge(ran)
    assert {name for name, n in ran.told["statistics"]["faults"].items() if n} >= {fault.fault for fault in RECORDS}
    assert verdict.quality > 20
    assert verdict.received > 500


def test_connections_that_are_lost_in_every_way_and_postgresql(tmp_path: Path) -> None:
    ran = endure(tmp_path, SOCKETS, seconds=14, seed=4, url=postgres().new_database())
    verdict = judge(ran)
    assert verdict.connections > 6
    assert verdict.gaps == verdict.connections - 1
    assert {name for name, n in ran.told["statistics"]["faults"].items() if n} >= {fault.fault for fault in SOCKETS}


def test_everything_together(tmp_path: Path) -> None:
    verdict = judge(endure(tmp_path, (*RECORDS, *SOCKETS), seconds=12, seed=5))
    assert verdict.connections > 4
    assert verdict.gaps >= verdict.connections - 1
