"""What the clients of this folder share: the arguments that they are run with, and what they write."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from urllib.request import Request, urlopen


class Case:
    """One run of a client."""

    def __init__(self) -> None:
        self.url, self.user, self.key, self.contract = sys.argv[1:5]
        self.count, self._path = int(sys.argv[5]), Path(sys.argv[6])
        self.heard: list[str] = []
        self.enough = threading.Event()

    def hear(self, name: str, *arguments: object) -> None:
        """Note an event; after ``count`` of them it is enough."""
        self.heard.append(json.dumps([name, *arguments]))
        if len(self.heard) >= self.count:
            self.enough.set()

    def login(self) -> str:
        """Return a token."""
        body = json.dumps({"userName": self.user, "apiKey": self.key}).encode()
        asked = Request(f"{self.url}/api/Auth/loginKey", body, {"Content-Type": "application/json"})
        with urlopen(asked) as answer:
            token: str = json.load(answer)["token"]
            return token

    def write(self) -> None:
        """Write what was heard, a line of JSON for each event."""
        self._path.write_text("\n".join(self.heard), encoding="utf-8")
