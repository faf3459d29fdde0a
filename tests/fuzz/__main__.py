"""Fuzzing for as long as one likes: ``python -m tests.fuzz [TARGET ...] --frames 1000000``.

Frames, not inputs, are counted: an input is a sequence of up to twelve. What breaks something lies in ``--saved`` and
is played again with ``--again FILE``. ``--engine atheris`` (one target) hands over to libFuzzer, whose own options
follow ``--``: ``python -m tests.fuzz projectx --engine atheris -- -max_total_time=300 corpus/``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path


def main() -> int:
    about = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    about.add_argument("targets", nargs="*")
    about.add_argument("--frames", type=int, default=200_000, help="of each target")
    about.add_argument("--seconds", type=float, default=0.0, help="of each target")
    about.add_argument("--seed", type=int, default=0)
    about.add_argument("--saved", type=Path, default=Path(tempfile.gettempdir()) / "tapebook-fuzz")
    about.add_argument("--again", type=Path, help="an input to play again")
    about.add_argument("--engine", choices=["own", "atheris"], default="own")
    own, _, rest = _parted(sys.argv[1:])
    asked = about.parse_args(own)
    asked.saved.mkdir(parents=True, exist_ok=True)
    if asked.engine == "atheris":
        from tests.fuzz.with_atheris import run

        run(asked.targets[0], asked.saved, rest)
    from tests.fuzz.engine import Found, fuzz, split
    from tests.fuzz.targets import TARGETS, Tally

    if asked.again is not None:
        TARGETS[asked.targets[0]].check(split(asked.again.read_bytes()), Tally())
        return 0
    broken = 0

    def told(found: Found) -> None:
        tally = found.tally
        print(
            f"\r{found.target}: {found.frames:,} frames in {found.seconds:.0f} s, corpus {found.corpus}, "
            f"{found.lines} pairs of lines, {tally.events:,} events, {tally.rejected:,} rejected, {tally.noted:,} noted"
            f", slowest {found.slowest_s * 1e3:.0f} ms, {len(found.crashes)} crashes",
            end="",
            flush=True,
        )

    for name in asked.targets or list(TARGETS):
        found = fuzz(
            TARGETS[name], frames=asked.frames, seconds=asked.seconds, seed=asked.seed, saved=asked.saved, told=told
        )
        told(found)
        print()
        for frames, why in found.crashes:
            print(f"  {why[:300]}\n  {frames[:300]!r}")
        broken += len(found.crashes)
    return 1 if broken else 0


def _parted(arguments: list[str]) -> tuple[list[str], str, list[str]]:
    if "--" not in arguments:
        return arguments, "", []
    at = arguments.index("--")
    return arguments[:at], "--", arguments[at + 1 :]


if __name__ == "__main__":
    raise SystemExit(main())
