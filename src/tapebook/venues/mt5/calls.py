"""What is asked of the module ``MetaTrader5``: the same text runs here and beside the terminal.

On Windows the module is imported and these are called with it. Elsewhere the text of this file is sent once to the
Python that has the module (an RPyC server under Wine or on a Windows machine) and called there: one round trip a
question, and what comes back is bytes, numbers and tuples. So nothing is imported here but the standard library, and it
runs on Python 3.9.

Every answer is a pair ``(value, error)``: the value, or None and the terminal's ``last_error()`` as text.
"""

from __future__ import annotations

from typing import Any

Answer = tuple[Any, str]


def _answer(module: Any, value: Any) -> Answer:
    return (value, "") if value is not None else (None, str(module.last_error()))


def start(module: Any, path: str, timeout_ms: int) -> Answer:
    """Attach to the terminal, starting it if need be; return (build text, connected)."""
    done = module.initialize(path, timeout=timeout_ms) if path else module.initialize(timeout=timeout_ms)
    if not done:
        return _answer(module, None)
    return alive(module)


def alive(module: Any) -> Answer:
    """Return (build, connected to the broker, name of the broker's company)."""
    info = module.terminal_info()
    if info is None:
        return _answer(module, None)
    return (int(info.build), bool(info.connected), str(info.company)), ""


def login(module: Any, account: int, password: str, server: str) -> Answer:
    """Log in to a broker's account; the terminal remembers the last one, so that this is seldom needed."""
    done = module.login(account, password=password, server=server)
    return _answer(module, True if done else None)


def select(module: Any, symbol: str, with_book: bool) -> Answer:
    """Put a symbol into Market Watch, and open its book: without that there are no ticks and no levels."""
    if not module.symbol_select(symbol, True):
        return _answer(module, None)
    return (not with_book) or bool(module.market_book_add(symbol)), ""


def describe(module: Any, symbol: str) -> Answer:
    """Return what the broker says of a symbol, numbers and texts by name."""
    info = module.symbol_info(symbol)
    if info is None:
        return _answer(module, None)
    named = info._asdict()  # the object itself belongs to the extension and travels badly
    return tuple((key, value) for key, value in named.items() if isinstance(value, (int, float, str))), ""


def last_tick_ms(module: Any, symbol: str) -> Answer:
    """Return when the last tick of a symbol came, by the server's clock; 0 if none ever did."""
    tick = module.symbol_info_tick(symbol)
    return _answer(module, None if tick is None else int(tick.time_msc))


def ticks(module: Any, symbol: str, from_s: int, to_s: int) -> Answer:
    """Return the ticks from one second of the server's clock to another, both included, as the array's own bytes."""
    found = module.copy_ticks_range(symbol, from_s, to_s, module.COPY_TICKS_ALL)
    return _answer(module, None if found is None else found.tobytes())


def book(module: Any, symbol: str) -> Answer:
    """Return the book's lines (type, price, volume) as the terminal shows them."""
    lines = module.market_book_get(symbol)
    if lines is None:
        return _answer(module, None)
    return tuple((int(line.type), float(line.price), float(line.volume_dbl or line.volume)) for line in lines), ""


def close(module: Any, symbols: tuple[str, ...]) -> Answer:
    """Close the books and let go of the terminal; it goes on running."""
    for symbol in symbols:
        module.market_book_release(symbol)
    module.shutdown()
    return True, ""
