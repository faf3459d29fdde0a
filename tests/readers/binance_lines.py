"""Lines of Binance recordings for tests: a venue of one instrument that sends its book, and a recorder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

RECV_NS = 1_723_161_256_000_000_000


@dataclass
class Market:
    """Sends a stream of messages; ``book`` is what it has, to the last level."""

    futures: bool = False
    symbol: str = "BTCUSDT"
    last: int = 1_000
    book: dict[str, dict[str, str]] = field(default_factory=lambda: {"b": {}, "a": {}})
    trade_id: int = 100
    n: int = 0

    def line(self, message: dict[str, Any]) -> bytes:
        self.n += 1
        return b"%d %s" % (RECV_NS + self.n * 1_000_000, json.dumps(message, separators=(",", ":")).encode())

    def _stream(self, what: str, data: dict[str, Any]) -> bytes:
        return self.line({"stream": f"{self.symbol.lower()}@{what}", "data": data})

    def diff(self, b: dict[str, str], a: dict[str, str], n_ids: int = 3) -> bytes:
        before, first = self.last, self.last + 1
        self.last += n_ids
        for side, levels in (("b", b), ("a", a)):
            for price, qty in levels.items():
                self.book[side].pop(price, None)
                if float(qty):
                    self.book[side][price] = qty
        data: dict[str, Any] = {"e": "depthUpdate", "E": 1723161257000 + self.n, "s": self.symbol, "U": first}
        data |= {"u": self.last, "b": list(b.items()), "a": list(a.items())}
        if self.futures:
            data |= {"T": 1723161256000 + self.n, "pu": before}
        return self._stream("depth@100ms", data)

    def snapshot(self) -> bytes:
        message: dict[str, Any] = {"lastUpdateId": self.last, "bids": list(self.book["b"].items())}
        return self.line(message | {"asks": list(self.book["a"].items())})

    def ticker(self, b: str, a: str) -> bytes:
        data: dict[str, Any] = {"u": self.last, "s": self.symbol, "b": b, "B": "1.5", "a": a, "A": "2.5"}
        if self.futures:
            data |= {"e": "bookTicker", "T": 1723161256000 + self.n, "E": 1723161257000 + self.n}
        return self._stream("bookTicker", data)

    def trade(self, price: str, qty: str, *, buyer_is_maker: bool, what: str = "trade", **more: Any) -> bytes:
        self.trade_id += 1
        data: dict[str, Any] = {"e": what, "E": 1723161257000, "s": self.symbol, "p": price, "q": qty}
        data |= {"T": 1723161256000 + self.n, "m": buyer_is_maker}
        data |= {"t": self.trade_id} if what == "trade" else {"a": self.trade_id, "f": 1, "l": 2}
        return self._stream(what, data | more)

    def walk(self, seed: int, n: int) -> list[bytes]:
        """Random diffs, tickers and trades around 100, never crossed."""
        rng = np.random.default_rng(seed)
        lines = []
        for _ in range(n):
            roll = rng.random()
            if roll < 0.5:
                bids = {f"{100 - int(k)}.00": f"{rng.integers(0, 4)}.000" for k in rng.integers(1, 9, 3)}
                asks = {f"{100 + int(k)}.00": f"{rng.integers(0, 4)}.000" for k in rng.integers(1, 9, 2)}
                lines.append(self.diff(bids, asks))
            elif roll < 0.8:
                lines.append(self.ticker("99.00", "101.00"))
            else:
                lines.append(self.trade("101.00", "0.250", buyer_is_maker=bool(rng.random() < 0.5)))
        return lines
