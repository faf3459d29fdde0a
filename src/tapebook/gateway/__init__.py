"""A local gateway: any tape, served over ProjectX's REST and SignalR protocols, with faults on request."""

from tapebook.gateway.play import PlaySettings
from tapebook.gateway.server import Gateway
from tapebook.gateway.settings import GatewaySettings
from tapebook.gateway.source import Form, Source

__all__ = ["Form", "Gateway", "GatewaySettings", "PlaySettings", "Source"]
