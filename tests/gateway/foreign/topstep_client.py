"""topstep-client-py (PyPI): REST, then its market hub (signalrcore, which negotiates version 1)."""

import asyncio
from functools import partial
from importlib import import_module
from typing import Any


async def main() -> None:
    common = import_module("common").Case()
    topstep: Any = import_module("topstep")

    def called(name: str, *arguments: Any) -> None:
        common.hear(name, *(arguments[0] if len(arguments) == 1 else arguments))  # signalrcore hands on one list

    async with await topstep.TopstepClient.create(common.user, common.key, base_url=common.url) as client:
        (found,) = await client.contracts.search("ES")
        (account,) = await client.accounts.search()
        assert (found.id, account.can_trade) == (common.contract, True)
        hub = import_module("topstep.realtime.market_hub").MarketHub(client.token, f"{common.url}/hubs/market")
        hub.on_quote(partial(called, "GatewayQuote"))
        hub.on_trade(partial(called, "GatewayTrade"))
        hub.on_depth(partial(called, "GatewayDepth"))
        await hub.connect()
        await asyncio.sleep(0.5)  # it returns before the handshake is through
        await hub.subscribe_all(common.contract)
        await asyncio.to_thread(common.enough.wait, 60)
        common.write()
        await hub.stop()


if __name__ == "__main__":
    asyncio.run(main())
