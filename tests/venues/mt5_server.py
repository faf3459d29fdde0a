"""A real RPyC classic server with a module MetaTrader5 that serves a recording, as one beside a terminal has.

``python -m tests.venues.mt5_server FOLDER``: ``FOLDER/ticks.npy`` holds the ticks of SYMBOL, ``FOLDER/books.json`` its
books by time. Time runs by itself: what lies later than the module's clock has not happened yet. Files in the folder
switch faults on: ``broker-lost``, ``gone`` (the terminal has ended), ``hang``, ``reloaded`` (its history is another).
"""

from __future__ import annotations

import json
import sys
import time
from collections import namedtuple
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

SYMBOL = "WINQ26"
NO_BOOK = "IBOV"

Info = namedtuple("Info", "build connected company")  # noqa: PYI024 - as the extension's own results are
SymbolInfo = namedtuple("SymbolInfo", "name digits point trade_tick_size volume_step select nothing")  # noqa: PYI024
Tick = namedtuple("Tick", "time bid ask last time_msc")  # noqa: PYI024
BookInfo = namedtuple("BookInfo", "type price volume volume_dbl")  # noqa: PYI024


def make_module(folder: Path, *, speed: float) -> Any:
    """Return the module; its clock begins at the first tick."""
    ticks = np.load(folder / "ticks.npy")
    books: list[tuple[int, list[tuple[int, float, float]]]] = json.loads((folder / "books.json").read_text())
    begun = time.monotonic()
    first_ms = int(ticks["time_msc"][0])
    module: Any = ModuleType("MetaTrader5")
    module.COPY_TICKS_ALL = -1
    selected: set[str] = set()
    opened: set[str] = set()
    state = {"error": (1, "Success")}

    def now_ms() -> int:
        return first_ms + int((time.monotonic() - begun) * 1000 * speed)

    def happened() -> Any:
        return ticks[ticks["time_msc"] <= now_ms()]

    def gone() -> bool:
        while (folder / "hang").exists():
            time.sleep(0.05)
        if (folder / "gone").exists():
            state["error"] = (-10004, "No IPC connection")
            return True
        return False

    def initialize(path: str = "", timeout: int = 60000) -> bool:
        return not gone()

    def terminal_info() -> Any:
        return None if gone() else Info(4755, not (folder / "broker-lost").exists(), "A Broker")

    def symbol_select(symbol: str, enable: bool = True) -> bool:
        known = symbol in (SYMBOL, NO_BOOK)
        if known:
            selected.add(symbol)
        else:
            state["error"] = (-1, "Terminal: Call failed")
        return known and not gone()

    def symbol_info(symbol: str) -> Any:
        return None if gone() else SymbolInfo(symbol, 0, 1.0, 5.0, 1.0, True, None)

    def symbol_info_tick(symbol: str) -> Any:
        if gone():
            return None
        newest = happened()[-1]
        return Tick(int(newest["time"]), newest["bid"], newest["ask"], newest["last"], int(newest["time_msc"]))

    def copy_ticks_range(symbol: str, date_from: int, date_to: int, flags: int) -> Any:
        if gone() or symbol not in selected:
            return None
        rows = happened()
        seconds = rows["time_msc"] // 1000
        found = rows[(seconds >= date_from) & (seconds <= date_to)].copy()
        return found[1:] if (folder / "reloaded").exists() else found

    def market_book_add(symbol: str) -> bool:
        if symbol != SYMBOL or gone():
            return False
        opened.add(symbol)
        return True

    def market_book_get(symbol: str) -> Any:
        if gone() or symbol not in opened:
            return None
        past = [lines for ms, lines in books if ms <= now_ms()]
        return tuple(BookInfo(int(t), p, int(v), v) for t, p, v in (past[-1] if past else []))

    def market_book_release(symbol: str) -> bool:
        opened.discard(symbol)
        return True

    def last_error() -> Any:
        return state["error"]

    def shutdown() -> None:
        selected.clear()

    for function in (
        initialize, terminal_info, symbol_select, symbol_info, symbol_info_tick, copy_ticks_range, market_book_add,
        market_book_get, market_book_release, last_error, shutdown,
    ):  # fmt: skip
        setattr(module, function.__name__, function)
    return module


def main() -> None:
    """Serve on a free port of the loopback address, and say which."""
    from rpyc.core.service import SlaveService
    from rpyc.utils.server import ThreadedServer

    folder, speed = Path(sys.argv[1]), float(sys.argv[2])
    sys.modules["MetaTrader5"] = make_module(folder, speed=speed)
    server = ThreadedServer(SlaveService, hostname="127.0.0.1", port=0)
    (folder / "port.part").write_text(str(server.port))
    (folder / "port.part").rename(folder / "port")
    server.start()


if __name__ == "__main__":
    main()
