"""A MetaTrader 5 terminal: the official module's functions, here on Windows or behind an RPyC server elsewhere.

The module talks to a running terminal of the same machine and exists for Windows only. Elsewhere a Python beside the
terminal (under Wine, in a virtual machine) runs an RPyC *classic* server, such as mt5linux' ``python -m mt5linux`` or
``rpyc_classic``; whoever can reach its port can run anything there, so it belongs on a loopback address. We ourselves
offer it nothing (RPyC's ``MasterService``), and what is asked goes over in one round trip (``calls.py``).

All functions block and belong on one thread.
"""

from __future__ import annotations

import inspect
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError, VenueError, VenueProtocolError, VenueUnreachable
from tapebook.venues.credentials import Secret
from tapebook.venues.mt5 import calls
from tapebook.venues.mt5.wire import Line, ticks_of

__all__ = ["Call", "Terminal", "local_call", "remote_call"]

_MODULE: Final = "MetaTrader5"
_HISTORY_TRIES: Final = 20


class Call(Protocol):
    """Asks one of the questions of ``calls.py``."""

    def __call__(self, name: str, *values: object) -> calls.Answer:
        """Return the answer and the terminal's error."""
        ...

    def close(self) -> None:
        """Let go of the way to the module."""
        ...


class _Local:
    def __init__(self, module: Any) -> None:
        self._module = module

    def __call__(self, name: str, *values: object) -> calls.Answer:
        ask: Callable[..., calls.Answer] = getattr(calls, name)
        return ask(self._module, *values)

    def close(self) -> None:
        """Nothing is held."""


def local_call() -> Call:
    """Return what asks the module of this Python.

    Raises
    ------
    ConfigurationError
        If it has none.
    """
    try:
        module = __import__(_MODULE)
    except ImportError:
        raise ConfigurationError(
            "the module MetaTrader5 is not here",
            expected="Windows, with pip install MetaTrader5, and a running terminal",
            found=sys.platform,
            remedy="elsewhere start an RPyC server beside the terminal and name it: --host 127.0.0.1 --port 18812",
        ) from None
    return _Local(module)


class _Remote:
    def __init__(self, connection: Any, host: str) -> None:
        self._connection, self._where = connection, host
        connection.execute(inspect.getsource(calls))
        connection.execute(f"import {_MODULE} as _module")
        self._ask = connection.eval("lambda name, values: globals()[name](_module, *values)")

    def __call__(self, name: str, *values: object) -> calls.Answer:
        try:
            value, error = self._ask(name, values)
        except (EOFError, OSError, TimeoutError) as problem:
            found = f"{type(problem).__name__} {problem}"[:300]
            raise VenueUnreachable("the RPyC server does not answer", found=found, where=self._where) from None
        except Exception as problem:  # noqa: BLE001 - whatever the far end raised arrives, its trace in its text
            found = f"{type(problem).__name__} {str(problem).splitlines()[0] if str(problem) else ''}"[:300]
            raise VenueProtocolError(f"the question {name} failed there", found=found, where=self._where) from None
        return value, str(error)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def remote_call(host: str, port: int, *, timeout_s: float = 30.0) -> Call:
    """Return what asks the module behind an RPyC classic server.

    Raises
    ------
    ConfigurationError
        If the extra is not installed.
    VenueUnreachable
        If nobody listens there.
    VenueProtocolError
        If somebody does, without the module.
    """
    try:
        from rpyc.core.service import MasterService
        from rpyc.core.stream import SocketStream
        from rpyc.utils.factory import connect_stream
    except ImportError:
        raise ConfigurationError(
            "the package rpyc is not here", expected="the extra mt5", remedy="pip install 'tapebook[mt5]'"
        ) from None
    where = f"{host}:{port}"
    try:
        # Not rpyc.connect: it leaves its socket open where nobody listens.
        plug = socket.create_connection((host, port), timeout=timeout_s)
        plug.settimeout(None)
        config = {"sync_request_timeout": timeout_s}
        connection = connect_stream(SocketStream(plug), service=MasterService, config=config)
    except (OSError, EOFError, TimeoutError) as error:
        raise VenueUnreachable(
            "no RPyC server answers",
            found=str(error),
            where=where,
            remedy="start one beside the terminal: python -m mt5linux, or rpyc_classic --host 127.0.0.1",
        ) from None
    try:
        return _Remote(connection, where)
    except Exception as error:  # noqa: BLE001 - as in a call: whatever the far end raised
        connection.close()
        text = str(error).splitlines()[0] if str(error) else ""
        raise VenueProtocolError(
            "the RPyC server cannot use the module MetaTrader5",
            found=f"{type(error).__name__} {text}"[:300],
            where=where,
            remedy="start it with a Python that has it: on Windows, or under Wine",
        ) from None


