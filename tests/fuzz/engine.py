"""A small coverage-guided fuzzer: what reaches a new pair of lines is kept and mutated further.

It needs nothing but Python (``sys.settrace`` on the modules under test), so the suite has it everywhere; with
``atheris`` installed, ``python -m tests.fuzz --engine atheris`` lets libFuzzer do the same. Inputs are sequences of
frames; in a file they are joined by two bytes that occur neither in UTF-8 nor in MessagePack.
"""

from __future__ import annotations

import faulthandler
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from tests.fuzz.corpus import WORDS
from tests.fuzz.targets import Tally, Target

__all__ = ["HANG_S", "Coverage", "Found", "Hang", "fuzz", "joined", "split", "watched"]

BETWEEN: Final = b"\xc1\xc1"
HANG_S: Final = 10.0
_FRAMES_MAX: Final = 12
_BYTES_MAX: Final = 1 << 15
_CORPUS_MAX: Final = 4000


class Hang(BaseException):
    """A sequence of frames took too long; no ``except Exception`` catches it."""


def joined(frames: list[bytes]) -> bytes:
    """Return a sequence of frames as one input."""
    return BETWEEN.join(frames)


def split(data: bytes) -> list[bytes]:
    """Return an input's frames."""
    return data.split(BETWEEN)


@contextmanager
def watched() -> Iterator[Callable[[], None]]:
    """Raise :class:`Hang` where Python runs too long, and end the process where C does; call what it gives often."""

    def late(*_: object) -> None:
        raise Hang(f"more than {HANG_S:g} s")

    before = signal.signal(signal.SIGALRM, late)

    def alive() -> None:
        signal.setitimer(signal.ITIMER_REAL, HANG_S)
        faulthandler.dump_traceback_later(3 * HANG_S, exit=True)

    try:
        alive()
        yield alive
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


