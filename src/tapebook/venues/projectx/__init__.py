"""ProjectX Gateway, the platform behind TopstepX: market data of CME futures over REST and SignalR."""

from tapebook.venues.projectx.parse import Parser
from tapebook.venues.signalr import SEPARATOR
from tapebook.venues.venue import Venue

__all__ = ["VENUE", "Parser"]

VENUE = Venue(
    name="projectx",
    title="ProjectX Gateway (TopstepX)",
    parser=Parser,
    contracts=("CON.F.US.MNQ.U26", "CON.F.US.MES.U26"),
    record_end=SEPARATOR,
)
