"""A simulated tape: an ordinary :class:`~tapebook.market.tape.Tape`, and the truth about what was planted in it.

The same preset, seed, duration and episodes give the same events to the last bit, however large the blocks are that
they are read in and however often: the market runs in pages of a fixed size, and blocks are cut out of those. (On
another kind of processor the last bit of an exponential may differ, and with it the course of the session.) Episodes
draw nothing before they begin, so that a session with and without them is the same up to the first.

The tape opens with the whole book as one snapshot message and a STATUS message; where it runs to the end of regular
hours, a STATUS message closes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels.sim_loop import populate, run, snapshot, tell_phase
from tapebook.kernels.sim_state import EPISODE, ROOM, World
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import EVENT, MISSING, Events, Phase
from tapebook.market.instruments import InstrumentTable
from tapebook.market.sessions import calendar
from tapebook.market.tape import Origin, Progress, Tape
from tapebook.simulator.episodes import Episode
from tapebook.simulator.planting import check, fitted, parse_episode
from tapebook.simulator.preset import Preset
from tapebook.simulator.presets import preset as preset_of
from tapebook.simulator.truth import Ledger
from tapebook.simulator.world import INSTRUMENT_ID, grown, new_page, new_world

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SimulatedTape", "simulate"]

_PAGE_EVENTS: Final = (1 << 16) + ROOM
_ROUND_THE_CLOCK_S: Final = 3600.0


@dataclass(kw_only=True)
class SimulatedTape(Tape):
    """A tape that knows the truth about itself.

    Attributes
    ----------
    truth
        Called, it returns the truth table (:mod:`tapebook.simulator.truth`). Before the tape was read to its end once,
        this runs the session once, which takes as long as reading it.
    """

    truth: Callable[[], pa.Table]


@dataclass(frozen=True)
class _Span:
    """When a session runs, in ns UTC."""

    start_ns: int
    end_ns: int
    open_ns: int  # of regular hours
    close_ns: int
    closes: bool  # the tape runs to the end of regular hours of a market that closes


def simulate(
    preset: Preset | str = "es",
    seed: int = 1,
    duration_s: float | None = None,
    episodes: Sequence[Episode | str] = (),
) -> SimulatedTape:
    """Return a simulated session as a tape.

    Parameters
    ----------
    preset
        A market, or the name of one of :data:`~tapebook.simulator.presets.PRESETS`.
    seed
        Chooses the session; not negative.
    duration_s
        Length in seconds; left out: to the end of regular hours, or an hour of a market that never closes.
    episodes
        What to plant, as values or in the short form (``"iceberg@120"``).

    Raises
    ------
    ConfigurationError
        If the session does not fit into the calendar's, or an episode not into the session.

    Notes
    -----
    Nothing runs until the tape is read. The first hour of ``es`` has about 800,000 events and takes about a second of
    one core once the kernels are compiled; memory stays at a page of 74,000 events.

    Examples
    --------
    >>> tape = simulate("es", seed=7, duration_s=2, episodes=["sweep@1:levels=3"])
    >>> tape.truth().column("kind").to_pylist()
    ['sweep']
    """
    market = preset_of(preset) if isinstance(preset, str) else preset
    if seed < 0:
        raise ConfigurationError("seed", expected="a whole number from 0", found=str(seed))
    span = _span(market, duration_s)
    length_s = (span.end_ns - span.start_ns) / 1e9
    wanted = [parse_episode(e) if isinstance(e, str) else e for e in episodes]
    ready = tuple(fitted(e, market) for e in wanted)
    for episode in ready:
        check(episode, length_s)
    known: list[pa.Table] = []

    def read(events_max: int) -> Iterator[Events]:
        ledger = Ledger(ready)
        records = np.empty(0, EPISODE)
        for events, tags, state in _pages(market, seed, span, ready):
            records = state
            ledger.note(events, tags)
            last_ns = int(events["ts_event_ns"][-1])
            progress.done_bytes = int(progress.total_bytes * min((last_ns - span.start_ns) / 1e9 / length_s, 1.0))
            for start in range(0, events.size, max(events_max, 1)):
                yield events[start : start + max(events_max, 1)]
        table = ledger.close(records)
        known[:] = [table]
        if table.num_rows < len(ready):
            tape.notes["episodes that found no occasion"] = len(ready) - table.num_rows

    def truth() -> pa.Table:
        if not known:
            for _ in read(_PAGE_EVENTS):
                pass
        return known[0]

    rate = market.flow.changes_per_s + 6 * market.flow.aggressors_per_s
    progress = Progress(total_bytes=int(rate * length_s) * EVENT.itemsize)
    details = {"seed": seed, "duration_s": length_s, "episodes": [e.name for e in ready], "meaning": market.meaning}
    tape = SimulatedTape(
        origin=Origin(
            name=f"sim:{market.name}",
            format="simulator",
            schema="orders",
            venue=market.instrument.venue,
            details=details,
        ),
        read=read,
        instruments=InstrumentTable({INSTRUMENT_ID: market.instrument}),
        progress=progress,
        truth=truth,
    )
    return tape


def _span(preset: Preset, duration_s: float | None) -> _Span:
    """Return when the session runs, by the instrument's calendar."""
    name, hours = preset.instrument.calendar, preset.hours
    session = calendar(name).session(hours.date)
    if session.rth_open_ns == MISSING:
        raise ConfigurationError(f"no regular hours of {name} on {hours.date}", remedy="choose another hours.date")
    start_ns = session.rth_open_ns + round(hours.start_s * 1e9)
    round_the_clock = name == "24-7"
    if duration_s is not None and not math.isfinite(duration_s):
        raise ConfigurationError("duration_s", expected="a number of seconds", found=str(duration_s))
    if duration_s is None:
        end_ns = start_ns + round(_ROUND_THE_CLOCK_S * 1e9) if round_the_clock else session.rth_close_ns
    else:
        end_ns = start_ns + round(duration_s * 1e9)
    longest_s = (session.rth_close_ns - start_ns) / 1e9
    if hours.start_s < 0 or end_ns <= start_ns or (end_ns > session.rth_close_ns and not round_the_clock):
        raise ConfigurationError(
            "the session does not fit into regular hours",
            expected=f"a duration_s from above 0 to {max(longest_s, 0):g}, started {hours.start_s:g} s after the open",
            found=str(duration_s),
            where=f"{name} {hours.date}",
            remedy="shorten it, or start earlier (hours.start_s)",
        )
    closes = end_ns == session.rth_close_ns and not round_the_clock
    return _Span(start_ns, end_ns, session.rth_open_ns, session.rth_close_ns, closes)


