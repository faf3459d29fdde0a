from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from tapebook.market.sessions import SessionTable
from tapebook.market.sessions_kept import kept_table
from tapebook.market.sessions_tables import _BUILDERS


def same(a: SessionTable, b: SessionTable) -> None:
    for field in fields(SessionTable):
        left, right = np.asarray(getattr(a, field.name)), np.asarray(getattr(b, field.name))
        assert left.dtype == right.dtype
        assert np.array_equal(left, right)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAPEBOOK_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_a_table_read_back_is_the_one_that_was_made_and_is_made_once(home: Path) -> None:
    made = []

    def make() -> SessionTable:
        made.append(_BUILDERS["US-STOCKS"]("US-STOCKS"))
        return made[-1]

    first = kept_table("US-STOCKS", make)
    again = kept_table("US-STOCKS", make)
    assert len(made) == 1
    same(first, again)
    assert type(again.zone) is str
    assert not list(home.rglob("*.part"))


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 nothing", b"\x00" * 4000])
def test_a_damaged_table_is_made_anew(home: Path, damage: bytes) -> None:
    table = _BUILDERS["B3"]("B3")
    kept_table("B3", lambda: table)
    (path,) = (home / "sessions").glob("B3-*.npz")
    path.write_bytes(damage)
    same(kept_table("B3", lambda: table), table)
    same(kept_table("B3", lambda: pytest.fail("made again")), table)


def test_a_table_cut_anywhere_is_made_anew(home: Path) -> None:
    table = _BUILDERS["B3"]("B3")
    kept_table("B3", lambda: table)
    (path,) = (home / "sessions").glob("B3-*.npz")
    whole = path.read_bytes()
    for cut in range(0, len(whole), len(whole) // 9):
        path.write_bytes(whole[:cut])
        same(kept_table("B3", lambda: table), table)


def test_without_a_place_to_write_the_table_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    monkeypatch.setenv("TAPEBOOK_CACHE_DIR", str(occupied))
    table = _BUILDERS["B3"]("B3")
    assert kept_table("B3", lambda: table) is table
