"""What a parser of ProjectX remembers of each contract, and how it is written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.operators import State
from tapebook.venues.pack import who_word
from tapebook.venues.projectx.figures import on_grid
from tapebook.venues.projectx.forms import Notes, Unreadable
from tapebook.venues.projectx.levels import Levels
from tapebook.venues.signalr import Splitter

__all__ = ["UNTOLD", "Memory", "restored", "saved"]

UNTOLD: Final = MISSING + 1
"""A side of the quote that was never told; MISSING is an empty side."""

_UNITS_MAX: Final = 1 << 14
_NUMBERS: Final = ("bid", "ask", "live", "broken", "seen", "trade_lots", "print_lots")


class Memory:
    """One contract: who it is, its touch as quotes told it, and the prices that stand in its book."""

    __slots__ = (*_NUMBERS, "id", "instrument_id", "levels", "tick_e9", "units", "who")

    def __init__(self, contract_id: str, instrument_id: int, tick_e9: int, levels_max: int) -> None:
        self.id, self.instrument_id, self.tick_e9 = contract_id, instrument_id, tick_e9
        self.who = who_word(instrument_id)
        self.levels = Levels(levels_max)
        self.units: dict[float, int] = {}  # prices that were read lately: a lookup is a tenth of the work
        self.bid = self.ask = UNTOLD
        self.live = 0  # depth makes the book
        self.broken = 0  # something is missing before the next event
        self.seen = 0  # there were events
        self.trade_lots = self.print_lots = 0

    def forget(self) -> None:
        """Know of no quote and no level any more."""
        self.bid = self.ask = UNTOLD
        self.live = 0
        self.levels.clear()

    def price(self, price: float, note: Notes) -> int:
        """Return a price in units of 1e-9; one off the grid makes its message unreadable."""
        units, noisy = on_grid(price, self.tick_e9)
        if units == MISSING:
            raise Unreadable("a price off the grid", f"a multiple of {self.tick_e9}e-9", repr(price))
        if noisy:
            note("prices with a double's noise taken off")
            return units
        if len(self.units) >= _UNITS_MAX:
            self.units.clear()
        self.units[price] = units
        return units


def saved(memories: Sequence[Memory], splitter: Splitter) -> State:
    """Return copies of everything, as plain arrays."""
    sides = [side for m in memories for side in (m.levels.bids, m.levels.asks)]
    numbers = [[getattr(m, name) for name in _NUMBERS] for m in memories]
    return {
        "contracts": np.array(numbers, np.int64).reshape(-1, len(_NUMBERS)),
        "touches": np.array([m.levels.touch for m in memories], np.int64).reshape(-1, 2),
        "n_levels": np.array([len(side) for side in sides], np.int64),
        "levels": np.array([key for side in sides for key in side], np.int64),
        "rest": np.frombuffer(bytes(splitter.rest), np.uint8).copy(),
        "rest_head": np.array([splitter.rest_ns, splitter.dropped], np.int64),
    }


def restored(state: State, memories: Sequence[Memory], splitter: Splitter) -> None:
    """Take everything up again."""
    if len(state["contracts"]) != len(memories):
        raise ConfigurationError(
            "a parser's memory of other contracts",
            expected=f"{len(memories)} contracts",
            found=str(len(state["contracts"])),
        )
    ends = np.cumsum(state["n_levels"]).tolist()
    starts = [0, *ends[:-1]]
    for place, memory in enumerate(memories):
        for name, value in zip(_NUMBERS, state["contracts"][place].tolist(), strict=True):
            setattr(memory, name, value)
        levels = memory.levels
        levels.clear()
        for side, keys in enumerate((levels.bids, levels.asks)):
            keys.extend(state["levels"][starts[2 * place + side] : ends[2 * place + side]].tolist())
            levels.touch[side] = int(state["touches"][place, side])
    splitter.rest = bytearray(state["rest"].tobytes())
    splitter.rest_ns, splitter.dropped = (int(v) for v in state["rest_head"])
