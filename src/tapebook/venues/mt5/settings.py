"""How to reach a terminal, and how often it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from tapebook.venues.policies import NEVER, Stop, Wait, delays, jittered

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the terminal is, and how patient we are.

    Attributes
    ----------
    host, port
        Of the RPyC server beside it; no host: the module of this Python (Windows).
    path
        The terminal's program, where several are installed.
    zone
        Where the broker server's clock hangs: ``America/Sao_Paulo`` for B3, ``NY+7`` for most others. What the first
        ticks say of it is checked.
    ticks_s, book_s
        Seconds between two questions for a symbol's ticks and for its book. A terminal answers some 150 questions a
        second: ten symbols at the defaults are 90.
    calls_per_s
        More than that is never asked; with more symbols the pauses grow.
    look_s
        How often the terminal is asked whether it reaches its broker.
    answer_s
        Patience with one question.
    wait, stop
        How long after a lost terminal to try again, and when to give up: never.
    steady_s
        After so long with it, the waits begin anew.
    """

    host: str = ""
    port: int = 18812
    path: str = ""
    zone: str = "America/Sao_Paulo"
    ticks_s: float = 0.2
    book_s: float = 0.25
    calls_per_s: float = 120.0
    look_s: float = 5.0
    answer_s: float = 30.0
    wait: Wait = field(default_factory=lambda: jittered(delays(1, 2, 5, then=15)))
    stop: Stop = NEVER
    steady_s: float = 30.0
