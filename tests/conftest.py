"""Shared fixtures. Recordings come from the folder TAPEBOOK_DATA, or ``../shared/data`` beside the checkout."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A first call compiles or loads kernels: the time of one example says nothing here.
settings.register_profile("tapebook", deadline=None, print_blob=True)
settings.load_profile("tapebook")

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("TAPEBOOK_DATA") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def recording() -> Callable[[str], Path]:
    """Return the path of a recording, or skip the test with a reason where the recordings are not there."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"recording {name} is not on this machine (set TAPEBOOK_DATA to the folder of recordings)")
        return path

    return find


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Path]:
    """Return the path of a reference vector, or skip the test with a reason where they are not there."""

    def find(name: str) -> Path:
        path = DATA.parent / "reference" / name
        if not path.exists():
            pytest.skip(f"reference {name} is not on this machine (it lies beside the folder of recordings)")
        return path

    return find
