"""pysignalr (PyPI) at the market hub; it negotiates version 0."""

import asyncio
from functools import partial
from importlib import import_module
from typing import Any


async def main() -> None:
    common = import_module("common").Case()
    client_of: Any = import_module("pysignalr.client").SignalRClient
    # Its access_token_factory is asked for the handshake alone, not for the negotiation.
    client = client_of(f"{common.url}/hubs/market", headers={"Authorization": f"Bearer {common.login()}"})

    async def called(name: str, arguments: list[object]) -> None:
        common.hear(name, *arguments)

    async def opened() -> None:
        for what in ("Quotes", "Trades", "MarketDepth"):
            await client.send(f"SubscribeContract{what}", [common.contract])

    for name in ("GatewayQuote", "GatewayTrade", "GatewayDepth"):
        client.on(name, partial(called, name))
    client.on_open(opened)
    running = asyncio.create_task(client.run())
    await asyncio.to_thread(common.enough.wait, 60)
    running.cancel()
    common.write()


if __name__ == "__main__":
    asyncio.run(main())
