"""Two captured sessions side by side: the same statistics, and what one heard that the other did not.

Two captures of one market stamp the same message at different times, so events are matched by what the venue said:
contract, kind, side, price, size, the venue's time and numbers. Compared is, for each contract and kind, the time that
both heard on the venue's clock (from the later first event to the earlier last one), and news only: a snapshot, or a
book that begins anew, belongs to a connection and not to the market.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tapebook.capture.session_report import contract_row, is_news, statistics_of_session
from tapebook.capture.session_tape import From, session_tape
from tapebook.capture.sessions import Captured
from tapebook.market.events import MISSING, Events, Kind
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Progress, Tape
from tapebook.store.schema import TABLES

__all__ = ["Comparison", "compare_sessions"]

_PARTS: Final = 64
_KEY: Final = np.dtype([("hash", "<u8"), ("clock", "<i8"), ("contract", "<u4"), ("kind", "<u1")])
_MATCHED: Final = ("ts_event_ns", "price", "qty_lots", "order_id", "sequence", "count", "kind", "side", "detail")
_Spans: TypeAlias = dict[tuple[int, int], tuple[int, int]]
"""By contract and kind: from when to when, on the venue's clock."""

_NUMBERS: Final = ("gaps", "gap_s", "findings", "traded_size", "span_s")
_EXAMPLES: Final = 20


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What two sessions have in common, and what not; all of it is JSON-able.

    Attributes
    ----------
    names
        Of the two.
    contracts
        By contract: the statistics of both, and the second's less the first's.
    start_ns, end_ns
        What both heard, on the venue's clock, of whatever contract and kind; None where they do not overlap.
    events
        By contract and kind that both heard at one time: in both, in the first only, in the second only.
    examples
        The earliest of those that one alone has.
    """

    names: tuple[str, str]
    contracts: list[dict[str, Any]]
    start_ns: int | None
    end_ns: int | None
    events: list[dict[str, Any]]
    examples: list[dict[str, Any]]

    @property
    def same(self) -> bool:
        """Whether both heard the same in the time they share."""
        return not any(row["first_only"] or row["second_only"] for row in self.events)


def compare_sessions(
    first: Captured, second: Captured, *, source: From = "", progress: Progress | None = None
) -> Comparison:
    """Compare two sessions; memory stays bounded, whatever their length.

    Parameters
    ----------
    first, second
        Which ones.
    source
        Where their events are read from, as :func:`~tapebook.capture.sessions.session_tape` takes it.
    progress
        Told how far it is.
    """
    pair = first, second
    names: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="tapebook-compare-") as folder:
        sides = [
            _keys(session, source, Path(folder) / str(i), names, progress or Progress())
            for i, session in enumerate(pair)
        ]
        spans = _overlaps(sides[0], sides[1])
        counts: dict[tuple[int, int], list[int]] = {key: [0, 0, 0] for key in spans}
        examples: list[tuple[int, int, int, int]] = []
        for part in range(_PARTS) if spans else ():
            both = [_load(Path(folder) / str(i) / str(part), spans) for i in (0, 1)]
            _match(both, counts, examples)
    words = {number: name for name, number in names.items()}
    examples.sort()
    return Comparison(
        names=(first.label, second.label),
        contracts=_side_by_side(first, second),
        start_ns=min((start for start, _ in spans.values()), default=None),
        end_ns=max((end for _, end in spans.values()), default=None),
        events=[
            {"contract_id": words[contract], "kind": Kind(kind).name.lower()}
            | dict(zip(("both", "first_only", "second_only"), found, strict=True))
            for (contract, kind), found in sorted(counts.items(), key=lambda item: (words[item[0][0]], item[0][1]))
        ],
        examples=[
            {
                "only_in": (first.label, second.label)[side],
                "ts_ns": clock,
                "contract_id": words[contract],
                "kind": Kind(kind).name.lower(),
            }
            for clock, side, contract, kind in examples[:_EXAMPLES]
        ],
    )


def _keys(session: Captured, source: From, folder: Path, names: dict[str, int], progress: Progress) -> _Spans:
    """Write the keys of a session's news into files by their hash; return when it heard what."""
    folder.mkdir()
    tape = session_tape(session, source=source, quarantine=Quarantine(keep=0))
    tape.progress = progress
    numbers = _numbers(session, tape, names)
    spans: _Spans = {}
    files = [(folder / str(part)).open("wb") for part in range(_PARTS)]
    try:
        for events in _news(tape):
            clock = np.where(events["ts_event_ns"] == MISSING, events["ts_recv_ns"], events["ts_event_ns"])
            keys = np.empty(events.size, _KEY)
            keys["clock"], keys["kind"] = clock, events["kind"]
            keys["contract"] = numbers[events["instrument_id"]]
            keys["hash"] = _hash(events, keys["contract"])
            _see(spans, keys)
            places = keys["hash"] % _PARTS
            for part in np.unique(places).tolist():
                files[part].write(keys[places == part].tobytes())
    finally:
        for file in files:
            file.close()
    return spans


