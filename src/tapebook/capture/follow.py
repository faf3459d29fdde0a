"""The follower as a process: settings and words come in over a pipe, reports go out.

It is started with its settings on standard input (the database's URL may hold a password, and arguments can be seen).
Then it is told ``end`` on the same pipe: it brings the database to the journal's end and ends. If the pipe closes
without that word, whoever wrote the journal was killed: it does the same, and notes it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from typing import IO, Final

import msgspec

from tapebook.capture.follower import Follower
from tapebook.capture.reports import Report
from tapebook.capture.settings import FollowerSettings
from tapebook.market.errors import TickDataError
from tapebook.venues.credentials import masked

__all__ = ["main"]

_GC_OBJECTS: Final = 100_000  # frames are many small objects without cycles
_NICE: Final = 5
"""Where they share a core, the receiver goes first: what a database takes longer must not keep a frame waiting."""


def main(read: IO[bytes], write: IO[bytes]) -> int:
    """Run a follower as a process: settings and words come on ``read``, reports go to ``write``."""
    lock = threading.Lock()
    ended = ""

    def tell(report: Report) -> None:
        with lock, contextlib.suppress(OSError, ValueError):  # nobody listens any more: the work goes on
            write.write(msgspec.json.encode(report) + b"\n")
            write.flush()

    settings = msgspec.json.decode(read.readline(), type=FollowerSettings)

    def listen() -> None:
        nonlocal ended
        for line in read:
            if line.strip() == b"end":
                ended = "ended"
                return
        ended = "killed"

    threading.Thread(target=listen, name="follower-words", daemon=True).start()
    gc.freeze()
    gc.set_threshold(_GC_OBJECTS, 50, 50)
    try:
        last = Follower(settings, tell=tell, ended=lambda: ended).run()
    except TickDataError as error:
        tell(Report(state="failed", error=masked(str(error)), error_type=type(error).__name__))
        return 1
    return 0 if last.state == "done" else 3


if __name__ == "__main__":
    for _signal in ("SIGINT", "SIGTERM"):  # meant for the capture, which tells us when it is over
        signal.signal(getattr(signal, _signal), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICE)
    _reports = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints does not get between the reports
    _code = main(sys.stdin.buffer, _reports)
    sys.stderr.flush()
    os._exit(_code)  # the thread that listens may still wait for a word