class Coverage:
    """Pairs of lines that were run one after the other, in some files."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        self.seen: set[tuple[int, int, int]] = set()
        self._now: set[tuple[int, int, int]] = set()
        self._parts = tuple(f"tapebook/{part}" for part in parts)
        self._wanted: dict[CodeType, int] = {}

    def run(self, work: Callable[[], None]) -> bool:
        """Run something; return whether it reached what nothing had."""
        now = self._now = set()
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            work()
        finally:
            sys.settrace(before)
        new = not now <= self.seen
        self.seen |= now
        return new

    def _call(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        number = self._wanted.get(code)
        if number is None:
            name = code.co_filename.replace("\\", "/")
            number = self._wanted[code] = len(self._wanted) + 1 if any(p in name for p in self._parts) else 0
        if not number:
            return None
        last = 0
        add = self._now.add

        def line(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal last
            if event == "line":
                at = frame.f_lineno
                add((number, last, at))
                last = at
            return line

        return line


@dataclass
class Found:
    """What a run did."""

    target: str
    inputs: int = 0
    frames: int = 0
    corpus: int = 0
    lines: int = 0
    slowest_s: float = 0.0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    crashes: list[tuple[bytes, str]] = field(default_factory=list)


class Mutator:
    """Changes sequences of frames: their bytes, their numbers, their order, parts of one within another."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def __call__(self, frames: list[bytes], pool: list[list[bytes]]) -> list[bytes]:
        """Return another sequence; every frame of it is damaged, or stands where it did not stand."""
        chance = self.chance
        out = list(frames)
        if chance.random() < 0.4:
            other = chance.choice(pool)
            at = chance.randrange(len(out) + 1)
            out[at:at] = other[chance.randrange(len(other)) :]
        if len(out) > 1 and chance.random() < 0.15:
            a, b = chance.randrange(len(out)), chance.randrange(len(out))
            out[a], out[b] = out[b], out[a]
        if len(out) > _FRAMES_MAX:
            at = chance.randrange(len(out) - _FRAMES_MAX + 1)
            out = out[at : at + _FRAMES_MAX]
        gentle = chance.random() < 0.5  # most of the frames stay whole, so that memories fill before the bad one
        for i in range(len(out)):
            if i and gentle and chance.random() < 0.6:
                continue
            for _ in range(1 + chance.randrange(3)):
                out[i] = self._bytes(out[i], chance.choice(pool))[:_BYTES_MAX]
        return out

    def _bytes(self, frame: bytes, other: list[bytes]) -> bytes:
        chance = self.chance
        out = bytearray(frame)
        size = len(out)
        a, b = sorted((chance.randrange(size + 1), chance.randrange(size + 1)))
        kind = chance.randrange(11)
        if kind == 0 and size:
            for _ in range(1 + chance.randrange(4)):
                out[chance.randrange(size)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del out[a:]
        elif kind == 2:
            del out[a : min(b, a + 40)]
        elif kind == 3:
            out[a:a] = out[a:b]
        elif kind == 4:
            piece = chance.choice(other)
            out[a:b] = piece[a:b]
        elif kind in (5, 6):
            out[a:a] = chance.choice(WORDS)
        elif kind == 7 and size:
            out[chance.randrange(size)] = chance.randrange(256)
        else:
            self._value(out, chance.choice(WORDS) if kind == 8 else b"")
        return bytes(out)

    def _value(self, out: bytearray, word: bytes) -> None:
        """Put another value in a value's place: what stands between two of the characters that JSON is made of."""
        chance = self.chance
        ends = [i for i, c in enumerate(out) if c in b',:[]{}"']
        if len(ends) < 2:
            out += word
            return
        k = chance.randrange(len(ends) - 1)
        a, b = ends[k] + 1, ends[k + 1]
        if word:
            out[a:b] = word
        elif chance.random() < 0.5:
            out[a:b] = str(chance.choice((0, 1, -1, 2, 3, 4, 5, 6, 11, 2**31, 2**63, 0.25, 100.25, 1e9))).encode()
        else:
            del out[a : b + 1]


def fuzz(
    target: Target,
    *,
    frames: int = 0,
    seconds: float = 0.0,
    seed: int = 0,
    saved: Path | None = None,
    told: Callable[[Found], None] = lambda _: None,
) -> Found:
    """Fuzz until so many frames were played or so many seconds are over.

    Parameters
    ----------
    target
        What is fuzzed.
    frames, seconds
        How long; at least one of them.
    seed
        Of everything that is drawn.
    saved
        Folder for inputs that broke something, and for the corpus.
    told
        Called every 2,000 inputs.
    """
    began = time.perf_counter()
    chance = random.Random(seed)
    mutate, cover, found = Mutator(chance), Coverage(target.files), Found(target.name)
    pool = target.corpus()
    for one in pool:  # the good ones must be good
        cover.run(lambda one=one: target.check(one, Tally()))  # type: ignore[misc] # mypy does not infer defaults of a lambda
    known: set[str] = set()
    with watched() as alive:
        while True:
            found.seconds = time.perf_counter() - began
            if (frames and found.frames >= frames) or (seconds and found.seconds >= seconds):
                break
            favourite = chance.random() < 0.5 and len(pool) > 50
            one = mutate(pool[-1 - chance.randrange(50)] if favourite else chance.choice(pool), pool)
            alive()
            at = time.perf_counter()
            try:
                new = cover.run(lambda one=one: target.check(one, found.tally))  # type: ignore[misc] # as above
            except (Exception, Hang) as error:  # noqa: BLE001 - everything that comes out is what is looked for
                new = False
                where = f"{type(error).__name__}: {error}"
                if (sort := where[:60]) not in known:
                    known.add(sort)
                    found.crashes.append((joined(one), where))
                    if saved is not None:
                        (saved / f"{target.name}-{len(known)}.crash").write_bytes(joined(one))
            found.slowest_s = max(found.slowest_s, time.perf_counter() - at)
            found.inputs += 1
            found.frames += len(one)
            if new and len(pool) < _CORPUS_MAX:
                pool.append(one)
            if found.inputs % 2000 == 0:
                found.corpus, found.lines = len(pool), len(cover.seen)
                told(found)
    found.corpus, found.lines = len(pool), len(cover.seen)
    return found
