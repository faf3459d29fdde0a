"""What a database knows of a session."""

from __future__ import annotations

from tapebook.store.database import open_database


def watermark_of(url: str, name: str) -> int:
    """Return the session's watermark; 0 where there is no such session yet."""
    with open_database(url) as base:
        found = [session for session in base.sessions() if session.name == name]
        return base.watermark(found[0]) if found else 0
