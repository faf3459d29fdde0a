"""``tapebook gateway --venue binance``: a raw recording of Binance over the venue's own streams and snapshots."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapebook.gateway.binance_replay import BinanceReplay

VENUES: Final = ("binance", "binance-usdm", "binance-coinm")
_HEAD: Final = 5_000  # lines that say which streams a recording has
_ENDS: Final = ("close", "silent", "exit")


def serve_binance(
    source: str,
    venue: str,
    *,
    speed: str,
    host: str,
    port: int,
    clients: int,
    end: str,
    faults: Sequence[str],
    seed: int,
    as_json: bool,
) -> None:
    """Serve a recording until it ends or is interrupted."""
    from tapebook.gateway.binance_faults import BinanceFaults, parse_binance_fault
    from tapebook.gateway.binance_replay import BinanceReplay, read_lines
    from tapebook.gateway.clock import parse_speed
    from tapebook.market.catalog import instrument_for
    from tapebook.market.errors import ConfigurationError
    from tapebook.venues.binance.subscribe import MARKETS

    if end not in _ENDS:
        raise ConfigurationError("no such choice", expected=", ".join(_ENDS), found=repr(end), where="--end")
    path = Path(source)
    streams = _streams(path, venue)
    symbols = sorted({stream.partition("@")[0].upper() for stream in streams})
    replay = BinanceReplay(
        lambda: read_lines(path),
        speed=parse_speed(speed),
        clients=clients,
        instruments=[instrument_for(symbol, MARKETS[venue].venue) for symbol in symbols],
        faults=BinanceFaults(map(parse_binance_fault, faults), seed=seed),
    )

    async def main() -> None:
        bound = await replay.start(host, port)
        try:
            about = _told(path, venue, symbols, streams, f"{host}:{bound}")
            print(json.dumps(about) if as_json else _shown(about), flush=True)  # noqa: T201 - the command's own voice
            waiting = asyncio.ensure_future(_play(replay, end))
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, waiting.cancel)
            line = asyncio.ensure_future(_status(replay)) if sys.stderr.isatty() and not as_json else None
            await asyncio.wait([waiting])
            if line is not None:
                line.cancel()
            if not waiting.cancelled():
                waiting.result()
        finally:
            await replay.stop()

    asyncio.run(main())
    if as_json:
        typer.echo(json.dumps({"statistics": _statistics(replay)}))
    else:
        typer.echo(f"\nsent {replay.counts['messages sent']:,} messages")


async def _play(replay: BinanceReplay, end: str) -> None:
    await replay.play()
    if end != "silent":
        await replay.close()
    if end != "exit":
        await asyncio.Event().wait()


def _streams(path: Path, venue: str) -> list[str]:
    """Return the streams of a recording, by its beginning."""
    from tapebook.gateway.binance_replay import read_lines
    from tapebook.market.errors import ConfigurationError
    from tapebook.readers.binance_recording import venue_of
    from tapebook.venues.binance.subscribe import MARKETS

    if not path.is_file():
        raise ConfigurationError("there is no such recording", expected="a file", found=str(path), where="--source")
    head = list(islice(read_lines(path), _HEAD))
    recorded = venue_of(b"\n".join(line.body[:2_000] for line in head))
    if recorded != MARKETS[venue].venue:
        found = next(name for name, market in MARKETS.items() if market.venue == recorded)
        raise ConfigurationError("the recording is of another market", expected=venue, found=found, where="--venue")
    return sorted({line.stream for line in head if line.stream})


def _told(path: Path, venue: str, symbols: list[str], streams: list[str], address: str) -> dict[str, Any]:
    """Return what a client has to know, for machines."""
    prefix = f"TAPEBOOK_{venue.upper().replace('-', '_')}_"
    rest, socket = f"http://{address}", f"ws://{address}"
    return {
        "venue": venue,
        "rest": rest,
        "socket": socket,
        "contracts": [{"id": symbol} for symbol in symbols],
        "streams": streams,
        "source": path.name,
        "environment": {f"{prefix}REST": rest, f"{prefix}SOCKET": socket},
    }


def _shown(about: dict[str, Any]) -> str:
    """Return what a client has to know, for people."""
    lines = [f"gateway    {about['rest']}  ({about['venue']}; streams at {about['socket']}/stream?streams=…)"]
    lines += [f"stream     {stream}" for stream in about["streams"]]
    single = about["venue"] != "binance" and any(stream.endswith("@trade") for stream in about["streams"])
    more = " --single-trades" if single else ""
    contracts = " ".join(f"--contract {one['id']}" for one in about["contracts"])
    lines.append(f"capture    tapebook capture --venue {about['venue']} {contracts} --gateway {about['rest']}{more}")
    lines.append("clients set:")
    lines += [f"  export {name}={value}" for name, value in about["environment"].items()]
    lines.append("Ctrl-C ends it.")
    return "\n".join(lines)


def _statistics(replay: BinanceReplay) -> dict[str, Any]:
    return {
        "ended": replay.ended.is_set(),
        "position_ns": replay.position_ns,
        "counts": dict(replay.counts),
        "faults": {name: n for name, n in replay.faults.counts.items() if n},
    }


async def _status(replay: BinanceReplay) -> None:
    """Rewrite one line a second."""
    from tapebook.gateway.figures import time_text

    before = 0
    while True:
        await asyncio.sleep(1.0)
        sent = replay.counts["messages sent"]
        state = "ended" if replay.ended.is_set() else "playing" if replay.position_ns else "waiting for a subscription"
        text = (
            f"{state}  {time_text(replay.position_ns, 3)[:23]}  {sent - before:,} messages/s  "
            f"{replay.n_clients} clients  {sent:,} in all"
        )
        before = sent
        sys.stderr.write(f"\r{text:<110}")
        sys.stderr.flush()
