"""Another tapebook's capture, followed over Redis Streams: the events that ``tapebook fanout`` puts there."""

from tapebook.venues.redis.parse import Parser
from tapebook.venues.venue import Venue

__all__ = ["VENUE", "Parser"]

VENUE = Venue(
    name="redis",
    title="Redis Streams (another tapebook's capture)",
    parser=Parser,
    contracts=("CON.F.US.MNQ.U26", "CON.F.US.MES.U26"),
)