def _news(tape: Tape) -> Iterator[Events]:
    for events in tape.blocks():
        found = events[is_news(events)]
        if found.size:
            yield found


def _numbers(session: Captured, tape: Tape, names: dict[str, int]) -> NDArray[np.uint32]:
    """Return, by ``instrument_id``, the number that both sessions give its contract."""
    from tapebook.capture.decode import Decoder

    decoder = Decoder(session.sources)
    out = np.zeros(max(tape.instruments, default=0) + 1, np.uint32)
    for instrument_id in tape.instruments:
        name = decoder.contracts[int(decoder.contract_of[instrument_id])][0]
        out[instrument_id] = names.setdefault(name, len(names))
    return out


def _hash(events: Events, contract: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return 64 bits of each event: splitmix64, one field after the other."""
    out = contract.astype(np.uint64)
    for name in _MATCHED:
        values = events[name].astype(np.int64) if events[name].dtype != np.uint64 else events[name]
        out ^= values.view(np.uint64)
        out += np.uint64(0x9E3779B97F4A7C15)
        out = (out ^ (out >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        out = (out ^ (out >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        out ^= out >> np.uint64(31)
    return out


def _see(spans: _Spans, keys: NDArray[Any]) -> None:
    """Note the first event of each contract and kind, and the latest."""
    kinds, first = np.unique(keys[["contract", "kind"]], return_index=True)
    for found, at in zip(kinds, first.tolist(), strict=True):
        mine = keys["clock"][(keys["contract"] == found["contract"]) & (keys["kind"] == found["kind"])]
        key = int(found["contract"]), int(found["kind"])
        start, end = spans.get(key, (int(keys["clock"][at]), MISSING))
        spans[key] = start, max(end, int(mine.max()))


def _overlaps(first: _Spans, second: _Spans) -> _Spans:
    both = {
        key: (max(first[key][0], second[key][0]), min(first[key][1], second[key][1]))
        for key in first.keys() & second.keys()
    }
    return {key: (start, end) for key, (start, end) in both.items() if start <= end}


def _load(path: Path, spans: _Spans) -> NDArray[Any]:
    """Read the keys of a file that lie in the time that both heard, sorted by hash."""
    keys = np.fromfile(path, _KEY)
    keep = np.zeros(keys.size, np.bool_)
    for (contract, kind), (start, end) in spans.items():
        mine = (keys["contract"] == contract) & (keys["kind"] == kind)
        keep |= mine & (keys["clock"] >= start) & (keys["clock"] <= end)
    keys = keys[keep]
    return keys[np.argsort(keys["hash"], kind="stable")]


def _match(
    both: list[NDArray[Any]], counts: dict[tuple[int, int], list[int]], examples: list[tuple[int, int, int, int]]
) -> None:
    """Count what two sorted lists of keys share, each as often as it occurs."""
    place = [_occurrence(keys["hash"]) for keys in both]
    pairs = [np.rec.fromarrays([keys["hash"], n]) for keys, n in zip(both, place, strict=True)]
    for side in (0, 1):
        alone = ~np.isin(pairs[side], pairs[1 - side]) if both[side].size else np.zeros(0, np.bool_)
        for keys, column in ((both[side][~alone], 0), (both[side][alone], 1 + side)):
            if column == 0 and side == 1:
                continue
            kinds, n = np.unique(keys[["contract", "kind"]], return_counts=True)
            for (contract, kind), count in zip(kinds.tolist(), n.tolist(), strict=True):
                counts[contract, kind][column] += count
        found = np.sort(both[side][alone], order="clock")[:_EXAMPLES]
        examples += [(int(k["clock"]), side, int(k["contract"]), int(k["kind"])) for k in found]


def _occurrence(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return how many equal ones stand before each of a sorted list.

    >>> _occurrence(np.array([3, 3, 7, 9, 9, 9], np.uint64)).tolist()
    [0, 1, 0, 0, 1, 2]
    """
    at = np.arange(hashes.size)
    fresh = np.append(True, hashes[1:] != hashes[:-1])[: hashes.size]
    return at - np.maximum.accumulate(np.where(fresh, at, 0)) if hashes.size else at


def _side_by_side(first: Captured, second: Captured) -> list[dict[str, Any]]:
    rows: dict[str, list[dict[str, Any] | None]] = {}
    for i, session in enumerate((first, second)):
        for one in statistics_of_session(session).contracts:
            rows.setdefault(one.contract_id, [None, None])[i] = contract_row(one)
    out = []
    for contract_id, (a, b) in sorted(rows.items()):
        entry: dict[str, Any] = {"contract_id": contract_id, "first": a, "second": b, "difference": None}
        if a is not None and b is not None:
            entry["difference"] = {t: b["rows"][t] - a["rows"][t] for t in TABLES} | {
                name: b[name] - a[name] if None not in (a[name], b[name]) else None for name in _NUMBERS
            }
        out.append(entry)
    return out
