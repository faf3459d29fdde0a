"""The same targets under libFuzzer, through ``atheris``, installed by hand (it has no wheels for every Python).

Half of the mutations are libFuzzer's own, half are those of :mod:`tests.fuzz.engine`, which know records and values.
"""

from __future__ import annotations

import random
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def run(name: str, saved: Path, options: list[str]) -> None:
    """Run libFuzzer on a target; it ends the process."""
    atheris = import_module("atheris")  # optional: nobody needs its types

    for kernel in ("text", "local_time", "mt5", "snapshots"):  # numba compiles them, and does not know the counters
        import_module(f"tapebook.kernels.{kernel}")
    parts = ("tapebook.venues", "tapebook.capture.decode", "tapebook.capture.rows", "tapebook.capture.checks")
    with atheris.instrument_imports(include=list(parts), enable_loader_override=False):
        from tests.fuzz import corpus, engine
        from tests.fuzz.targets import TARGETS, Tally

    target = TARGETS[name]
    folder = saved / f"{name}-corpus"
    folder.mkdir(parents=True, exist_ok=True)
    pool = target.corpus()
    for i, one in enumerate(pool):
        (folder / f"golden-{i}").write_bytes(engine.joined(one))
    words = saved / "words.dict"
    escaped = ["".join(f"\\x{byte:02x}" for byte in word) for word in (*corpus.WORDS, engine.BETWEEN)]
    words.write_text("".join(f'"{word}"\n' for word in escaped))
    tally = Tally()
    played = {"inputs": 0, "frames": 0}

    def one_input(data: bytes) -> None:
        frames = engine.split(data)
        played["inputs"] += 1
        played["frames"] += len(frames)
        target.check(frames, tally)
        if played["inputs"] % 20_000 == 0:
            print(f"{name}: {played} {tally}", flush=True)

    def mutation(data: bytes, max_size: int, seed: int) -> Any:
        chance = random.Random(seed)
        if chance.random() < 0.5:
            return atheris.Mutate(data, max_size)
        return engine.joined(engine.Mutator(chance)(engine.split(data), pool))[:max_size]

    arguments = [sys.argv[0], f"-dict={words}", f"-artifact_prefix={saved}/{name}-", "-timeout=10", "-max_len=8192"]
    atheris.Setup([*arguments, *options, str(folder)], one_input, custom_mutator=mutation)
    atheris.Fuzz()
