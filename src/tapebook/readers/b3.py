"""B3 level-1 files: best bid and ask and trades with aggressor, a CSV a day and symbol.

Columns: ``symbol, rpt_seq, network_received_time, event_type, md_entry_px, md_entry_size, aggressor, en_s_px_1,
en_b_px_1``.

* ``network_received_time`` is UTC with its offset written out: ``ts_recv_ns``. The venue's own time is not in the file.
* ``event_type`` book: QUOTE of the bid (``en_b_px_1``) and of the ask (``en_s_px_1``), without sizes: MISSING.
* ``event_type`` trade: TRADE of ``md_entry_size`` at ``md_entry_px``. The quote in the same row is the one that stood
  before it; it differs from the row before in none of the files known, and makes events only where it does.
* ``aggressor`` 4 bought, 3 sold, 2 names none. The files do not explain the codes; they were found by comparing prices
  with the quote of a book row directly before, over 19 days of PETR4 (March 2025): of the prints at the touch or beyond
  it, code 4 was at the ask in 1,214 of 1,240 cases (97.9 %), code 3 at the bid in 1,300 of 1,322 (98.3 %). Code 2 took
  neither side, 7 to 14 of 189, and mostly stood between them.
* ``rpt_seq`` counts every change of the instrument's whole book, of which these files keep the top: holes are the rule
  and say nothing about lost messages, so they are counted in :attr:`Tape.notes` and carry no Flag.GAP.
* Crossed quotes are B3's auctions (opening, and the closing call around 20:07 UTC) and are kept as they are. A print
  while the standing quote is crossed is the auction's: ``detail`` CROSS.

Prices went through floats on their way into the file (``34.980000000000004``). Such a one is taken as the decimal of
nine places it is the float of, and counted in the notes; what is no float of such a decimal is quarantined.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tapebook.market.catalog import instrument_for
from tapebook.market.events import MISSING, Events, Flag, Kind, Side, SideSource, TradeCondition, empty_events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.tape import Origin, Tape
from tapebook.readers.columns import BAD, EMPTY, OK, TOO_FINE, TOO_LARGE, fixed_point, iso_times, plausible, texts
from tapebook.readers.fields import lots, note
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.rows import Rows, read_rows, refuse_if_nothing_read

COLUMNS: Final = (
    "symbol",
    "rpt_seq",
    "network_received_time",
    "event_type",
    "md_entry_px",
    "md_entry_size",
    "aggressor",
    "en_s_px_1",
    "en_b_px_1",
)
AGGRESSOR: Final = {2: Side.UNKNOWN, 3: Side.SELL, 4: Side.BUY}
"""What the codes of the ``aggressor`` column mean (see above for the evidence)."""

_ULPS_MAX: Final = 4  # how many units in the last place a sum or difference of two floats may be off


def sniff(head: Head) -> int:
    """Say how sure it is that a file is such a one."""
    return 100 if tuple(name.strip() for name in head.first_line.split(",")) == COLUMNS else 0


def open_level1(path: Path, head: Head, options: ReadOptions) -> Tape:
    """Open a file."""
    tape = Tape(
        origin=Origin(name=path.name, format=FORMAT.name, schema="level-1", venue="B3"),
        read=lambda _n: iter(()),
        quarantine=options.quarantine(),
    )
    first = (head.lines[1] if len(head.lines) > 1 else "").split(",")[0]
    if options.symbol or first.isalnum():
        tape.instruments.add(instrument_for(options.symbol or first, "B3", kind="stock"))
    member = head.members[0] if head.members else ""

    def read(_events_max: int) -> Iterator[Events]:
        level1 = _Level1(tape, options.symbol)
        n_good = 0
        with open_stream(path, tape.progress, tape.quarantine, member=member) as stream:
            for rows in read_rows(
                stream,
                COLUMNS,
                file=path.name,
                quarantine=tape.quarantine,
                encoding=head.encoding,
                notes=tape.notes,
            ):
                events = level1.advance(rows)
                n_good += events.size
                if events.size:
                    yield events
        refuse_if_nothing_read(n_good, tape.quarantine, path.name)

    tape.read = read
    return tape


class _Level1:
    """Makes events of rows; remembers the standing quote and the last sequence of each instrument."""

    def __init__(self, tape: Tape, symbol: str) -> None:
        self._tape = tape
        self._symbol = symbol
        self._quote: dict[int, tuple[int, int]] = {}
        self._seen: dict[int, int] = {}

    def advance(self, rows: Rows) -> Events:
        quarantine, notes = self._tape.quarantine, self._tape.notes
        keep = np.ones(rows.n, np.bool_)
        ns, ok = iso_times(rows["network_received_time"])
        ok[(ok == OK) & ~plausible(ns)] = BAD
        rows.require(quarantine, keep, ok, "network_received_time")
        sequence, ok = fixed_point(rows["rpt_seq"], 0)
        rows.require(quarantine, keep, ok, "rpt_seq")
        kind = rows["event_type"]
        is_trade = pc.equal(kind, b"trade").to_numpy(zero_copy_only=False)
        bad = keep & ~is_trade & ~pc.equal(kind, b"book").to_numpy(zero_copy_only=False)
        if bad.any():
            rows.reject(quarantine, bad, "bad event_type", expected="book or trade", name="event_type")
            keep &= ~bad
        bid, ask = (_prices(rows, f"en_{s}_px_1", self._tape, keep, np.ones(rows.n, np.bool_)) for s in ("b", "s"))
        price = _prices(rows, "md_entry_px", self._tape, keep, ~is_trade)
        who, lot_e9 = self._whose(rows, keep)
        qty = lots(rows, "md_entry_size", quarantine, keep, lot_e9, optional=True)
        code, ok = fixed_point(rows["aggressor"], 0)
        ok[ok == EMPTY] = OK
        rows.require(quarantine, keep, ok, "aggressor")

        chosen = np.flatnonzero(keep)
        bid, ask, who, is_trade, code = bid[chosen], ask[chosen], who[chosen], is_trade[chosen], code[chosen]
        moved = self._moved(who, bid, ask, sequence[chosen])
        side = np.zeros(chosen.size, np.int8)
        for value, meaning in AGGRESSOR.items():
            side[code == value] = meaning
        note(notes, "aggressor codes of unknown meaning", int((is_trade & ~np.isin(code, list(AGGRESSOR))).sum()))

        n = np.where(is_trade, 1 + 2 * moved, 2)
        row = np.repeat(np.arange(chosen.size), n)
        end = np.cumsum(n)
        events = empty_events(row.size)
        events["ts_recv_ns"] = ns[chosen][row]
        events["sequence"] = sequence[chosen][row]
        events["instrument_id"] = who[row]
        events["kind"] = Kind.QUOTE
        quoted = ~is_trade | moved
        for k, book_side, best in ((2, Side.BID, bid), (1, Side.ASK, ask)):
            place = (end - k - is_trade)[quoted]
            events["side"][place] = book_side
            events["price"][place] = best[quoted]
        events["flags"][(end - 1 - is_trade)[quoted]] = int(Flag.LAST)
        trade = (end - 1)[is_trade]
        crossed = (bid != MISSING) & (ask != MISSING) & (bid > ask)
        events["kind"][trade] = Kind.TRADE
        events["price"][trade] = price[chosen][is_trade]
        events["qty_lots"][trade] = qty[chosen][is_trade]
        events["side"][trade] = side[is_trade]
        events["side_source"][trade] = np.where(side[is_trade] != 0, int(SideSource.VENUE), int(SideSource.NONE))
        events["detail"][trade] = np.where(crossed[is_trade], int(TradeCondition.CROSS), int(TradeCondition.REGULAR))
        events["flags"][trade] = int(Flag.LAST)
        note(notes, "rows in which the quotes cross", int(crossed.sum()))
        return events

    def _whose(self, rows: Rows, keep: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return the instrument of each row and its lot; rows without a symbol are quarantined."""
        encoded = pc.dictionary_encode(texts(rows["symbol"]))
        index = encoded.indices.to_numpy()
        names = encoded.dictionary.to_pylist()
        bad = keep & ~np.array([bool(name) and name.isascii() and name.isalnum() for name in names], np.bool_)[index]
        if bad.any():
            rows.reject(self._tape.quarantine, bad, "bad symbol", expected="a symbol such as PETR4", name="symbol")
            keep &= ~bad
        ids = np.zeros(len(names), np.uint32)
        lot_e9 = np.ones(len(names), np.int64)
        table: InstrumentTable = self._tape.instruments
        for value in np.unique(index[keep]).tolist():
            instrument = instrument_for(self._symbol or names[value], "B3", kind="stock")
            ids[value], lot_e9[value] = table.add(instrument), instrument.lot_e9
        return ids[index], lot_e9[index]

    def _moved(
        self,
        who: NDArray[np.uint32],
        bid: NDArray[np.int64],
        ask: NDArray[np.int64],
        sequence: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Say where a row's quote is not the one before it; count what the sequence says."""
        moved = np.zeros(who.size, np.bool_)
        for key in np.unique(who).tolist():
            mine = np.flatnonzero(who == key)
            before = self._quote.get(key, (MISSING, MISSING))
            for best, first in ((bid, before[0]), (ask, before[1])):
                moved[mine] |= np.diff(best[mine], prepend=np.int64(first)) != 0
            self._quote[key] = int(bid[mine[-1]]), int(ask[mine[-1]])
            step = np.diff(sequence[mine], prepend=self._seen.get(key, int(sequence[mine[0]]) - 1))
            note(
                self._tape.notes,
                "changes of the book that the file leaves out (rpt_seq)",
                int((step - 1).clip(0).sum()),
            )
            note(self._tape.notes, "rpt_seq repeats or runs backwards", int((step < 1).sum()))
            self._seen[key] = int(sequence[mine[-1]])
        return moved


def _prices(
    rows: Rows, name: str, tape: Tape, keep: NDArray[np.bool_], may_be_empty: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Read prices that went through a float; ``keep`` loses the rows in which that cannot be undone."""
    value, ok = fixed_point(rows[name])
    odd = np.flatnonzero((ok == TOO_FINE) | (ok == TOO_LARGE))
    if odd.size:
        encoded = pc.dictionary_encode(rows[name].take(pa.array(odd)))
        repaired = [decimal_of(text.decode("utf-8", "replace")) for text in encoded.dictionary.to_pylist()]
        good = np.array([r is not None for r in repaired], np.bool_)[encoded.indices.to_numpy()]
        value[odd] = np.array([r if r is not None else MISSING for r in repaired], np.int64)[encoded.indices.to_numpy()]
        ok[odd[good]] = OK
        note(tape.notes, "prices with the residue of a float", int(good.sum()))
    ok[(ok == EMPTY) & may_be_empty] = OK
    rows.require(tape.quarantine, keep, ok, name)
    return value


def decimal_of(text: str) -> int | None:
    """Return the decimal of nine places that a float's digits stand for, in units of 1e-9; None if they stand for none.

    >>> decimal_of("34.980000000000004"), decimal_of("34.98000001234")
    (34980000000, None)
    """
    try:
        exact = Decimal(text)
        nearest = exact.quantize(Decimal("1e-9"))
    except ArithmeticError:
        return None
    residue = abs(exact - nearest)
    if residue > Decimal(float(np.spacing(abs(float(text))))) * _ULPS_MAX:
        return None
    scaled = int(nearest.scaleb(9))
    return scaled if abs(scaled) < 1 << 62 else None


FORMAT = Format(
    name="b3-level1",
    title="B3 level-1 files: best bid and ask, trades with aggressor",
    sniff=sniff,
    open=open_level1,
    example="PETR4_05032025.csv",
)
