"""MetaTrader 5: ticks and sampled books of a terminal, here on Windows or behind an RPyC bridge elsewhere."""

from tapebook.venues.mt5.parse import Parser
from tapebook.venues.venue import Venue

__all__ = ["VENUE", "Parser"]

VENUE = Venue(name="mt5", title="MetaTrader 5", parser=Parser, contracts=("WINQ26", "WDOU26"))
