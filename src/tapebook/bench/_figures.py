"""What benchmarks share: the clock, a figure, and peers that measure themselves in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Peers", "ask", "best_s", "figure", "figures_beside"]

Peers = dict[str, dict[str, float]]
"""Seconds (or whatever was asked for) by what, by peer."""

_PEERS_S_MAX: Final = 900
_ONE_THREAD: Final = dict.fromkeys(
    ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


def best_s(work: Callable[[], Any], runs: int = 5) -> float:
    """Return the processor time of the fastest of several runs, after one that compiles.

    Processor time: on a machine that does other things beside, wall time measures those.
    """
    work()
    best = float("inf")
    for _ in range(runs):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def figure(
    name: str, *, what: str, ours: float, unit: str, n: int, peer: float | None = None, peer_name: str = ""
) -> dict[str, Any]:
    """Return a figure; ``ratio`` says how often ours is better: units of a rate (``…/s``) are, the larger they are."""
    ratio = None
    if peer is not None:
        ratio = ours / peer if unit.endswith("/s") else peer / ours
    return {
        "name": name,
        "what": what,
        "ours": ours,
        "unit": unit,
        "n_events": n,
        "peer": peer,
        "peer_name": peer_name if peer is not None else None,
        "ratio": ratio,
    }


def figures_beside(
    name: str, *, what: str, ours: float, unit: str, n: int, peers: Iterable[tuple[str, float]]
) -> list[dict[str, Any]]:
    """Return a figure for each peer, or one alone where there is none."""
    rows = [
        figure(f"{name}_{peer.split()[0].lower()}", what=what, ours=ours, unit=unit, n=n, peer=value, peer_name=peer)
        for peer, value in peers
    ]
    return rows or [figure(name, what=what, ours=ours, unit=unit, n=n)]


def ask(job: str, **arrays: NDArray[Any]) -> Peers:
    """Return what the peers measured of themselves (see ``_peers.py``), nothing where none is installed.

    Asked are this interpreter's and, for those that are not here, those of the interpreter that
    ``TAPEBOOK_PEERS_PYTHON`` names: some pin old versions of much. All are held to one thread.
    """
    found: Peers = {}
    failed: dict[str, str] = {}
    for python in (sys.executable, os.environ.get("TAPEBOOK_PEERS_PYTHON")):
        if python:
            told = _run(python, job, arrays)
            found = told.get("found", {}) | found
            failed |= told.get("failed", {})
    for name, why in failed.items():
        if name not in found:
            sys.stderr.write(f"the peer {name} was not measured: {why}\n")
    return found


def _run(python: str, job: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    script = Path(__file__).with_name("_peers.py")
    with tempfile.TemporaryDirectory(prefix="tapebook-bench-") as folder:
        sample = Path(folder) / "sample.npz"
        np.savez(sample, **arrays)  # type: ignore[arg-type, unused-ignore] # the stubs mistake names for a flag
        try:
            done = subprocess.run(  # noqa: S603 - our own script, in the interpreter that the user named
                [python, str(script), job, str(sample)],
                capture_output=True,
                text=True,
                timeout=_PEERS_S_MAX,
                check=True,
                env=os.environ | _ONE_THREAD,
                cwd=folder,
            )
            told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
            return {"failed": {f"interpreter {python}": f"{type(error).__name__}: {error}"}}
    return told
