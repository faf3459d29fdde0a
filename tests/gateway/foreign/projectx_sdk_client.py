"""projectx-sdk (PyPI): REST, then its realtime client (signalrcore 0.9, without negotiation)."""

import os
from functools import partial
from importlib import import_module
from typing import Any


def main() -> None:
    common = import_module("common").Case()
    client_of: Any = import_module("projectx_sdk").ProjectXClient
    hub = common.url.replace("http", "ws") + "/hubs/"
    client_of.ENVIRONMENT_URLS["here"] = common.url
    client_of.USER_HUB_URLS["here"], client_of.MARKET_HUB_URLS["here"] = hub + "user", hub + "market"

    common.count *= 2  # it registers its handlers twice, so that it calls back twice for each event
    client = client_of(common.user, common.key, environment="here")
    (found,) = client.contracts.search("ES", live=False)
    (account,) = client.accounts.search()
    assert (found.id, account.can_trade) == (common.contract, True)
    realtime = client.realtime
    realtime.start()
    for subscribe, name in (
        (realtime.market.subscribe_quotes, "GatewayQuote"),
        (realtime.market.subscribe_trades, "GatewayTrade"),
        (realtime.market.subscribe_market_depth, "GatewayDepth"),
    ):
        subscribe(common.contract, partial(common.hear, name))
    common.enough.wait(60)
    assert common.heard[::2] == common.heard[1::2]
    del common.heard[1::2]
    common.write()
    os._exit(0)  # its threads never end


if __name__ == "__main__":
    main()
