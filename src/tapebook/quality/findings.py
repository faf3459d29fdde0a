"""What a quality check reports: a name, how often, where first, how bad, and what it means."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

Severity = Literal["info", "warning", "error"]

MEANINGS: Final[dict[str, str]] = {
    "ts_event_missing": "the venue's time is missing",
    "ts_event_backwards": "the venue's time runs backwards from one event to the next",
    "ts_recv_backwards": "the receive time runs backwards: the recording is not in arrival order",
    "recv_before_event": "received before it happened: the recorder's clock is behind the venue's",
    "duplicate": "a record equals an earlier one in every field",
    "gap_flagged": "the source says that messages are missing before this record",
    "sequence_backwards": "the venue's sequence number runs backwards",
    "sequence_gaps": "numbers are missing in a sequence that counts one by one",
    "off_grid": "a resting price is no multiple of the instrument's tick",
    "off_grid_trade": "a trade between two ticks, as at the midpoint or in a block; or a wrong price or tick",
    "bad_size": "a quantity is zero or negative where it cannot be",
    "side_unknown": "a trade without an aggressor",
    "maybe_bad_flagged": "the source doubts its own book, or the reader had to correct it",
    "bad_ts_recv_flagged": "the source says that its receive time is off",
    "frozen_book": "the book stands still while trades go on",
    "trade_without_price": "a trade without a price",
    "trade_without_size": "a trade whose size the source does not tell",
    "crossed": "the best bid is above the best ask while the market is open",
    "crossed_auction": "the best bid is above the best ask outside continuous trading, as in an auction: expected",
    "locked": "the best bid equals the best ask while the market is open",
    "one_sided": "the book has one side only",
    "trade_outside_quote": "a trade printed outside the quote that stood before it",
    "orphan": "a cancel, execution or change of an order the book does not know",
    "book_anomaly": "the book had to apply a documented rule to an event that does not fit it",
    "silent": "nothing arrived for a long time inside an open session",
    "session_start_missing": "the recording begins late in a session that was already open",
    "session_end_missing": "the recording ends before the session does",
    "truncated": "the file ends early",
    "quarantined": "records that could not be read; they are kept with their bytes",
    "frozen_values": "a series of values stands still while its stamps go on",
    "rows_backwards": "rows are not in order of time",
    "rows_duplicate": "two rows with the same stamp for the same series",
    "rows_missing": "expected rows of a regular series are missing",
    "ohlc_impossible": "a bar whose high or low does not contain its open and close",
    "not_checked": "this could not be checked",
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a check found.

    Attributes
    ----------
    name
        One of :data:`MEANINGS`.
    severity
        ``info`` (to know), ``warning`` (results may be off), ``error`` (results are off where it applies).
    count
        How many cases.
    share
        Of all that were checked, 0 to 1; NaN where there is no such total.
    symbol
        The instrument, empty for the whole source.
    first_ts_ns
        Time of the first case, None if it has none.
    first_where
        Its place: position on the tape, line of the file.
    details
        Other numbers that tell the size of it, by name with units.
    """

    name: str
    severity: Severity
    count: int
    share: float = float("nan")
    symbol: str = ""
    first_ts_ns: int | None = None
    first_where: str = ""
    details: dict[str, Any] = {}

    @property
    def meaning(self) -> str:
        """What it means, in one line."""
        return MEANINGS[self.name]


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Sort the worst first, then the most frequent."""
    rank = {"error": 0, "warning": 1, "info": 2}
    return sorted(findings, key=lambda f: (rank[f.severity], -f.count, f.name, f.symbol))
