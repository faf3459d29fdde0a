"""Live capture: what venues send goes into a journal at once, and from there into a database.

Two processes. The *receiver* (:mod:`~tapebook.capture.receive`) reads sockets and appends to the journal, and does
nothing else: no database can make it wait. The *follower* (:mod:`~tapebook.capture.follower`) reads the journal's end,
decodes, and writes batches with their watermark. Between them there is no queue: the journal is the queue.
``docs/capture.md`` tells what survives what.
"""

from __future__ import annotations

from typing import Final

__all__: Final[list[str]] = []  # nothing here: the follower imports this folder and must start quickly