def _pages(
    preset: Preset, seed: int, span: _Span, episodes: Sequence[Episode]
) -> Iterator[tuple[Events, NDArray[np.int32], NDArray[np.void]]]:
    """Run the session and yield page after page: events, their tags, and the records of the episodes."""
    rng = np.random.Generator(np.random.PCG64(seed))
    w = new_world(preset, rng, episodes, start_ns=span.start_ns, open_ns=span.open_ns, close_ns=span.close_ns)
    w = _with_page(w, _PAGE_EVENTS)
    populate(w, rng)
    while not run(w, rng):  # the warm-up writes nothing, so that only the pool of orders can stop it
        w = grown(w)
    s = w.s[0]
    s["silent"] = 0
    s["sequence"] = 0
    s["end_ns"] = span.end_ns
    if len(episodes):
        s["planned_ns"] = w.episodes["next_ns"].min()
    w = _with_page(w, int(s["n_bid"] + s["n_ask"]) + ROOM)
    snapshot(w, rng)
    tell_phase(w, rng, Phase.OPEN)
    yield _written(w)
    ended = False
    while not ended:
        w = _with_page(w, _PAGE_EVENTS)
        ended = run(w, rng)
        if ended and span.closes:
            tell_phase(w, rng, Phase.CLOSE)
        if s["n"]:
            yield _written(w)
        if s["n_free"] <= ROOM:
            w = grown(w)


def _with_page(w: World, n_events: int) -> World:
    out, tags = new_page(n_events)
    w.s[0]["n"] = 0
    return w._replace(out=out, tags=tags)


def _written(w: World) -> tuple[Events, NDArray[np.int32], NDArray[np.void]]:
    n = int(w.s[0]["n"])
    return w.out[:n], w.tags[:n], w.episodes
