"""What becomes of captured sessions: found, read, counted, compared, verified, copied, pruned, exported."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapebook.capture import session_prune
from tapebook.capture.backup_files import is_backup
from tapebook.capture.recover import recover_session
from tapebook.capture.session_backup import backup_session, check_backup, restore_session
from tapebook.capture.session_compare import compare_sessions
from tapebook.capture.session_export import export_session
from tapebook.capture.session_prune import candidates, prune_session
from tapebook.capture.session_report import contract_row, describe_session, statistics_of_session
from tapebook.capture.session_tape import Choice, session_tape
from tapebook.capture.session_verify import verify_captured
from tapebook.capture.sessions import captured, captured_sessions, is_session, load_pruned
from tapebook.capture.settings import load_session
from tapebook.market.errors import ConfigurationError, StoreCorrupted, StoreError, TickDataError
from tapebook.market.events import Kind
from tapebook.market.tape import Tape
from tapebook.report.sources import open_any
from tapebook.store.journal_files import segments
from tapebook.store.lake import Lake
from tests.capture.some_frames import CONTRACT, T0, frames_of
from tests.capture.some_sessions import MES, TWO, all_events, make_journal, make_session, of_two, same
from tests.store.capture_servers import PASSWORD, postgres

LATER = T0 + 400 * 86_400 * 10**9


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/all.db" if request.param == "sqlite" else postgres().new_database()


def tape_of(name: str, **options: Any) -> Tape:
    tape = open_any(name, **options)
    assert isinstance(tape, Tape)
    return tape


# ---- found, and read -----------------------------------------------------------------------------------------------


def test_sessions_of_folders_and_of_a_database_are_found(tmp_path: Path, url: str) -> None:
    make_session(tmp_path / "home", "monday", 300)
    elsewhere = make_session(tmp_path / "elsewhere", "tuesday", 300, database=url)
    shutil.rmtree(elsewhere)
    found = captured_sessions(tmp_path / "home", url)
    assert [(s.name, s.state, s.complete, s.folder is not None) for s in found] == [
        ("monday", "ended", True, True),
        ("tuesday", "ended", True, False),
    ]
    assert captured("tuesday", tmp_path / "home", url).venue == "projectx"
    assert captured(f"{url}#tuesday").name == "tuesday"
    assert PASSWORD not in found[1].shown
    with pytest.raises(StoreError, match="wednesday"):
        captured("wednesday", tmp_path / "home")
    with pytest.raises(StoreError, match="no such session"):
        captured("wednesday", tmp_path / "home", url)


def test_a_journal_and_its_database_are_the_same_tape(tmp_path: Path, url: str) -> None:
    make_session(tmp_path, database=url)
    session = captured("monday", tmp_path, url)
    journal = all_events(session_tape(session, source="journal"))
    assert journal.size > 2_000
    assert same(journal, all_events(session_tape(session, source="database")))
    assert same(journal, all_events(session_tape(captured(f"{url}#monday"))))


def test_a_renamed_session_recovers_into_its_own_database(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    make_journal(tmp_path / "home" / "a", frames_of(1_000)).close()
    recover_session(tmp_path / "home" / "a")
    (tmp_path / "home" / "a").rename(tmp_path / "home" / "b")
    (tmp_path / "home").rename(tmp_path / "elsewhere")
    done = recover_session(tmp_path / "elsewhere" / "b")
    assert (done.rows, done.state) == (0, "killed")
    assert Path(done.database).parent == tmp_path / "elsewhere" / "b"
    assert load_session(tmp_path / "elsewhere" / "b").database == done.database
    assert not (tmp_path / "home").exists()
    (tmp_path / "elsewhere" / "b" / "capture.db").unlink()
    assert recover_session(tmp_path / "elsewhere" / "b").rows > 900


@pytest.mark.parametrize("source", ["journal", "database"])
def test_one_of_two_contracts_is_read_alone(tmp_path: Path, source: Any) -> None:
    make_journal(tmp_path / "two", of_two(frames_of(2_000)), sources=TWO).close()
    recover_session(tmp_path / "two")
    session = captured("two", tmp_path)
    whole = all_events(session_tape(session))
    for i, name in enumerate((CONTRACT, MES), 1):
        part = all_events(session_tape(session, source=source, choice=Choice(contract=name)))
        assert part.size > 300
        assert same(part, whole[whole["instrument_id"] == i])
    counted = {c.contract_id for c in statistics_of_session(session).contracts}
    assert {CONTRACT, MES} <= counted
    assert compare_sessions(session, session).same


@pytest.mark.parametrize("source", ["journal", "database"])
def test_a_part_of_a_session_is_its_contract_and_time(tmp_path: Path, source: Any) -> None:
    session = captured(str(make_session(tmp_path)))
    whole = all_events(session_tape(session))
    start, end = (int(np.quantile(whole["ts_recv_ns"], q)) for q in (0.3, 0.6))
    part = session_tape(session, source=source, choice=Choice(contract=CONTRACT, start_ns=start, end_ns=end))
    keep = (whole["ts_recv_ns"] >= start) & (whole["ts_recv_ns"] < end)
    assert same(all_events(part), whole[keep])
    with pytest.raises(ConfigurationError, match="no such contract"):
        session_tape(session, choice=Choice(contract="ES"))


def test_every_command_that_takes_a_file_takes_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_session(tmp_path / "captures", n=400)
    monkeypatch.chdir(tmp_path)
    expected = all_events(session_tape(captured(str(folder))))
    database = f"sqlite://{folder}/capture.db#monday"
    for name in ("monday", "captures/monday", str(folder), database):
        tape = tape_of(name)
        assert same(tape.events(), expected), name
        assert tape.origin.format == "capture"
    assert same(tape_of("monday", symbol="MNQM5").events(), expected)
    with pytest.raises(ConfigurationError, match="knows its own format"):
        open_any("monday", format="dbn")
    with pytest.raises(TickDataError):
        tape_of("monday", strict=True).events()
    assert not is_session("captures")
    Path("monday").write_text("a file goes first")
    assert not is_session("monday")


def test_the_progress_of_a_journal_ends_at_its_size(tmp_path: Path) -> None:
    tape = session_tape(captured(str(make_session(tmp_path, n=6_000))))
    seen = [tape.progress.done_bytes for _ in tape.blocks()]
    assert seen == sorted(seen)
    assert 0 < tape.progress.done_bytes <= tape.progress.total_bytes


def test_a_session_that_is_being_captured_is_read_up_to_where_it_stands(tmp_path: Path) -> None:
    frames = frames_of(6_000)
    with make_journal(tmp_path / "live", frames[:1_000]) as journal:
        session = captured("live", tmp_path)
        assert (session.state, session.ended_ns) == ("running", None)
        before = all_events(session_tape(session))
        journal.append((f.ts_recv_ns, f.source, f.kind, f.payload) for f in frames[1_000:])
        after = all_events(session_tape(session))
        assert same(after[: before.size], before)
        assert after.size > before.size
    assert captured("live", tmp_path).state == "killed"  # the journal was closed, and nobody said so


# ---- counted -------------------------------------------------------------------------------------------------------


def test_a_journal_is_counted_as_its_database_is(tmp_path: Path, url: str) -> None:
    make_session(tmp_path, database=url)
    session = captured("monday", tmp_path, url)
    stored, journalled = (statistics_of_session(session, source=s) for s in ("database", "journal"))
    assert (stored.counted_in, journalled.counted_in) == ("database", "journal")
    assert [contract_row(c) for c in stored.contracts] == [contract_row(c) for c in journalled.contracts]
    assert stored.gaps == journalled.gaps
    assert stored.quality == journalled.quality
    assert stored.watermark == journalled.watermark


def test_a_session_is_described_by_what_was_counted_by_hand(tmp_path: Path) -> None:
    session = captured(str(make_session(tmp_path)))
    events = all_events(session_tape(session))
    about = json.loads(json.dumps(describe_session(session, deep=True)))
    row = next(c for c in about["contracts_seen"] if c["contract_id"] == CONTRACT)
    trades = events[events["kind"] == Kind.TRADE]
    assert row["rows"]["trades"] == trades.size
    assert row["traded_size"] == trades["qty_lots"].sum()
    assert row["first_received_ns"] == events["ts_recv_ns"].min()
    assert row["last_received_ns"] == events["ts_recv_ns"].max()
    assert row["per_s"]["trades"] == pytest.approx(trades.size / row["span_s"])
    assert {gap["reason"] for gap in about["gaps"]} >= {"the connection was lost", "silent"}
    assert about["findings"][0]["count"] >= about["findings"][-1]["count"]
    assert about["behind_frames"] == 0
    assert about["sizes"]["journal"] > 0
    assert about["sizes"]["database"] > 0
    assert about["books"][0]["symbol"] == "MNQM5"
    cleared = events[(events["kind"] == Kind.CLEAR) & (events["channel"] == 1)]
    assert about["books"][0]["resets"] == cleared.size > 0


def test_a_session_without_its_database_is_counted_in_the_journal(tmp_path: Path) -> None:
    folder = make_session(tmp_path)
    session = captured(str(folder))
    before = describe_session(session)
    (folder / "capture.db").unlink()
    after = describe_session(session)
    assert after["counted_in"] == "journal"
    assert after["contracts_seen"] == before["contracts_seen"]
    assert not (folder / "capture.db").exists()  # asking makes none


# ---- compared ------------------------------------------------------------------------------------------------------


def test_a_session_compared_with_itself_is_the_same(tmp_path: Path) -> None:
    session = captured(str(make_session(tmp_path)))
    found = compare_sessions(session, session)
    assert found.same
    assert sum(row["both"] for row in found.events) > 2_000
    assert all(d == 0 for row in found.contracts for d in row["difference"].values() if d is not None)


def test_events_that_only_one_of_two_captures_heard_are_found(tmp_path: Path) -> None:
    """Two captures of one market, one of which missed some messages and stamped all of them otherwise."""
    frames = [f for f in frames_of(4_000) if f.kind == 1 and b'"GatewayTrade"' in f.payload]
    one = [f for f in frames if f.payload.count(b"\x1e") == 1 and f.payload.endswith(b"}]]}\x1e")]
    chance = random.Random(3)
    lost = set(chance.sample(range(10, len(one) - 10), 7))
    make_journal(tmp_path / "a", one).close()
    late = [f._replace(ts_recv_ns=f.ts_recv_ns + 3_000_000) for i, f in enumerate(one) if i not in lost]
    make_journal(tmp_path / "b", late).close()
    a, b = captured("a", tmp_path), captured("b", tmp_path)
    found = compare_sessions(a, b)
    mirrored = compare_sessions(b, a)
    (trades,) = [row for row in found.events if row["kind"] == "trade"]
    assert trades["first_only"] == 7
    assert trades["second_only"] == 0
    assert trades["both"] + 7 <= len(one)
    assert [row["second_only"] for row in mirrored.events if row["kind"] == "trade"] == [7]
    assert len(found.examples) == 7
    assert {e["only_in"] for e in found.examples} == {"a"}


def test_sessions_of_other_times_have_nothing_in_common(tmp_path: Path) -> None:
    make_journal(tmp_path / "a", frames_of(200)).close()
    shifted = [f._replace(payload=f.payload.replace(b"2026-08-19", b"2027-08-19")) for f in frames_of(200)]
    year = 365 * 86_400 * 10**9
    make_journal(tmp_path / "b", [f._replace(ts_recv_ns=f.ts_recv_ns + year) for f in shifted]).close()
    found = compare_sessions(captured("a", tmp_path), captured("b", tmp_path))
    assert (found.start_ns, found.end_ns, found.events) == (None, None, [])


# ---- verified ------------------------------------------------------------------------------------------------------


def test_a_whole_session_is_verified(tmp_path: Path, url: str) -> None:
    make_session(tmp_path, database=url)
    verdict = verify_captured(captured("monday", tmp_path, url))
    assert verdict.ok, verdict.problems
    assert verdict.rows is not None
    assert verdict.rows > 2_000
    assert (verdict.missing, verdict.extra, verdict.different, verdict.behind) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("DELETE FROM trades WHERE sequence = (SELECT max(sequence) FROM trades)", "missing"),
        ("UPDATE trades SET price = price + 1 WHERE sequence = (SELECT min(sequence) FROM trades)", "different"),
        (
            """INSERT INTO gaps SELECT session_id, sequence, row_index + 9, begin_timestamp, end_timestamp, source,
            contract_id, reason, detail FROM gaps LIMIT 1""",
            "extra",
        ),
    ],
)
def test_rows_that_are_missing_doubled_or_different_are_told(tmp_path: Path, change: str, what: str) -> None:
    folder = make_session(tmp_path)
    with sqlite3.connect(folder / "capture.db") as base:
        base.execute(change)
    base.close()
    verdict = verify_captured(captured(str(folder)))
    assert not verdict.ok
    counts = {name: getattr(verdict, name) for name in ("missing", "extra", "different")}
    assert counts[what] >= 1
    assert sum(counts.values()) == counts[what]
    assert verdict.differences
    json.dumps(verdict.differences)


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    folder = make_session(tmp_path, n=6_000)
    sealed = next(s.path for s in segments(folder / "journal") if s.sealed)
    data = bytearray(sealed.read_bytes())
    data[len(data) // 2] ^= 0xFF
    sealed.write_bytes(data)
    verdict = verify_captured(captured(str(folder)))
    assert not verdict.ok
    assert verdict.missing_frames > 0
    assert verdict.bad_records
    assert verdict.unverifiable


# ---- backed up -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", ".tar", ".tar.zst"])
def test_a_backup_restored_is_the_session(tmp_path: Path, ending: str) -> None:
    folder = make_session(tmp_path / "home")
    session = captured(str(folder))
    target = tmp_path / "backups" / f"monday{ending}" if ending else tmp_path / "backups"
    done = backup_session(session, target, now_ns=1)
    assert done.path.exists()
    assert sorted(path.name for path in (tmp_path / "backups").iterdir()) == [done.path.name]
    again = captured(str(restore_session(done.path, home=tmp_path / "new", name="m2")))
    assert same(all_events(session_tape(again)), all_events(session_tape(session)))
    assert same(all_events(session_tape(again, source="database")), all_events(session_tape(session)))
    assert again.complete
    assert verify_captured(again).ok
    with pytest.raises(StoreError, match="of this name"):
        restore_session(done.path, home=tmp_path / "new", name="m2")
    with pytest.raises(StoreError, match="of this name"):
        backup_session(session, target, now_ns=1)


def test_a_backup_goes_into_another_database_and_out_of_one(tmp_path: Path, url: str) -> None:
    make_session(tmp_path / "home", database=url)
    session = captured("monday", tmp_path / "home", url)
    done = backup_session(session, tmp_path / "backups", now_ns=1)
    into = f"sqlite://{tmp_path}/other.db" if url.startswith("postgres") else postgres().new_database()
    restore_session(done.path, home=tmp_path / "new", database=into)
    again = captured("monday", tmp_path / "new", into)
    assert verify_captured(again).ok
    assert same(all_events(session_tape(again, source="database")), all_events(session_tape(session)))
    text = (tmp_path / "new" / "monday" / "session.json").read_text()
    assert PASSWORD not in text
    assert "9431" not in text


@pytest.mark.slow
def test_a_backup_of_a_running_session_is_consistent(tmp_path: Path) -> None:
    """Frames and rows come while it is copied; what is restored is the beginning of what the session became."""
    frames = frames_of(20_000)
    live = tmp_path / "home" / "live"
    with make_journal(live, frames[:3_000]) as journal:
        stop = threading.Event()

        def write() -> None:
            for i in range(3_000, len(frames), 50):
                if stop.is_set():
                    return
                journal.append((f.ts_recv_ns, f.source, f.kind, f.payload) for f in frames[i : i + 50])
                time.sleep(0.01)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            copies = [
                backup_session(captured("live", tmp_path / "home"), tmp_path / str(i), now_ns=i) for i in range(4)
            ]
            assert writer.is_alive()
            assert copies[0].last_sequence < copies[-1].last_sequence
        finally:
            stop.set()
            writer.join()
        final = all_events(session_tape(captured("live", tmp_path / "home")))
    for i, copy in enumerate(copies):
        session = captured(str(restore_session(copy.path, home=tmp_path / f"new{i}")))
        events = all_events(session_tape(session))
        assert events.size
        assert same(final[: events.size], events)
        verdict = verify_captured(session)
        assert verdict.ok, verdict.problems
        assert verdict.frames == copy.last_sequence


def test_a_backup_is_checked_to_the_last_byte_in_its_archive_too(tmp_path: Path) -> None:
    session = captured(str(make_session(tmp_path / "home", n=500)))
    done = backup_session(session, tmp_path / "a.tar", now_ns=1)
    assert check_backup(done.path) == done
    assert is_backup(done.path)
    content = bytearray(done.path.read_bytes())
    content[content.index(b"SQLite format") + 40] ^= 1
    (tmp_path / "b.tar").write_bytes(content)
    with pytest.raises(StoreCorrupted, match="is not what was copied"):
        check_backup(tmp_path / "b.tar")
    folder = backup_session(session, tmp_path / "copies", now_ns=1).path
    (folder / "beside").symlink_to(folder / "session.json")
    with pytest.raises(StoreCorrupted, match="no part of the backup"):
        check_backup(folder)
    (folder / "beside").unlink()
    (folder / "journal").rename(tmp_path / "journal")
    (folder / "journal").symlink_to(tmp_path / "journal")
    with pytest.raises(StoreCorrupted, match="is missing"):
        check_backup(folder)
    assert list(tmp_path.glob(".*")) == []


def test_a_damaged_backup_is_not_restored(tmp_path: Path) -> None:
    session = captured(str(make_session(tmp_path / "home", n=500)))
    done = backup_session(session, tmp_path / "backups", now_ns=1)
    assert check_backup(done.path) == done
    victim = done.path / "capture.db"
    data = bytearray(victim.read_bytes())
    data[4_000] ^= 1
    victim.write_bytes(data)
    with pytest.raises(StoreCorrupted, match=r"capture\.db"):
        restore_session(done.path, home=tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(StoreError, match="no backup"):
        restore_session(tmp_path / "home", home=tmp_path / "new")


# ---- pruned --------------------------------------------------------------------------------------------------------


def test_a_pruned_session_reads_as_before_from_the_lake(tmp_path: Path, url: str) -> None:
    folder = make_session(tmp_path / "home", database=url)
    session = captured("monday", tmp_path / "home", url)
    expected = all_events(session_tape(session))
    gaps = statistics_of_session(session).gaps
    asked = prune_session(session, tmp_path / "lake", now_ns=LATER, dry_run=True)
    assert asked.pruned
    assert not (tmp_path / "lake").exists()
    done = prune_session(session, tmp_path / "lake", now_ns=LATER)
    assert (done.pruned, done.events) == (True, expected.size)
    assert done.rows > 2_000
    assert not (folder / "journal").exists()
    assert not list(Lake(tmp_path / "lake").verify())
    with pytest.raises(StoreError, match="no such session"):
        captured(f"{url}#monday")
    after = captured(str(folder))
    assert after.state == "pruned"
    tape = session_tape(after)
    assert same(all_events(tape), expected)
    assert {i: x.symbol for i, x in tape.instruments.items()} == {1: "MNQM5"}
    assert same(tape_of(str(folder)).events(), expected)
    assert verify_captured(after).ok
    import zstandard

    kept = json.loads(zstandard.ZstdDecompressor().decompress((folder / session_prune.KEPT).read_bytes()))
    assert len(kept["gaps"]) == len(gaps) > 0
    assert not prune_session(after, tmp_path / "lake", now_ns=LATER).pruned
    describe_session(after)


def test_only_sessions_that_ended_long_ago_are_pruned_and_never_one_that_runs(tmp_path: Path) -> None:
    make_session(tmp_path, "old", 200)
    with make_journal(tmp_path / "live", frames_of(200)):
        found = captured_sessions(tmp_path)
        ended = next(s.ended_ns for s in found if s.name == "old")
        assert ended is not None
        assert candidates(found, ended) == []
        assert [s.name for s in candidates(found, ended + 1)] == ["old"]
        live = next(s for s in found if s.name == "live")
        report = prune_session(live, tmp_path / "lake", now_ns=LATER)
        assert (report.pruned, report.reason) == (False, "it is being captured")


def test_nothing_is_deleted_where_the_lake_gives_back_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_session(tmp_path / "home", n=500)
    inner = Lake.tape

    def other(self: Lake, *args: Any, **more: Any) -> Any:
        tape = inner(self, *args, **more)
        read = tape.read
        tape.read = lambda n: (block[:-1] for block in read(n))
        return tape

    monkeypatch.setattr(Lake, "tape", other)
    with pytest.raises(StoreCorrupted, match="nothing was deleted"):
        prune_session(captured(str(folder)), tmp_path / "lake", now_ns=LATER)
    assert load_pruned(folder) is None
    assert verify_captured(captured(str(folder))).ok


def test_a_damaged_journal_is_not_pruned(tmp_path: Path) -> None:
    folder = make_session(tmp_path / "home", n=6_000)
    sealed = next(s.path for s in segments(folder / "journal") if s.sealed)
    data = bytearray(sealed.read_bytes())
    data[len(data) // 2] ^= 0xFF
    sealed.write_bytes(data)
    with pytest.raises(StoreError, match="damaged"):
        prune_session(captured(str(folder)), tmp_path / "lake", now_ns=LATER)
    assert sealed.exists()


@pytest.mark.parametrize("step", ["delete_session", "rmtree"])
def test_pruning_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    folder = make_session(tmp_path / "home", n=500)
    expected = all_events(session_tape(captured(str(folder))))

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "rmtree":
            rmtree = shutil.rmtree
            patch.setattr(shutil, "rmtree", lambda p, **k: killed() if p.name == "journal" else rmtree(p, **k))
        else:
            from tapebook.store.sqlite import SqliteDatabase

            patch.setattr(SqliteDatabase, "delete_session", killed)
        with pytest.raises(KeyboardInterrupt):
            prune_session(captured(str(folder)), tmp_path / "lake", now_ns=LATER)
    half = captured(str(folder))
    assert same(all_events(session_tape(half)), expected)
    assert candidates([half], 0) == [half]
    assert prune_session(half, tmp_path / "lake", now_ns=LATER).pruned
    assert not (folder / "journal").exists()
    assert same(all_events(session_tape(captured(str(folder)))), expected)


# ---- exported ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.parquet", "m.arrow", "m.csv", "m.csv.gz", "m.json", "lake"])
def test_what_is_exported_is_every_event(tmp_path: Path, name: str) -> None:
    session = captured(str(make_session(tmp_path / "home")))
    expected = all_events(session_tape(session))
    target = tmp_path / name
    assert export_session(session_tape(session), target).rows == expected.size
    if name == "lake" or name.endswith(("parquet", "arrow")):
        import pyarrow as pa

        if name.endswith("arrow"):
            from tapebook.market.arrow import from_arrow

            found = from_arrow(pa.ipc.open_file(target).read_all())
        else:
            found = tape_of(str(target)).events()
        assert same(found, expected)
    elif name.endswith(".json"):
        rows = [json.loads(line) for line in target.read_text().splitlines()]
        assert len(rows) == expected.size
        assert {row["symbol"] for row in rows} == {"MNQM5"}
    else:
        import gzip

        data = target.read_bytes()
        text = (gzip.decompress(data) if name.endswith("gz") else data).decode()
        assert text.count("\n") == expected.size + 1
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_killed_session_is_recovered_and_then_whole(tmp_path: Path) -> None:
    make_journal(tmp_path / "s", frames_of(1_000)).close()
    assert captured("s", tmp_path).state == "killed"
    verdict = verify_captured(captured("s", tmp_path))
    assert verdict.ok  # its journal is, and no database was promised
    recover_session(tmp_path / "s")
    assert verify_captured(captured("s", tmp_path)).rows
    assert (tmp_path / "s" / "capture.db").exists()
