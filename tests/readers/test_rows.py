from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.errors import MalformedRecord, ReaderError
from tapebook.market.quarantine import Quarantine
from tapebook.readers.columns import fixed_point
from tapebook.readers.rows import read_rows, refuse_if_nothing_read


def read(text: bytes, quarantine: Quarantine) -> list[tuple[int, bytes]]:
    found = []
    for rows in read_rows(io.BytesIO(text), None, file="f.csv", quarantine=quarantine):
        found += [(rows.line(i), rows.raw(i)) for i in range(rows.n)]
    return found


def test_rows_know_their_line_numbers_past_blank_and_bad_lines() -> None:
    quarantine = Quarantine()
    rows = read(b"a,b,c\n1,2,3\n\n4,5\n7,8,9\n\n\nx,y,z\n1,2,3", quarantine)
    assert rows == [(2, b"1,2,3"), (5, b"7,8,9"), (8, b"x,y,z"), (9, b"1,2,3")]
    assert [(r.where, r.raw, r.found) for r in quarantine.records] == [("f.csv line 4", b"4,5", "2")]


@given(st.lists(st.sampled_from([b"1,2", b"", b"1", b"3,4,5", b"7,8"]), min_size=1, max_size=60))
def test_every_line_is_a_row_a_blank_or_in_the_quarantine(lines: list[bytes]) -> None:
    quarantine = Quarantine()
    rows = read(b"a,b\n" + b"\n".join(lines) + b"\n", quarantine)
    assert rows == [(i + 2, line) for i, line in enumerate(lines) if line.count(b",") == 1]
    bad = [(f"f.csv line {i + 2}", line) for i, line in enumerate(lines) if line and line.count(b",") != 1]
    assert [(r.where, r.raw) for r in quarantine.records] == bad


def test_strict_ends_at_the_first_bad_line_and_says_where() -> None:
    with pytest.raises(MalformedRecord, match=r"expected 2 fields, found 1 \(f.csv line 3\)"):
        read(b"a,b\n1,2\n3\n", Quarantine(strict=True))


def test_a_file_in_which_nothing_can_be_read_is_refused() -> None:
    quarantine = Quarantine()
    n = 0
    for rows in read_rows(io.BytesIO(b"price\nx\ny\n"), None, file="f.csv", quarantine=quarantine):
        keep = np.ones(rows.n, dtype=np.bool_)
        rows.require(quarantine, keep, fixed_point(rows["price"])[1], "price")
        n += int(keep.sum())
    with pytest.raises(MalformedRecord, match=r"none of the 2 records.*bad price.*'x' \(f.csv line 2, field price\)"):
        refuse_if_nothing_read(n, quarantine, "f.csv")


def test_a_missing_header_is_told() -> None:
    with pytest.raises(ReaderError, match="header line is missing"):
        read(b"", Quarantine())


def test_a_last_line_without_an_end_is_read_and_told() -> None:
    quarantine, notes = Quarantine(), dict[str, int]()
    blocks = list(read_rows(io.BytesIO(b"a,b\n1,2\n3,4"), None, file="f.csv", quarantine=quarantine, notes=notes))
    assert [value for rows in blocks for value in rows["b"].to_pylist()] == [b"2", b"4"]
    assert (list(notes), quarantine.total) == (["the last line has no line end: it may be cut off"], 0)


def test_a_last_line_that_a_damaged_archive_cut_off_is_not_taken_for_a_row() -> None:
    quarantine = Quarantine()
    quarantine.truncate(ReaderError("cut"))
    blocks = list(read_rows(io.BytesIO(b"a,b\n1,2\n3,4"), None, file="f.csv", quarantine=quarantine))
    assert [rows["b"].to_pylist() for rows in blocks] == [[b"2"]]
    assert [r.raw for r in quarantine.records] == [b"3,4"]


def test_a_row_that_is_no_utf8_and_has_too_many_fields_goes_to_the_quarantine_with_its_bytes_legible() -> None:
    quarantine = Quarantine()
    assert read(b"a,b\n1,2\n3,\xac4,5\n\xac,8\n", quarantine) == [(2, b"1,2"), (4, b"\\xac,8")]
    assert [(r.where, r.raw) for r in quarantine.records] == [("f.csv line 3", b"3,\\xac4,5")]


def test_strict_ends_at_a_line_that_was_cut_off() -> None:
    quarantine = Quarantine(strict=True)
    quarantine.truncated = "cut"
    with pytest.raises(MalformedRecord, match="line cut off"):
        list(read_rows(io.BytesIO(b"a,b\n1,2\n3,4"), None, file="f.csv", quarantine=quarantine))


def test_text_that_is_not_in_its_encoding_is_refused() -> None:
    text = "a,b\n1,2\n".encode("utf-16-le") + b"\x00"
    with pytest.raises(ReaderError, match="cannot be split"):
        list(read_rows(io.BytesIO(text), ["a", "b"], file="f.csv", quarantine=Quarantine(), encoding="utf-16-le"))


@pytest.mark.parametrize("block_bytes", [40, 60, 61, 97])
def test_small_blocks_lose_no_rows(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapebook.readers.rows.BLOCK_BYTES", block_bytes)
    lines = [b"%d,%s" % (i, b"x" * (i * 7 % 31)) for i in range(500)]
    found = read(b"a,b\r\n" + b"\r\n".join(lines) + b"\r\n", Quarantine())
    assert found == [(i + 2, line) for i, line in enumerate(lines)]
