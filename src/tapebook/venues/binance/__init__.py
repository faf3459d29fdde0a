"""Binance spot, USD-M and COIN-M: depth, trades and tickers over WebSocket, snapshots over REST."""

from functools import partial

from tapebook.venues.binance.parse import Parser
from tapebook.venues.binance.subscribe import MARKETS, Market
from tapebook.venues.venue import Venue

__all__ = ["COINM", "SPOT", "USDM", "Parser"]


def _venue(market: Market) -> Venue:
    return Venue(
        name=market.name,
        title=market.title,
        parser=partial(Parser, venue=market.venue),
        contracts=market.examples,
    )


SPOT = _venue(MARKETS["binance"])
USDM = _venue(MARKETS["binance-usdm"])
COINM = _venue(MARKETS["binance-coinm"])
