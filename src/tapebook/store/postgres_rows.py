"""Rows as PostgreSQL's binary COPY takes them, put together by numpy: a fifth of the time of a row at a time.

The format: a signature; for each row a count of fields and, for each field, its length (-1: NULL) and its bytes, high
byte first. Rows of one shape are a numpy record; where rows differ (a NULL here, a longer name there) they are laid out
at full width and the bytes that a row does not have are left out.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tapebook.market.events import MISSING
from tapebook.store.batches import Batch, Rows
from tapebook.store.schema import FIELDS, TableName

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_LENGTH: Final = struct.Struct(">i")


def columns(table: TableName) -> str:
    """Return the columns of :func:`copy_block`, in its order."""
    return ", ".join(["session_id", "contract_id", "symbol", *(f.name for f in FIELDS[table]), "raw_payload"])


def copy_block(session_id: int, table: TableName, rows: Rows, batch: Batch, raw: Sequence[bytes | None]) -> bytes:
    """Return all rows of a table, from signature to trailer."""
    n = rows.size
    fields: list[tuple[str, str]] = [("n", ">i2"), ("session_length", ">i4"), ("session", ">i4")]
    texts: dict[str, tuple[Any, Any]] = {}  # bytes and lengths of each row
    for i, name in enumerate(("contract_id", "symbol")):
        words = [contract[i].encode() for contract in batch.contracts]
        longest = max(map(len, words))
        codes = rows["contract"]
        texts[name] = np.array(words, f"S{max(longest, 1)}")[codes], np.array([len(w) for w in words])[codes]
        fields += [(f"{name}_length", ">i4"), (name, f"S{max(longest, 1)}")]
    missing = {f.name: rows[f.name] == MISSING for f in FIELDS[table] if f.null}
    for column in FIELDS[table]:
        fields.append((f"{column.name}_length", ">i4"))
        if not (column.null and missing[column.name].all()):
            fields.append((column.name, f">{column.type}"))
    fields.append(("raw_length", ">i4"))
    record = np.zeros(n, np.dtype(fields))
    width = {name: record.dtype[name].itemsize for name in record.dtype.names or ()}
    place = {name: record.dtype.fields[name][1] for name in width} if record.dtype.fields else {}
    record["n"] = len(FIELDS[table]) + 4
    record["session_length"], record["session"] = 4, session_id
    record["raw_length"] = -1
    there: Any = None  # which bytes each row has; None: all

    def leave_out(which: Any, name: str, begin: int = 0) -> None:
        nonlocal there
        if there is None:
            there = np.ones((n, record.dtype.itemsize), np.bool_)
        there[which, place[name] + begin : place[name] + width[name]] = False

    for name, (words_, lengths) in texts.items():
        record[name], record[f"{name}_length"] = words_, lengths
        for length in np.unique(lengths).tolist():
            if length < width[name]:
                leave_out(lengths == length, name, length)
    for column in FIELDS[table]:
        name = column.name
        if name not in width:
            record[f"{name}_length"] = -1
            continue
        record[name], record[f"{name}_length"] = rows[name], width[name]
        if column.null and missing[name].any():
            record[f"{name}_length"][missing[name]] = -1
            leave_out(missing[name], name)
    flat = record.view(np.uint8).reshape(n, -1)
    body = flat.tobytes() if there is None else flat[there].tobytes()
    if any(payload is not None for payload in raw):
        ends = np.cumsum(there.sum(axis=1) if there is not None else np.full(n, record.dtype.itemsize)).tolist()
        body = _with_raw(body, ends, raw)
    return SIGNATURE + body + TRAILER


def _with_raw(body: bytes, ends: Sequence[int], raw: Sequence[bytes | None]) -> bytes:
    """Put payloads in the place of the NULLs that end the rows."""
    pieces = []
    begin = 0
    for end, payload in zip(ends, raw, strict=True):
        if payload is None:
            pieces.append(body[begin:end])
        else:
            pieces += [body[begin : end - 4], _LENGTH.pack(len(payload)), payload]
        begin = end
    return b"".join(pieces)
