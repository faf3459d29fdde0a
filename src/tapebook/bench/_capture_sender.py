"""A venue that sends as fast as it is taken, or at a rate: ProjectX's login and market hub, and made-up records.

Run as a process of its own: settings as one JSON object on standard input, then a line with the port on standard
output, and when everything is sent a line of figures. It parses nothing but the requests it has to answer.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import sys
import time
from typing import Any, Final

import numpy as np

CONTRACT: Final = "CON.F.US.MNQ.M25"
KINDS: Final = ("quotes", "trades", "depth")
SHARES: Final = (0.337, 0.159, 0.504)
"""Of quotes, trades and depth records, as counted on the wire for one contract (MNQ, half an hour of August 2026)."""
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_RS: Final = b"\x1e"


def records(n: int, seed: int = 1) -> tuple[list[bytes], list[str]]:
    """Return ``n`` hub records and what each is."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(len(KINDS), n, p=np.array(SHARES) / sum(SHARES))
    walk = 29_500 + 0.25 * np.cumsum(rng.integers(-1, 2, n))
    away, size, side = rng.integers(0, 40, n), rng.integers(0, 50, n), rng.integers(0, 2, n)
    out: list[bytes] = []
    for i in range(n):
        touch = float(walk[i])
        clock = f"{14 + i // 3_600_000 % 6:02d}:{i // 60_000 % 60:02d}:{i // 1000 % 60:02d}.{i % 1000:03d}"
        when = f"2026-08-19T{clock}4173+00:00"
        kind = KINDS[kinds[i]]
        if kind == "quotes":
            told: Any = {"symbol": "F.US.MNQ", "bestBid": touch, "bestAsk": touch + 0.25, "lastUpdated": when}
            told |= {"timestamp": when[:23] + "+00:00"}
        elif kind == "trades":
            price = touch + 0.25 * float(side[i])
            told = [{"symbolId": "F.US.MNQ", "price": price, "timestamp": when[:23] + "+00:00"}]
            told[0] |= {"type": int(side[i]), "volume": int(size[i]) + 1, "contractId": CONTRACT}
        else:
            price = touch + 0.25 * float(away[i] + 1) if side[i] else touch - 0.25 * float(away[i])
            touched = away[i] < 8  # every fifth tells a new touch
            price = (touch + 0.25 * float(side[i])) if touched else price
            word = (3 if side[i] else 4) if touched else (1 if side[i] else 2)
            told = [{"contractId": CONTRACT, "timestamp": when, "type": word, "price": price}]
            told[0] |= {"volume": int(size[i]), "currentVolume": 0}
        target = {"quotes": "GatewayQuote", "trades": "GatewayTrade", "depth": "GatewayDepth"}[kind]
        record = {"type": 1, "target": target, "arguments": [CONTRACT, told]}
        out.append(json.dumps(record, separators=(",", ":")).encode() + _RS)
    return out, [KINDS[k] for k in kinds]


def frame(payload: bytes) -> bytes:
    """Return a text message of a server."""
    n = len(payload)
    head = (
        bytes([0x81, n])
        if n < 126
        else bytes([0x81, 126]) + n.to_bytes(2)
        if n < 65536
        else (bytes([0x81, 127]) + n.to_bytes(8))
    )
    return head + payload


class _Server:
    def __init__(self, settings: dict[str, Any]) -> None:
        self.n: int = settings["records"]
        self.rate: float = settings["rate"]  # records/s; 0: as fast as they are taken
        self.per_frame: int = settings["per_frame"]
        made, _ = records(min(self.n, settings["distinct"]))
        groups = [b"".join(made[i : i + self.per_frame]) for i in range(0, len(made), self.per_frame)]
        self.frames = [frame(group) for group in groups]
        self.done = asyncio.Event()
        self.sent = 0
        self.seconds = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head.split("\r\n")[1:])}
                if lines.get("upgrade", "").lower() == "websocket":
                    await self._hub(lines["sec-websocket-key"].encode(), reader, writer)
                    return
                await reader.readexactly(int(lines.get("content-length", 0)))
                good: dict[str, Any] = {"success": True, "errorCode": 0, "errorMessage": None, "token": "t"}
                good |= {"contract": {"id": CONTRACT, "name": "MNQM5", "tickSize": 0.25, "tickValue": 0.5}}
                body = json.dumps(good).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _hub(self, key: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        writer.write(
            b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n" % accept
        )
        reading = asyncio.create_task(reader.read(65536))
        writer.write(frame(b"{}" + _RS))
        answered = 0
        while answered < 3:  # the handshake and the subscriptions come in some messages: every id is answered
            data = _unmasked(await reading)
            reading = asyncio.create_task(reader.read(65536))
            for part in data.split(_RS):
                if b"invocationId" in part:
                    answered += 1
                    number = json.loads(part)["invocationId"]
                    writer.write(frame(b'{"type":3,"invocationId":"%b","result":null}\x1e' % number.encode()))
        await self._send(writer)
        while await reading:
            reading = asyncio.create_task(reader.read(65536))

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        began = time.monotonic()
        frames, step = self.frames, max(1, 64 // self.per_frame)
        if self.rate:
            step = max(1, round(self.rate / 1000 / self.per_frame))
        i = 0
        while self.sent < self.n:
            chunk = [frames[(i + k) % len(frames)] for k in range(step)]
            i += step
            writer.writelines(chunk)
            self.sent += step * self.per_frame
            await writer.drain()
            if self.rate:
                await asyncio.sleep(max(0.0, began + self.sent / self.rate - time.monotonic()))
        self.seconds = time.monotonic() - began
        self.done.set()


def _unmasked(data: bytes) -> bytes:
    """Return the text of a client's messages."""
    out = b""
    while len(data) >= 6:
        size, at = data[1] & 127, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4]), 4
        mask, body = data[at : at + 4], data[at + 4 : at + 4 + size]
        out += bytes(byte ^ mask[i & 3] for i, byte in enumerate(body))
        data = data[at + 4 + size :]
    return out


async def main() -> None:
    """Serve one capture."""
    settings = json.loads(sys.stdin.readline())
    if hasattr(os, "sched_setaffinity") and settings.get("core") is not None:
        os.sched_setaffinity(0, {settings["core"]})
    server = _Server(settings)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    sys.stdout.write(json.dumps({"port": listening.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await server.done.wait()
    sys.stdout.write(json.dumps({"sent": server.sent, "seconds": server.seconds}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
