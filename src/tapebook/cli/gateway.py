"""``tapebook gateway``: any tape over ProjectX's protocol, and recordings of Binance over Binance's.

For clients of these venues that want to be tried.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tapebook.cli.options import Json, reads_files

if TYPE_CHECKING:
    from tapebook.gateway.server import Gateway
    from tapebook.gateway.settings import GatewaySettings
    from tapebook.gateway.source import Form

SourceName = Annotated[
    str, typer.Option("--source", metavar="FILE|SESSION|sim:es", help="What to play: a recording, or sim:es.")
]
Speed = Annotated[str, typer.Option(metavar="X|max", help="1: as it was, 10: ten times; max: as clients take it.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")]
Host = Annotated[
    str,
    typer.Option(help="Address to listen on. Any but this machine's own needs keys in the environment (see docs)."),
]
ContractIds = Annotated[
    list[str] | None,
    typer.Option("--contract", metavar="[SYMBOL=]CON.F.US.EP.H24", help="Name a contract of the source. Repeat."),
]
StartWhen = Annotated[str, typer.Option("--start", metavar="subscribe|now|asked", help="When the market begins.")]
EndHow = Annotated[str, typer.Option("--end", metavar="close|silent|loop|exit", help="What ends with the source.")]
Clients = Annotated[int, typer.Option(min=1, help="Connections that must have subscribed before it begins.")]
Shift = Annotated[bool, typer.Option("--shift", help="Move all times so that the source begins now.")]
Prepare = Annotated[bool, typer.Option("--prepare", help="Make all records first, in memory: the highest rates.")]
StampsName = Annotated[str, typer.Option("--stamps", metavar="ms|100ns|ns", help="Digits of times on the wire.")]
ShapeName = Annotated[str, typer.Option("--shape", metavar="observed|documented", help="Form of the records.")]
Depth = Annotated[int, typer.Option(min=0, help="Levels a side; 0: the source's own, 10 where it has orders.")]
Prints = Annotated[bool, typer.Option("--prints", help="Repeat trades on the depth channel, as the venue does.")]
Tick = Annotated[str, typer.Option("--tick", metavar="X", help="Tick size that the contracts tell.")]
FrameRecords = Annotated[int, typer.Option(min=1, help="Most records in one message of the socket.")]
Snapshot = Annotated[bool, typer.Option("--snapshot/--no-snapshot", help="Begin a subscription with the book.")]
Limits = Annotated[bool, typer.Option("--limits/--no-limits", help="Keep the venue's rate limits.")]
TokenLife = Annotated[float, typer.Option("--token-life", metavar="SECONDS", help="How long a token is good.")]
FaultTexts = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="KIND[:field=value,…]", help="A fault, such as drop:every_s=30. Repeat."),
]
Seed = Annotated[int, typer.Option(help="Draws the faults.")]

USER, KEY, ADMIN = "TAPEBOOK_PROJECTX_USER", "TAPEBOOK_PROJECTX_API_KEY", "TAPEBOOK_GATEWAY_TOKEN"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: tapebook gateway --source sim:es --speed 10 --port 8010")
    @reads_files
    def gateway(
        source: SourceName,
        options: dict[str, Any],
        speed: Speed = "1",
        port: Port = 0,
        host: Host = "127.0.0.1",
        contract: ContractIds = None,
        start: StartWhen = "subscribe",
        end: EndHow = "close",
        clients: Clients = 1,
        shift: Shift = False,
        prepare: Prepare = False,
        stamps: StampsName = "100ns",
        shape: ShapeName = "observed",
        depth: Depth = 0,
        prints: Prints = False,
        tick: Tick = "",
        frame_records: FrameRecords = 16,
        snapshot: Snapshot = True,
        limits: Limits = True,
        token_life: TokenLife = 86400.0,
        fault: FaultTexts = None,
        seed: Seed = 0,
        as_json: Json = False,
    ) -> None:
        """Serve a recording or a simulated market over a venue's own protocols, on this machine.

        Keys come from TAPEBOOK_PROJECTX_USER and TAPEBOOK_PROJECTX_API_KEY; without them a key is made and shown.
        The token of admin calls (faults, statistics) comes from TAPEBOOK_GATEWAY_TOKEN, or is made and shown.
        A raw recording with --venue binance, binance-usdm or binance-coinm is served as that market serves it: streams
        and snapshots, without keys. Of the options speed, port, host, clients, end (close, silent, exit), seed and
        fault (lose, drop, shutdown) mean something there.
        With --json the first line of stdout says where the gateway is, and the last one what happened.
        """
        from tapebook.cli.gateway_binance import VENUES, serve_binance

        if (venue := options.get("venue", "")) in VENUES:
            given = {
                "--contract": contract,
                "--start": start != "subscribe",
                "--shift": shift,
                "--prepare": prepare,
                "--depth": depth,
                "--prints": prints,
                "--tick": tick,
                **{f"--{name}": value for name, value in options.items() if value and name != "venue"},
            }
            _refuse(given, venue)
            serve_binance(
                source,
                venue,
                speed=speed,
                host=host,
                port=port,
                clients=clients,
                end=end,
                faults=fault or (),
                seed=seed,
                as_json=as_json,
            )
            return
        from tapebook.gateway.clock import parse_speed
        from tapebook.gateway.encode import Shape
        from tapebook.gateway.faults import parse_fault
        from tapebook.gateway.figures import Stamps
        from tapebook.gateway.play import End, PlaySettings, Start
        from tapebook.gateway.settings import GatewaySettings
        from tapebook.gateway.source import Form

        form = Form(
            shape=_named(Shape, shape, "--shape"),
            stamps=_named(Stamps, stamps, "--stamps"),
            depth=depth,
            prints=prints,
            contracts=_contracts(contract or []),
            tick_e9=_tick(tick),
        )
        user, key = os.environ.get(USER, ""), os.environ.get(KEY, "")
        settings = GatewaySettings(
            host=host,
            port=port,
            users={user: key} if user and key else {},
            admin_token=os.environ.get(ADMIN, ""),
            token_life_s=token_life,
            limited=limits,
            frame_records=frame_records,
            snapshot=snapshot,
            faults=tuple(parse_fault(text) for text in fault or ()),
            seed=seed,
            play=PlaySettings(
                speed=parse_speed(speed),
                start=_named(Start, start, "--start"),
                end=_named(End, end, "--end"),
                clients=clients,
                shift=shift,
                prepare=prepare,
            ),
        )
        serve(source, options, form, settings, as_json=as_json)


def _refuse(given: dict[str, Any], venue: str) -> None:
    from tapebook.market.errors import ConfigurationError

    if senseless := [name for name, value in given.items() if value]:
        raise ConfigurationError("an option that means nothing here", found=", ".join(senseless), where=venue)


def serve(name: str, options: dict[str, Any], form: Form, settings: GatewaySettings, *, as_json: bool) -> None:
    """Open the source and serve it until it ends or is interrupted."""
    from tapebook.gateway.server import Gateway
    from tapebook.gateway.source import Source
    from tapebook.market.errors import UnsupportedSchema
    from tapebook.market.tape import Table
    from tapebook.report.sources import open_any

    tape = open_any(name, **options)
    if isinstance(tape, Table):
        raise UnsupportedSchema(
            "this source holds no events", expected="trades, quotes or a book", found=tape.origin.schema, where=name
        )
    served = Gateway(Source(tape, form), settings)

    async def main() -> None:
        async with served:
            about = told(served)
            print(json.dumps(about) if as_json else shown(about), flush=True)  # noqa: T201 - the command's own voice
            waiting = asyncio.ensure_future(served.wait())
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, waiting.cancel)
            line = asyncio.ensure_future(_status(served)) if sys.stderr.isatty() and not as_json else None
            await asyncio.wait([waiting])
            if line is not None:
                line.cancel()
            if not waiting.cancelled():
                waiting.result()

    asyncio.run(main())
    statistics = served.statistics()
    if as_json:
        typer.echo(json.dumps({"statistics": statistics}))
    else:
        typer.echo(f"\nplayed {sum(statistics['played'].values()):,} messages, sent {statistics['records_sent']:,}")


def told(gateway: Gateway) -> dict[str, Any]:
    """Return what a client has to know, for machines."""
    made = not gateway.settings.users
    user, key = next(iter(gateway.users.items()))
    hub = gateway.url + "/hubs/"
    return {
        "rest": gateway.url,
        "market_hub": hub + "market",
        "user_hub": hub + "user",
        "contracts": [one.row() for one in gateway.source.listings],
        "source": gateway.source.tape.origin.name,
        "environment": {
            USER: user if made else "(as in this environment)",
            KEY: key if made else "(as in this environment)",
            "TAPEBOOK_PROJECTX_REST": gateway.url,
            "TAPEBOOK_PROJECTX_MARKET_HUB": hub + "market",
            "TAPEBOOK_PROJECTX_USER_HUB": hub + "user",
        },
        "admin_token": "(as in this environment)" if gateway.settings.admin_token else gateway.admin_token,
    }


def shown(about: dict[str, Any]) -> str:
    """Return what a client has to know, for people."""
    lines = [f"gateway    {about['rest']}  (REST, {about['market_hub']}, {about['user_hub']})"]
    lines += [
        f"contract   {c['id']}  {c['name']}  tick {c['tickSize']}  {c['description']}" for c in about["contracts"]
    ]
    lines.append("clients set:")
    environment: Mapping[str, str] = about["environment"]
    lines += [f"  export {name}={value}" for name, value in environment.items() if not value.startswith("(")]
    lines.append(f"admin      Authorization: Bearer {about['admin_token']}   (GET {about['rest']}/admin/statistics)")
    lines.append("Ctrl-C ends it.")
    return "\n".join(lines)


async def _status(gateway: Gateway) -> None:
    """Rewrite one line a second."""
    from tapebook.gateway.figures import time_text

    before = 0
    while True:
        await asyncio.sleep(1.0)
        now = gateway.statistics()
        played = sum(now["played"].values())
        clients = sum(bool(c["streams"]) for c in now["connections"])
        state = "ended" if now["ended"] else "playing" if now["began"] else "waiting for a subscription"
        text = (
            f"{state}  {time_text(now['wire_ns'], 3)[:23]}  {played - before:,} messages/s  {clients} clients  "
            f"{played:,} in all  {now['source_read']:.0%} read"
        )
        before = played
        sys.stderr.write(f"\r{text:<110}")
        sys.stderr.flush()


def _named(kind: Any, text: str, option: str) -> Any:
    from tapebook.market.errors import ConfigurationError

    try:
        return kind(text)
    except ValueError:
        expected = ", ".join(one.value for one in kind)
        raise ConfigurationError("no such choice", expected=expected, found=repr(text), where=option) from None


def _tick(text: str) -> int:
    from decimal import Decimal, InvalidOperation

    from tapebook.market.errors import ConfigurationError

    if not text:
        return 0
    try:
        tick = Decimal(text) * 10**9
    except InvalidOperation:
        tick = Decimal(0)
    if tick <= 0 or tick != int(tick):
        raise ConfigurationError("not a tick", expected="a multiple of 1e-9 above 0", found=repr(text), where="--tick")
    return int(tick)


def _contracts(texts: list[str]) -> dict[str, str]:
    """Return contract ids by symbol; one without a symbol is the only instrument's, under the empty name."""
    found = {}
    for text in texts:
        symbol, equals, name = text.partition("=")
        found[symbol.strip() if equals else ""] = name.strip() if equals else text.strip()
    return found
