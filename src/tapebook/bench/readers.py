"""Readers: DBN beside the vendor's own decode to numpy, Databento CSV and LOBSTER alone.

The recordings (or, without them, made-up orders) are tiled to at least 5 million records in a temporary folder. What
the vendor offers for DBN to numpy is measured in both forms that it has:

* its client's ``to_ndarray``: the whole file decompressed into one piece of memory and viewed with the field layout of
  ``databento-dbn`` (the client itself where it is installed, else these same two steps);
* ``DBNDecoder`` of ``databento-dbn``: record objects, put together into an array.

Ours reads blocks of events: fields checked, instruments named, ends of messages marked. ``ratio`` is ours to theirs in
records a second: above 1 is ahead.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapebook.market.events import Flag
from tapebook.readers import databento_records as records
from tapebook.readers import open_tape

_RECORDS_MIN: Final = 5_000_000
_OBJECTS_MAX: Final = 500_000
_ROWS_MIN: Final = 1_000_000
_RUNS: Final = 5
_ES: Final = "databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst"
_ARL: Final = "databento_csv_arl/mbo.csv"
_LOBSTER: Final = "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"


def run(data: Path | None) -> list[dict[str, Any]]:
    """Measure the readers; ``data`` is a folder of recordings or None."""
    folder = Path(tempfile.mkdtemp(prefix="tapebook-bench-"))
    try:
        figures = _dbn(data, folder)
        if data is not None and (data / _ARL).exists():
            figures.append(_csv(data / _ARL, folder))
        if data is not None and (data / _LOBSTER).exists():
            figures.append(_lobster(data / _LOBSTER))
    finally:
        shutil.rmtree(folder)
    return figures


def _best_s(work: Callable[[], Any], runs: int = _RUNS) -> float:
    work()  # compiles, and fills the file cache
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def _ours(path: Path) -> int:
    return sum(block.size for block in open_tape(path).blocks())


def _figure(name: str, what: str, n: int, ours_s: float, peer_s: float | None, peer_name: str) -> dict[str, Any]:
    return {
        "name": name,
        "what": what,
        "ours": n / ours_s / 1e6,
        "unit": "M records/s",
        "n_events": n,
        "peer": n / peer_s / 1e6 if peer_s else None,
        "peer_name": peer_name,
        "ratio": peer_s / ours_s if peer_s else None,
    }


def _alone(name: str, what: str, path: Path, n: int) -> dict[str, Any]:
    return _figure(name, what, n, _best_s(partial(_ours, path)), None, "")


def _lobster(path: Path) -> dict[str, Any]:
    n_messages = sum(int((block["flags"] & Flag.LAST != 0).sum()) for block in open_tape(path).blocks()) - 1  # snapshot
    return _alone("read-lobster", "LOBSTER, a day of 5 levels: messages with their rows", path, n_messages)


def _csv(path: Path, folder: Path) -> dict[str, Any]:
    header, _, body = path.read_bytes().partition(b"\n")
    n = body.count(b"\n")
    times = -(-_ROWS_MIN // n)
    tiled = folder / "tiled.mbo.csv"
    tiled.write_bytes(header + b"\n" + body * times)
    return _alone("read-databento-csv", "Databento CSV of orders: rows", tiled, n * times)


def _dbn(data: Path | None, folder: Path) -> list[dict[str, Any]]:
    import zstandard

    plain, zipped = folder / "tiled.mbo.dbn", folder / "tiled.mbo.dbn.zst"
    header, body = _orders(data)
    n = len(body) // records.lengths(1)[records.MBO]
    times = -(-_RECORDS_MIN // n)
    with plain.open("wb") as file:
        file.write(header)
        for _ in range(times):
            file.write(body)
    with plain.open("rb") as file, zipped.open("wb") as target:
        zstandard.ZstdCompressor(level=3, write_checksum=True).copy_stream(file, target)
    client = "databento client, to_ndarray" if find_spec("databento") else "decompressed and viewed with numpy"
    figures = [
        _figure(
            f"read-dbn-{kind}",
            f"DBN of orders, {kind}: records",
            n * times,
            _best_s(partial(_ours, path)),
            _best_s(partial(_viewed, path)),
            client,
        )
        for kind, path in (("zst", zipped), ("plain", plain))
    ]
    small = folder / "small.mbo.dbn"
    n_small = min(n * times, _OBJECTS_MAX)
    small.write_bytes(plain.read_bytes()[: len(header) + n_small * records.lengths(1)[records.MBO]])
    return [
        *figures,
        _figure(
            "read-dbn-objects",
            "DBN of orders, plain: records",
            n_small,
            _best_s(partial(_ours, small)),
            _best_s(partial(_objects, small), 2),
            "databento-dbn, DBNDecoder and numpy",
        ),
    ]


def _orders(data: Path | None) -> tuple[bytes, bytes]:
    """Return the metadata and the records of the recording, or of made-up orders."""
    import zstandard

    if data is not None and (data / _ES).exists():
        raw = zstandard.ZstdDecompressor().stream_reader((data / _ES).read_bytes(), read_across_frames=True).read()
        size = 8 + int.from_bytes(raw[4:8], "little")
        return raw[:size], raw[size:]
    import databento_dbn as dbn

    header = bytes(
        dbn.Metadata(
            dataset="GLBX.MDP3",
            start=0,
            stype_in=dbn.SType(dbn.SType.RAW_SYMBOL),
            stype_out=dbn.SType(dbn.SType.INSTRUMENT_ID),
            schema=dbn.Schema.from_str("mbo"),
            version=1,
        )
    )
    rng = np.random.default_rng(1)
    orders = np.zeros(100_000, records.fields(records.MBO, 1))
    orders["length"], orders["rtype"], orders["publisher_id"], orders["instrument_id"] = 14, records.MBO, 1, 17
    orders["ts_event"] = orders["ts_recv"] = 1_700_000_000_000_000_000 + np.cumsum(rng.integers(0, 10**6, orders.size))
    orders["order_id"] = rng.integers(1, 1 << 40, orders.size)
    orders["price"] = rng.integers(16_000, 20_000, orders.size) * 250_000_000
    orders["size"] = rng.integers(1, 50, orders.size)
    orders["flags"] = 128
    orders["action"] = rng.choice([b"A", b"C", b"M"], orders.size)
    orders["side"] = rng.choice([b"A", b"B"], orders.size)
    return header, orders.tobytes()


def _viewed(path: Path) -> int:
    """Do what the vendor's client does for ``to_ndarray``."""
    if find_spec("databento"):
        import databento  # type: ignore[import-not-found, unused-ignore]  # an optional peer

        return int(databento.DBNStore.from_file(path).to_ndarray().size)
    import zstandard

    layout = records.fields(records.MBO, 1)
    with path.open("rb") as file:
        source: Any = file
        if path.suffix == ".zst":
            source = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        source.read(int.from_bytes(source.read(8)[4:], "little"))
        return int(np.frombuffer(source.read(-1), layout).size)


def _objects(path: Path) -> int:
    """Decode with ``databento-dbn`` alone: record objects, and their bytes put together."""
    import databento_dbn as dbn

    decoder = dbn.DBNDecoder()
    decoder.write(path.read_bytes())
    found = [bytes(record) for record in decoder.decode() if isinstance(record, dbn.MBOMsg)]
    return int(np.frombuffer(b"".join(found), records.fields(records.MBO, 1)).size)
