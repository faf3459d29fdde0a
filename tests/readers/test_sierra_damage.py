"""Damaged copies of small files of every trading program: an error of ours or something told, never anything else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.damage import copies, read_whole
from tests.readers.sierra_files import FIRST, LAST, at, depth_bytes, scid_bytes, trade

UTC: dict[str, Any] = {"zone": ZoneInfo("UTC")}
T = at("2024-03-18T14:30:00")
COPIES = 160


def scid() -> bytes:
    marks = (0.0, FIRST, 0.0, LAST, 0.0)
    return scid_bytes(
        [trade(T + 7 * i, 5000 + i % 9 * 0.25, 1 + i % 5, 1 - i % 3, 4999.75, 5000.25, marks[i % 5]) for i in range(60)]
    )


def bars() -> bytes:
    return scid_bytes([(T + 60_000_000 * i, 50.0 + i, 51.0 + i, 49.0 + i, 50.53 + i, 9, 90, 40, 50) for i in range(40)])


def depth() -> bytes:
    rows = [
        (T, 1, 0, 0, 0.0, 0),
        *((T, 2 + i % 2, int(i == 9), 1, 100 + i * (1 - i % 2 * 2) * 0.25, 5) for i in range(10)),
    ]
    return depth_bytes([*rows, *((T + i, 2 + i % 6, 1, 1, 99 + i % 8 * 0.25, i) for i in range(50))])


def lines(header: str, row: Any, n: int = 60) -> bytes:
    return "\n".join([header, *(row(i) for i in range(n)), ""]).encode()


FILES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "ESM24-CME.scid": (scid(), {}),
    "CLJ24-NYMEX.scid": (bars(), {}),
    "ESM24-CME.2024-03-18.depth": (depth(), {}),
    "ESM24-CME.scid_BarData.txt": (
        lines(
            "Date, Time, Open, High, Low, Last, Volume, NumberOfTrades, BidVolume, AskVolume, Low, Avg",
            lambda i: f"2024/3/18, 09:{i:02d}:00, 1{i}.25, 1{i}.5, 1{i}, 1{i}.25, {9 + i}, 4, 4, {5 + i}, 1.5, 2.5",
        ),
        UTC,
    ),
    "ESH22_FUT_CME_20220124_133000.txt": (
        lines(
            "Date;Time;Sequence;DepthSequence;Price;Volume;TradeType;AskPrice;BidPrice;AskSize;BidSize;AskDOMPrice;"
            "BidDOMPrice;AskDOM_0;BidDOM_0;AskDOM_1;BidDOM_1",
            lambda i: (
                f"2022-01-24;13:30:00.{5000 + 7 * i};{10 + 2 * i};{9 + 2 * i};100.25;{1 + i % 4};{1 + i % 2};"
                f"100.25;100;{5 + i};6;100.25;100;{i // 9 + 1};2;3;4"
            ),
        ),
        UTC,
    ),
    "WINQ26_202608030900_202608031830.csv": (
        lines(
            "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>",
            lambda i: (
                f"2026.08.03\t09:00:00.{i:03d}\t{135000 + 5 * (i % 7)}\t\t{135005 + 5 * (i % 5)}\t"
                f"{1 + i % 3}\t{58 + 32 * (i % 2)}"
            ),
        ),
        UTC,
    ),
    "WINQ26_M1_202608030900_202608031830.csv": (
        lines(
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
            lambda i: f"2026.08.03\t09:{i:02d}:00\t135000\t135010\t134990\t135005\t{i + 1}\t{i + 10}\t5",
        ),
        UTC,
    ),
    "ES_Volumetric_1.csv": (
        lines(
            "#schema: NinjaDataExport/v2.3, volumetric=True\n"
            "timestamp,instrument,period,open,high,low,close,volume,vwap,vol_ask,vol_bid,vol_delta,session_date",
            lambda i: (
                f"2026-02-05T18:{i:02d}:00.000,ES,Volumetric_1,100,101,99,100.5,1{i},100.1234567891,1{i},0,1{i},2026-02-06"
            ),
        ),
        UTC,
    ),
    "time_and_sales_nq_20251127.csv": (
        lines(
            "Timestamp;Precio;Volumen;Lado;Bid;Ask",
            lambda i: (
                f"2025-11-27 15:30:00.{i:03d};25313,{25 * (i % 4):02d};{1 + i % 6};"
                f"{('BID', 'ASK')[i % 2]};25313;25313,75"
            ),
        ),
        UTC,
    ),
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_damage_ends_in_an_error_of_ours_or_is_told(name: str, tmp_path: Path) -> None:
    data, options = FILES[name]
    (tmp_path / name).write_bytes(data)
    sound = read_whole(tmp_path / name, **options)
    assert not sound.error
    assert sound.n > 30
    ends: Counter[str] = Counter()
    for i, (kind, copy) in enumerate(copies(data, seed=7, n=COPIES)):
        folder = tmp_path / str(i)
        folder.mkdir()
        (folder / name).write_bytes(copy)
        after = read_whole(folder / name, **options)
        same = (after.n, after.digest) == (sound.n, sound.digest)
        ends["refused" if after.error else "same" if same else "told" if after.told != sound.told else "silent"] += 1
        if kind == "empty":
            assert after.error
        if not (after.error or same or after.told != sound.told):
            # What nobody can notice: another good value in the place of one, and a text that ends with a whole line.
            assert (kind in ("flipped", "zeroed", "shuffled") and after.n == sound.n) or (
                kind == "truncated" and after.n < sound.n
            ), f"copy {i}, {kind}: {after.n} for {sound.n} events, and nothing said"
    assert ends["refused"]
    assert ends["told"]


@pytest.mark.parametrize("name", ["ESM24-CME.scid", "ESM24-CME.2024-03-18.depth"])
def test_every_cut_of_a_binary_file_is_told_or_at_a_record(name: str, tmp_path: Path) -> None:
    data, options = FILES[name]
    header, size = (56, 40) if name.endswith(".scid") else (64, 24)
    for n in range(1, min(len(data), header + 4 * size)):
        path = tmp_path / name
        path.write_bytes(data[:n])
        after = read_whole(path, **options)
        assert bool(after.error) == (n < header)
        if n >= header:
            rest = (n - header) % size
            assert (f"partial_record_bytes {rest}" in after.told) == bool(rest)


def test_random_bytes_under_our_magic_words_end_well(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    for i in range(60):
        name = ("ESM24-CME.scid", "ESM24-CME.2024-03-18.depth")[i % 2]
        data, options = FILES[name]
        header = 56 if i % 2 == 0 else 64
        (tmp_path / name).write_bytes(data[:header] + rng.bytes(int(rng.integers(0, 4000))))
        read_whole(tmp_path / name, **options)
