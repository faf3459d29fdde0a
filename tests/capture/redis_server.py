"""A Redis server of the tests' own: in a temporary folder, on a free loopback port, gone with this process."""

from __future__ import annotations

import atexit
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from itertools import count
from pathlib import Path

import pytest

PASSWORD = "pa:ss/w%rd-7713"
QUOTED = "pa%3Ass%2Fw%25rd-7713"


class RedisServer:
    def __init__(self, program: str) -> None:
        self._program = program
        self.folder = Path(tempfile.mkdtemp(prefix="tapebook-redis-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count()
        self.start()

    @property
    def url(self) -> str:
        return f"redis://:{QUOTED}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        import redis

        ties = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        # All of it on disk before it answers: a killed server comes back as it was.
        command += ["--requirepass", PASSWORD, "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*ties, *command], stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            try:
                with redis.Redis.from_url(self.url) as client:
                    client.ping()
            except redis.RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def new_prefix(self) -> str:
        return f"test{next(self._numbers)}"

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def redis_server() -> RedisServer:
    """Return the server that the tests of this process share, or skip with a reason."""
    pytest.importorskip("redis", reason="the extra redis is not installed")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("Redis' server is not on this machine (Debian: apt-get install redis-server)")
    server = RedisServer(program)
    atexit.register(server.remove)
    return server
