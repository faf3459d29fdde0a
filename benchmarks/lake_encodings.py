"""What each Parquet encoding makes of each column of events, in bytes an event, and what the choice costs in time.

    python benchmarks/lake_encodings.py RECORDING…

Row groups of the lake's size, zstd; times are processor time of one thread, best of five, over 1 million tiled events.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tapebook.market.arrow import EVENT_SCHEMA, to_arrow
from tapebook.market.parquet import EVENT_ENCODINGS, ROW_GROUP_EVENTS
from tapebook.readers import open_tape

CHOICES: Final[dict[str, Mapping[str, str]]] = {
    "all plain": dict.fromkeys(EVENT_SCHEMA.names, "PLAIN"),
    "all dictionary": {},
    "all delta": dict.fromkeys(EVENT_SCHEMA.names, "DELTA_BINARY_PACKED"),
    "chosen": EVENT_ENCODINGS,
    "chosen, order_id split": {**EVENT_ENCODINGS, "order_id": "BYTE_STREAM_SPLIT"},
}


def best(run: Callable[[], Any]) -> float:
    took = []
    for _ in range(5):
        start = time.process_time()
        run()
        took.append(time.process_time() - start)
    return min(took)


def write(batches: Sequence[pa.RecordBatch], encodings: Mapping[str, str], codec: str, level: int | None) -> bytes:
    sink = io.BytesIO()
    schema = batches[0].schema
    given = {name: encoding for name, encoding in encodings.items() if name in schema.names}
    writer = pq.ParquetWriter(
        sink,
        schema,
        compression=codec,
        compression_level=level,
        use_dictionary=[n for n in schema.names if n not in given],
        column_encoding=given or None,
    )
    for batch in batches:
        writer.write_batch(batch, row_group_size=ROW_GROUP_EVENTS)
    writer.close()
    return sink.getvalue()


def read(data: bytes) -> None:
    file = pq.ParquetFile(pa.BufferReader(data))
    for i in range(file.num_row_groups):
        file.read_row_group(i, use_threads=False)


def main() -> None:
    pa.set_cpu_count(1)
    for name in sys.argv[1:]:
        events = open_tape(name).events()
        batch = to_arrow(events[:ROW_GROUP_EVENTS])
        print(f"\n{name}: {events.size:,} events\n{'column':16}{'plain':>9}{'dictionary':>12}{'delta':>9}{'split':>9}")
        for column in EVENT_SCHEMA.names:
            one = batch.select([column])
            sizes = []
            for encoding in ("PLAIN", None, "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"):
                data = write([one], {column: encoding} if encoding else {}, "zstd", 3)
                sizes.append(pq.read_metadata(io.BytesIO(data)).row_group(0).column(0).total_compressed_size)
            plain, dictionary, delta, split = (s / batch.num_rows for s in sizes)
            print(f"{column:16}{plain:9.3f}{dictionary:12.3f}{delta:9.3f}{split:9.3f}")
        tiled = np.concatenate([events] * -(-1_000_000 // events.size))[:1_000_000]
        batches = [to_arrow(tiled[i : i + ROW_GROUP_EVENTS]) for i in range(0, tiled.size, ROW_GROUP_EVENTS)]
        for choice, encodings in CHOICES.items():
            for codec, level in (("zstd", 3), ("zstd", 1), ("lz4", None)) if choice == "chosen" else (("zstd", 3),):
                data = write(batches, encodings, codec, level)
                writing = best(partial(write, batches, encodings, codec, level))
                reading = best(partial(read, data))
                label = f"{choice}, {codec} {level or ''}"
                print(
                    f"{label:34}{len(data) / tiled.size:6.2f} bytes an event, write {tiled.size / writing / 1e6:6.1f}, "
                    f"read {tiled.size / reading / 1e6:6.1f} M events/s"
                )


if __name__ == "__main__":
    main()
