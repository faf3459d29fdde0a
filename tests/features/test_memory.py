"""Memory stays flat: a long tape through the command, and a live program that keeps what it received last."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapebook.simulator import simulate

pytestmark = pytest.mark.slow

# Peak of a process in bytes, told by the process itself when it is done. Linux hands ``ru_maxrss`` on to what a process
# starts, so that a large parent would count; the high water of its own memory begins with it.
_TELL = """
import json, resource, sys
from pathlib import Path
def peak():
    status = Path("/proc/self/status")
    if status.exists():
        told = dict(line.split(":") for line in status.read_text().splitlines())
        return int(told["VmHWM"].split()[0]) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
"""

_COMMAND = """
from tapebook.cli.main import main
code = main(sys.argv[2:])
Path(sys.argv[1]).write_text(json.dumps({"peak": peak(), "code": code}))
"""

_LIVE = """
import numpy as np
from tapebook.features.catalogue import Catalogue
from tapebook.market.events import empty_events
from tapebook.market.instruments import Instrument

def resident():
    told = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(told["VmRSS"].split()[0]) * 1024

base = resident()  # imports; kernels and calendars are not loaded yet
events = np.load(sys.argv[2])  # what comes over the wire
instrument = Instrument(symbol="ESH6", venue="CME", tick_e9=250_000_000, root="ES", calendar="CME", kind="future")
catalogue = Catalogue(instrument, int(events["instrument_id"][0]))
buffer, rows = empty_events(10_000), np.empty((10_000, 27))
seen = []
for i in range(events.size):
    place = i % buffer.size
    buffer[place] = events[i]
    row = catalogue.advance(buffer[place : place + 1])
    rows[place] = [row[name][0] for name in list(row)[1:]]
    if i % 10_000 == 9_999:
        seen.append(resident() - base)
Path(sys.argv[1]).write_text(json.dumps({"added": seen, "finite": bool(np.isfinite(rows).any())}))
"""


def tell(script: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """Run a script in a process of its own and return what it tells."""
    told = folder / "told.json"
    done = subprocess.run(
        [sys.executable, "-c", _TELL + script, str(told), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert told.exists(), done.stderr[-2_000:]
    found: dict[str, Any] = json.loads(told.read_text())
    return found


def test_a_long_tape_is_streamed_through_the_command_not_loaded(tmp_path: Path) -> None:
    """Ten million events through the same command peaked at 0.4 GB; the events alone are 0.65 GB."""
    peaks = []
    for seconds in (3_600, 14_400):  # 0.7 and 2.7 million events
        out = tmp_path / f"{seconds}.parquet"
        tape = f"sim:btc?duration_s={seconds}&seed=1"
        told = tell(_COMMAND, tmp_path, "features", tape, "--set", "catalogue", "--to", str(out), "--json")
        assert told["code"] == 0
        assert out.stat().st_size > 10_000 * seconds
        peaks.append(told["peak"])
    assert max(peaks) < 1_000_000_000
    assert peaks[1] - peaks[0] < 150_000_000  # two million events more: 128 MB as they come, 450 MB as rows


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks /proc what is resident now")
def test_a_live_catalogue_with_a_buffer_adds_little_and_stays(tmp_path: Path) -> None:
    wire = tmp_path / "wire.npy"
    np.save(wire, simulate("es", 1, duration_s=300.0).events()[:60_000])
    told = tell(_LIVE, tmp_path, str(wire))
    assert told["finite"]
    assert max(told["added"]) < 100_000_000, told
    assert told["added"][-1] - told["added"][0] < 10_000_000, told  # nothing grows with the events seen
