"""A pytest plugin for the edit-test loop: the tests that a change can break, the nearest first, for a limited time.

``python -m pytest -p tests.budget --seconds 60 -m "not slow"``. Changed is what differs from the last commit, or the
last commit itself where nothing does. A test is the nearer to a change, the fewer imports lie between its file and the
changed one; files that no import leads to are passed over. Tests that are left when the time is over are skipped with
a reason that says so: ``make test`` runs them all.
"""

from __future__ import annotations

import ast
import json
import math
import os
import subprocess
import time
from collections import deque
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAR = 99
ALWAYS = "tests/test_layout.py"  # it looks at all files
_RANKS = "TAPEBOOK_CHECK_RANKS"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seconds", type=float, default=60.0, help="how long tests are begun")


def pytest_configure(config: pytest.Config) -> None:
    if _RANKS not in os.environ:  # workers inherit what the first process found
        os.environ[_RANKS] = json.dumps({ALWAYS: FAR, **ranks(changed())})
    config.pluginmanager.register(Budget(config.getoption("--seconds"), json.loads(os.environ[_RANKS])))


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ.pop(_RANKS, None)


class Budget:
    """What is collected, in which order, and for how long it runs."""

    def __init__(self, seconds: float, rank: dict[str, int]) -> None:
        self._seconds, self._rank = seconds, rank
        self._ends_s = math.inf

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        if collection_path.suffix != ".py" or collection_path.name == "conftest.py":
            return None
        return str(collection_path.relative_to(ROOT)) not in self._rank or None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self._rank.get(str(item.path.relative_to(ROOT)), FAR))

    def pytest_runtest_setup(self) -> None:
        now_s = time.monotonic()
        if self._ends_s == math.inf:
            self._ends_s = now_s + self._seconds
        if now_s > self._ends_s:
            pytest.skip("the time of make check is over: left to make test")


def changed() -> list[str]:
    """Return the changed files, as paths from the root."""

    def git(*words: str) -> list[str]:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.splitlines()

    found = git("diff", "--name-only", "HEAD") + git("ls-files", "--others", "--exclude-standard")
    return found or git("diff", "--name-only", "HEAD~1")


def ranks(starts: list[str]) -> dict[str, int]:
    """Return how many imports lie between each file and the nearest changed one."""
    files = [path for folder in ("src", "tests") for path in (ROOT / folder).rglob("*.py")]
    modules = {_module(path): str(path.relative_to(ROOT)) for path in files}
    importers: dict[str, list[str]] = {}
    for path in files:
        for name in _imports(path):
            # "from a import b" names a module a.b, or something in a module a.
            target = modules.get(name) or modules.get(name.rpartition(".")[0])
            if target:
                importers.setdefault(target, []).append(str(path.relative_to(ROOT)))
    rank = {start: 0 for start in starts if start.endswith(".py")}
    queue = deque(rank)
    while queue:
        here = queue.popleft()
        for importer in importers.get(here, ()):
            if importer not in rank:
                rank[importer] = rank[here] + 1
                queue.append(importer)
    return rank


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "src" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names
