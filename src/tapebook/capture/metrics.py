"""The same figures for Prometheus, on a loopback port (extra ``metrics``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from tapebook.capture.status import CaptureStatistics
from tapebook.market.errors import ConfigurationError

__all__ = ["Metrics"]


class _Says(Protocol):
    def __call__(self) -> CaptureStatistics | None: ...


class Metrics:
    """Serves what ``statistics`` returns.

    Parameters
    ----------
    port
        On 127.0.0.1; 0 takes a free one.
    statistics
        Returns the last statistics, or None before the first.

    Raises
    ------
    ConfigurationError
        If the extra is not installed or the port is taken.
    """

    def __init__(self, port: int, statistics: _Says) -> None:
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError:
            raise ConfigurationError(
                "Prometheus metrics need another package", remedy="pip install 'tapebook[metrics]'"
            ) from None
        self._statistics = statistics
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, addr="127.0.0.1", registry=registry)
        except OSError as error:
            raise ConfigurationError(
                "the port for metrics is not free", found=f"{port}: {error.strerror}", where="--metrics"
            ) from None
        self.port: int = self._server.server_port

    def collect(self) -> Iterator[Any]:
        """Yield the figures; called for each request."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        now = self._statistics()
        if now is None:
            return
        gauges = {
            "lag_frames": ("Frames that the database is behind the journal.", now.lag_frames),
            "lag_bytes": ("Bytes of them.", now.lag_bytes),
            "lag_seconds": ("Age of the last frame in the database, while there are newer ones.", now.lag_s),
            "journal_bytes": ("Size of the journal's folder.", now.journal_mb * 1e6),
            "receiver_memory_bytes": ("Resident memory of the receiver.", now.receiver_mb * 1e6),
            "follower_memory_bytes": ("Resident memory of the follower.", now.follower_mb * 1e6),
            "disk_free_bytes": ("Free space where the journal is.", now.disk_free_mb * 1e6),
            "database_up": ("1 while rows are written.", float(now.database == "following")),
            "latency_p99_seconds": ("From arrival to journal.", (now.latency_p99_us or 0.0) / 1e6),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"tapebook_{name}", text, value=value)
        yield CounterMetricFamily("tapebook_follower_restarts", "Times it was started again.", now.follower_restarts)
        rows = CounterMetricFamily("tapebook_rows", "Rows written.", labels=["table"])
        for table, n in now.rows.items():
            rows.add_metric([table], n)
        yield rows
        findings = CounterMetricFamily("tapebook_findings", "Findings by sort.", labels=["finding"])
        for finding, n in now.findings.items():
            findings.add_metric([finding], n)
        yield findings
        for name, text in (("frames", "Received."), ("frame_bytes", "Received."), ("connections", "Made.")):
            family = CounterMetricFamily(f"tapebook_{name}", text, labels=["line"])
            for stream in now.streams:
                family.add_metric([stream.name], getattr(stream, name))
            yield family
        live = GaugeMetricFamily("tapebook_line_up", "1 while the line is live.", labels=["line"])
        for stream in now.streams:
            live.add_metric([stream.name], float(stream.state == "live"))
        yield live

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
