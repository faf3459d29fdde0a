"""Where the figures of a capture come from: receiver, follower's reports, the disk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from tapebook.capture.memory import resident_mb
from tapebook.capture.receive import LATENCY_STEP_NS, Receiver, disk_free_mb
from tapebook.capture.reports import Report, Tables
from tapebook.capture.settings import JOURNAL
from tapebook.capture.status import CaptureStatistics, StreamStatistics, percentile_us, price
from tapebook.market.clock import Clock

__all__ = ["Gauges"]


class Gauges:
    """Reads them; rates are of the time between two readings.

    Parameters
    ----------
    name, folder
        The session's.
    memory_mb
        Resident memory of a process above which it is told.
    clock
        For ages.
    """

    def __init__(self, name: str, folder: Path, memory_mb: float, clock: Clock) -> None:
        self._name, self._folder, self._memory_mb, self._clock = name, folder, memory_mb, clock
        self._began_s = time.monotonic()
        self._rates: dict[str, tuple[float, float]] = {}  # by figure: when it was taken, and what it was

    def read(
        self, state: str, receiver: Receiver | None, report: Report, restarts: int, said: Sequence[str]
    ) -> CaptureStatistics:
        """Return how the capture is doing; ``said``: warnings of its own."""
        now_s, now_ns = time.monotonic(), self._clock.now_ns()
        streams: list[StreamStatistics] = []
        frames = frame_bytes = last_sequence = synced = 0
        latency: Sequence[int] = ()
        if receiver is not None:
            told = receiver.journal.statistics()
            last_sequence, synced = told.last_sequence, told.synced_sequence
            latency = receiver.latency
            for s in receiver.streams.values():
                frames, frame_bytes = frames + s.frames, frame_bytes + s.frame_bytes
                clock = s.clock
                streams.append(
                    StreamStatistics(
                        name=s.settings.name,
                        state=s.state,
                        frames=s.frames,
                        frame_bytes=s.frame_bytes,
                        frames_per_s=self._rate(f"frames {s.settings.number}", s.frames, now_s),
                        connections=s.connections,
                        silences=s.silences,
                        refused=s.refused,
                        last_age_s=(now_ns - s.last_ns) / 1e9 if s.last_ns else None,
                        clock_offset_s=(clock.offset_ns or 0) / 1e9 if clock else None,
                        clock_error_s=(clock.error_ns or 0) / 1e9 if clock else None,
                    )
                )
        lag_frames = max(last_sequence - report.watermark, 0)
        rows = {name: getattr(report.rows, name) for name in Tables.__struct_fields__}
        warnings = [*said, *(receiver.warnings.values() if receiver else ())]
        warnings += [f"not forced to the disk: {receiver.sync_failure}"] if receiver and receiver.sync_failure else []
        limit = self._memory_mb
        for who, mb in (("receiver", resident_mb()), ("follower", report.memory_mb)):
            warnings += [f"the {who} holds {mb:,.0f} MB of memory"] if mb > limit else []
        return CaptureStatistics(
            name=self._name,
            state=state,
            uptime_s=now_s - self._began_s,
            frames=frames,
            frame_bytes=frame_bytes,
            frames_per_s=sum(s.frames_per_s for s in streams),
            journal_mb=_size_mb(self._folder / JOURNAL),
            synced_frames=synced,
            lag_frames=lag_frames,
            lag_bytes=round(frame_bytes * lag_frames / last_sequence) if last_sequence else 0,
            lag_s=max((now_ns - report.watermark_ns) / 1e9, 0.0) if lag_frames and report.watermark_ns else 0.0,
            database=report.state,
            database_error=report.error,
            follower_restarts=restarts,
            batch_rows=report.batch_rows,
            rows=rows,
            rows_per_s={name: self._rate(f"rows {name}", n, now_s) for name, n in rows.items()},
            events=report.events,
            latency_p50_us=percentile_us(latency, 0.5, LATENCY_STEP_NS),
            latency_p99_us=percentile_us(latency, 0.99, LATENCY_STEP_NS),
            receiver_mb=resident_mb(),
            follower_mb=report.memory_mb,
            disk_free_mb=disk_free_mb(self._folder),
            streams=streams,
            last={
                k: {"trade": price(v.trade), "bid": price(v.bid), "ask": price(v.ask)} for k, v in report.last.items()
            },
            findings=dict(report.findings),
            notes=dict(report.notes),
            warnings=warnings,
        )

    def _rate(self, name: str, value: float, now_s: float) -> float:
        at_s, old = self._rates.get(name, (self._began_s, 0.0))
        self._rates[name] = now_s, value
        return (value - old) / (now_s - at_s) if now_s > at_s else 0.0


def _size_mb(folder: Path) -> float:
    total = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total / 1e6