class Terminal:
    """What is asked of a terminal, with its errors raised.

    Parameters
    ----------
    call
        :func:`local_call` or :func:`remote_call`.
    path
        The terminal's program; empty: the one that runs, or the last one used.
    start_s
        How long it may take to start.
    """

    def __init__(self, call: Call, *, path: str = "", start_s: float = 60.0) -> None:
        self._call = call
        self._symbols: list[str] = []
        try:
            self.build, self.connected, self.company = self._ask("start", path, round(start_s * 1000))
        except VenueError:
            call.close()
            raise

    def alive(self) -> bool:
        """Whether the terminal runs and reaches its broker."""
        _, self.connected, self.company = self._ask("alive")
        return bool(self.connected)

    def login(self, account: int, password: Secret, server: str) -> None:
        """Log in to an account."""
        self._ask("login", account, password.reveal(), server)

    def select(self, symbol: str, *, with_book: bool) -> bool:
        """Begin to hear a symbol; return whether its book can be had, if it is wanted."""
        with_it = bool(self._ask("select", symbol, with_book))
        if with_book and with_it:
            self._symbols.append(symbol)
        return with_it

    def describe(self, symbol: str) -> dict[str, float | str | bool]:
        """Return what the broker says of a symbol."""
        return dict(self._ask("describe", symbol))

    def last_tick_ms(self, symbol: str) -> int:
        """Return the server's time of the newest tick, 0 if there is none."""
        return int(self._ask("last_tick_ms", symbol))

    def ticks(self, symbol: str, from_s: int, to_s: int) -> NDArray[Any]:
        """Return the ticks between two seconds of the server's clock, both included."""
        data: bytes = self._ask("ticks", symbol, from_s, to_s)
        try:
            return ticks_of(data)
        except ValueError as error:
            raise VenueProtocolError("ticks that are no whole rows", found=str(error), where=symbol) from None

    def book(self, symbol: str) -> tuple[Line, ...]:
        """Return the lines of the book as it stands."""
        lines: Sequence[Line] = self._ask("book", symbol)
        return tuple((int(kind), float(price), float(volume)) for kind, price, volume in lines)

    def history(self, symbol: str, from_s: int, to_s: int, pause: Callable[[], None]) -> NDArray[Any]:
        """Return the ticks of an old range, which the terminal may first have to fetch: until two answers agree.

        Parameters
        ----------
        from_s, to_s
            Seconds of the server's clock, both included.
        pause
            Waits between two questions.
        """
        before = np.zeros(0, np.uint8)
        for attempt in range(_HISTORY_TRIES):
            rows = self.ticks(symbol, from_s, to_s)
            if attempt and rows.size * rows.itemsize == before.size and rows.tobytes() == before.tobytes():
                return rows
            before = rows.view(np.uint8)
            pause()
        raise VenueProtocolError(
            "the terminal's history does not come to rest",
            found=f"another answer each of {_HISTORY_TRIES} times",
            where=symbol,
            remedy="ask for a shorter range, or wait until the terminal has loaded it",
        )

    def close(self) -> None:
        """Close the books and let go."""
        try:
            self._ask("close", tuple(self._symbols))
        except VenueError:
            pass  # it is gone already
        finally:
            self._call.close()

    def _ask(self, name: str, *values: object) -> Any:
        value, error = self._call(name, *values)
        if value is None:
            raise VenueUnreachable(f"the terminal does not answer {name}", found=error, where=_where(values))
        return value


def _where(values: tuple[object, ...]) -> str:
    return values[0] if values and isinstance(values[0], str) else "MetaTrader 5"
