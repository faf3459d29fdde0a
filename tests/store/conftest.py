"""Databases of both kinds, and a disk that is soon full."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tapebook.store.database import (
    Database,
    open_database,
)
from tests.store.capture_servers import postgres


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/capture.db" if request.param == "sqlite" else postgres().new_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with open_database(url) as base:
        yield base


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a file system of some megabytes (root alone can)."""
    mounted = []

    def mount(megabytes: int) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        can = sys.platform == "linux" and os.geteuid() == 0
        if not can or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("a file system of its own can be mounted by root on Linux only")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
