"""A fan-out as a process that is killed: fanout_child.py FOLDER URL PREFIX."""

from __future__ import annotations

import sys

from tapebook.capture.fanout import Fanout, FanoutSettings
from tapebook.capture.sessions import captured
from tapebook.venues.credentials import Secret

if __name__ == "__main__":
    settings = FanoutSettings(url=Secret(sys.argv[2]), prefix=sys.argv[3], entries_max=1_000_000, events_max=16)
    print("begins", flush=True)
    Fanout(captured(sys.argv[1]), settings).run()
