"""A PostgreSQL server of the tests' own: in a temporary folder, on a free port, gone with this process."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from itertools import count
from pathlib import Path

import pytest

PASSWORD = "pa:ss/w%rd-9431"
QUOTED = "pa%3Ass%2Fw%25rd-9431"


class PostgresServer:
    def __init__(self, programs: Path, *, durable: bool = False) -> None:
        self._programs = programs
        self._durable = durable
        self.folder = Path(tempfile.mkdtemp(prefix="tapebook-pg-"))
        self._as_user: list[str] = []
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(self.folder, "postgres", "postgres")
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        command = [str(programs / "initdb"), "-D", str(self.folder / "data"), "-U", "tapebook", "-A", "scram-sha-256"]
        command += ["--pwfile", str(password), "-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run([*self._as_user, *command], check=True, capture_output=True, cwd="/")
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count()
        self.start()

    def url(self, database: str = "postgres", *, user: str = "tapebook", password: str = QUOTED) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        import psycopg

        ties = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [str(self._programs / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        command += ["-k", str(self.folder), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=30"]
        if not self._durable:
            command += ["-c", "fsync=off"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*self._as_user, *ties, *command], stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop at once, as a crash would: clients lose their connections in the middle of what they do."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(60)
            self._process = None

    def new_database(self) -> str:
        import psycopg

        name = f"capture_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as base:
            base.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def programs() -> Path | None:
    """Return the folder of the server's programs."""
    if sys.platform == "win32":
        return None
    known = shutil.which("initdb")
    if known:
        return Path(known).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found else None


@cache
def postgres() -> PostgresServer:
    """Return the server that the tests of this process share, or skip with a reason."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL's server is not on this machine (Debian: apt-get install postgresql)")
    able = (
        shutil.which("setpriv") and not subprocess.run(["id", "postgres"], check=False, capture_output=True).returncode
    )
    if os.geteuid() == 0 and not able:
        pytest.skip("root cannot run PostgreSQL's server without setpriv and a user postgres")
    server = PostgresServer(folder)
    atexit.register(server.remove)
    return server
