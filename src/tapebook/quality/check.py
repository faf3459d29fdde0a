"""The quality of a tape, told by name and number: a fold over its blocks, like everything that reads a tape.

Counting is one compiled pass per instrument (:mod:`tapebook.kernels.quality`); what needs a book stands in
:mod:`tapebook.quality.touch`, what needs a calendar in :mod:`tapebook.quality.silence`. The findings do not depend on
how the tape was cut into blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import quality as kernel
from tapebook.market.events import MISSING, Events, Kind, clock_ns
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.quarantine import Quarantine
from tapebook.quality.findings import Finding, Severity, by_severity
from tapebook.quality.latency import percentiles_ns
from tapebook.quality.silence import Silence
from tapebook.quality.touch import Touch

_SEVERITY: Final[dict[str, Severity]] = {
    "ts_event_missing": "info",
    "ts_event_backwards": "warning",
    "ts_recv_backwards": "warning",
    "recv_before_event": "warning",
    "duplicate": "info",
    "gap_flagged": "error",
    "sequence_backwards": "warning",
    "off_grid": "error",
    "off_grid_trade": "info",
    "bad_size": "error",
    "side_unknown": "info",
    "maybe_bad_flagged": "warning",
    "bad_ts_recv_flagged": "info",
    "frozen_book": "error",
    "trade_without_price": "error",
    "trade_without_size": "warning",
}
_OF_TRADES: Final = frozenset({"side_unknown", "off_grid_trade", "trade_without_price", "trade_without_size"})
_CONSECUTIVE_SHARE_MIN: Final = 0.95


@dataclass
class Observed:
    """What has been seen of one instrument."""

    instrument: Instrument
    state: NDArray[np.int64]
    counts: NDArray[np.int64]
    firsts: NDArray[np.int64]
    by_kind: NDArray[np.int64]
    latency: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    channels: NDArray[np.int64]
    touch: Touch
    silence: Silence
    first_ns: dict[str, int] = field(default_factory=dict)
    last_ns: dict[str, int] = field(default_factory=dict)

    @property
    def n_events(self) -> int:
        """Events seen."""
        return int(self.state[kernel.N_SEEN])


class QualityCheck:
    """Checks a tape block by block.

    Parameters
    ----------
    instruments
        The tape's table; it may grow while the tape is read.
    consecutive
        True where the venue numbers the messages of an instrument one by one, so that every skip is a loss; None lets
        the data tell (95 % of the steps are one).
    frozen_s, frozen_trades_min
        A book that does not change for so long while so many trades print is frozen.
    silent_s
        A pause longer than this inside an open session is told.

    Examples
    --------
    >>> from tapebook.market.events import empty_events, Kind
    >>> table = InstrumentTable()
    >>> key = table.add(Instrument(symbol="ESH4", venue="CME", tick_e9=250_000_000))
    >>> events = empty_events(2)
    >>> events["instrument_id"], events["kind"], events["qty_lots"], events["side"] = key, Kind.TRADE, 1, 1
    >>> events["ts_event_ns"] = [2, 1]
    >>> events["price"] = [4_781_500_000_000, 4_781_600_000_000]
    >>> check = QualityCheck(table)
    >>> check.see(events)
    >>> [(f.name, f.count, f.first_where) for f in check.findings()]
    [('ts_event_backwards', 1, 'event 1'), ('off_grid_trade', 1, 'event 1')]
    """

    def __init__(
        self,
        instruments: InstrumentTable,
        *,
        consecutive: bool | None = None,
        frozen_s: float = 10.0,
        frozen_trades_min: int = 50,
        silent_s: float = 60.0,
    ) -> None:
        self._instruments = instruments
        self._consecutive = consecutive
        self._frozen_ns = round(frozen_s * 1e9)
        self._frozen_trades_min = frozen_trades_min
        self._silent_ns = round(silent_s * 1e9)
        self.observed: dict[int, Observed] = {}

    def see(self, events: Events) -> None:
        """Take in the next block of the tape."""
        if not events.size:
            return
        ids = events["instrument_id"]
        if ids.min() == ids.max():
            self._see_one(int(ids[0]), events)
            return
        for instrument_id in np.unique(ids).tolist():
            self._see_one(instrument_id, events[ids == instrument_id])

    def _see_one(self, instrument_id: int, events: Events) -> None:
        seen = self.observed.get(instrument_id)
        if seen is None:
            instrument = self._instruments.get(instrument_id) or Instrument(symbol=f"#{instrument_id}", venue="")
            seen = self._begin(instrument, instrument_id)
            self.observed[instrument_id] = seen
        block = np.ascontiguousarray(events)
        kernel.observe(
            block,
            block.view(np.uint64).reshape(-1, 8),
            seen.instrument.tick_e9,
            self._frozen_ns,
            self._frozen_trades_min,
            seen.state,
            seen.hashes,
            seen.channels,
            seen.counts,
            seen.firsts,
            seen.by_kind,
            seen.latency,
        )
        for name in ("ts_event_ns", "ts_recv_ns"):
            stamps = block[name][block[name] != MISSING]
            if stamps.size:
                seen.first_ns[name] = min(seen.first_ns.get(name, int(stamps.min())), int(stamps.min()))
                seen.last_ns[name] = max(seen.last_ns.get(name, int(stamps.max())), int(stamps.max()))
        seen.touch.see(block)
        seen.silence.see(clock_ns(block))

    def _begin(self, instrument: Instrument, instrument_id: int) -> Observed:
        n_checks = len(kernel.CHECKS)
        state = np.zeros(kernel.N_STATE, np.int64)
        for place in (kernel.LAST_EVENT_NS, kernel.LAST_RECV_NS):
            state[place] = MISSING
        channels = np.zeros((kernel.N_CHANNELS, 7), np.int64)
        channels[:, kernel.SEQ_LAST] = MISSING
        return Observed(
            instrument,
            state,
            np.zeros(n_checks, np.int64),
            np.full((n_checks, 2), MISSING, np.int64),
            np.zeros(max(Kind) + 1, np.int64),
            np.zeros(kernel.LATENCY_BINS, np.int64),
            np.zeros(kernel.DUPLICATE_SLOTS, np.uint64),
            channels,
            Touch(instrument, instrument_id),
            Silence(instrument, self._silent_ns),
        )

    def findings(self, quarantine: Quarantine | None = None) -> list[Finding]:
        """Return what was found so far, the worst first; with a quarantine, also what could not be read."""
        found: list[Finding] = []
        for seen in self.observed.values():
            found += self._of(seen)
            found += seen.touch.findings()
            found += seen.silence.findings()
        if quarantine is not None:
            found += unreadable(quarantine, sum(s.n_events for s in self.observed.values()))
        return by_severity(found)

    def _of(self, seen: Observed) -> list[Finding]:
        state = seen.state
        symbol = seen.instrument.symbol
        n_trades = int(state[kernel.N_TRADES])
        details: dict[str, dict[str, Any]] = {
            "ts_event_backwards": {"most_ns": int(state[kernel.EVENT_BACK_NS_MAX])},
            "recv_before_event": {"most_ns": int(state[kernel.RECV_BEFORE_NS_MAX])},
            "frozen_book": {"longest_s": float(state[kernel.LONGEST_FROZEN_NS]) / 1e9},
        }
        found = []
        for i, name in enumerate(kernel.CHECKS):
            count = int(seen.counts[i])
            if not count:
                continue
            of = n_trades if name in _OF_TRADES else seen.n_events
            severity = _SEVERITY[name]
            if name in ("side_unknown", "off_grid_trade") and count > n_trades / 2:
                severity = "warning"
            first_ns, position = (int(x) for x in seen.firsts[i])
            found.append(
                Finding(
                    name=name,
                    severity=severity,
                    count=count,
                    share=count / max(of, 1),
                    symbol=symbol,
                    first_ts_ns=first_ns if first_ns != MISSING else None,
                    first_where=f"event {position}",
                    details=details.get(name, {}),
                )
            )
        return found + self._sequence_gaps(seen)

    def _sequence_gaps(self, seen: Observed) -> list[Finding]:
        """Tell skips on the channels that count one by one (a sequence shared with others skips all the time)."""
        lines = seen.channels[seen.channels[:, kernel.SEQ_SKIPS] > 0]
        if self._consecutive is None:
            by_one = lines[:, kernel.SEQ_STEPS_OF_ONE] >= _CONSECUTIVE_SHARE_MIN * lines[:, kernel.SEQ_STEPS]
            lines = lines[by_one & (lines[:, kernel.SEQ_STEPS] >= 20)]
        elif not self._consecutive:
            return []
        if not lines.size:
            return []
        skips, steps, missed = (int(lines[:, c].sum()) for c in (kernel.SEQ_SKIPS, kernel.SEQ_STEPS, kernel.SEQ_MISSED))
        first_ns, position = min((int(x[kernel.SEQ_FIRST_NS]), int(x[kernel.SEQ_FIRST_PLACE])) for x in lines)
        return [
            Finding(
                name="sequence_gaps",
                severity="warning",
                count=skips,
                share=skips / steps,
                symbol=seen.instrument.symbol,
                first_ts_ns=first_ns if first_ns != MISSING else None,
                first_where=f"event {position}",
                details={"missing_numbers": missed, "received_percent": round(100 * steps / (steps + missed), 3)},
            )
        ]

    def latency_ns(self) -> dict[str, list[int]]:
        """Return receive minus event time per instrument: minimum, 50, 90, 99, 99.9 % and maximum, within 3 %."""
        return {s.instrument.symbol: percentiles_ns(s.latency) for s in self.observed.values() if s.latency.any()}


def unreadable(quarantine: Quarantine, n_good: int) -> list[Finding]:
    """Return the findings about what a reader could not read."""
    found = []
    if quarantine.truncated:
        found.append(Finding(name="truncated", severity="error", count=1, first_where=quarantine.truncated, details={}))
    for reason, count in quarantine.counts.most_common():
        first = next((r for r in quarantine.records if r.reason == reason), None)
        details = {"reason": reason}
        if first is not None:
            details |= {
                "expected": first.expected,
                "found": first.found,
                "raw": first.raw[:80].decode("utf-8", "replace"),
            }
        found.append(
            Finding(
                name="quarantined",
                severity="error" if count > 0.01 * (n_good + count) else "warning",
                count=count,
                share=count / (n_good + count),
                first_where=first.where if first is not None else "",
                details=details,
            )
        )
    return found
