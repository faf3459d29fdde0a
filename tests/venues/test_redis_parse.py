"""Frames of a fan-out: the encoder writes what the description says, and nothing in a frame breaks the parser."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from tapebook.market.errors import ConfigurationError, ReaderError, SchemaMismatch
from tapebook.market.events import EVENT, Flag, Kind, empty_events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.quarantine import Quarantine
from tapebook.venues.redis.parse import Parser
from tapebook.venues.redis.settings import redis_url, shown_url
from tapebook.venues.redis.wire import Block, ContractTable, decode, encode_block, encode_table
from tests.venues.golden_redis import BOTH, MES, MNQ, PRINTS, block, event

NOW = 1_787_172_692_000_000_000


def test_the_encoder_writes_what_the_description_says() -> None:
    events = np.frombuffer(b"".join(event(told) for told in PRINTS), EVENT)
    assert encode_block(Block(MNQ, 7, 5, 6, events)) == block(MNQ, 7, *PRINTS)
    table = ContractTable("monday", {MNQ: Instrument(symbol="MNQU6", venue="CME", tick_e9=250_000_000)})
    assert decode(encode_table(table)) == table


def test_events_keep_every_bit_but_the_instrument() -> None:
    rng = np.random.default_rng(4)
    events = np.frombuffer(rng.bytes(64 * 500), EVENT).copy()
    events["kind"] = rng.integers(1, 10, events.size)
    events["flags"][-1] |= int(Flag.LAST)
    parser = Parser((), InstrumentTable())
    parser.advance(BOTH, NOW)
    found = parser.advance(encode_block(Block(MES, 0, 1, 2, events)), NOW)
    expected = events.copy()
    expected["instrument_id"] = 2
    assert found.tobytes() == expected.tobytes()


def test_frames_changed_with_a_right_checksum_never_break_the_parser() -> None:
    """A checksum does not keep a forger out, nor a program with another idea of the layout."""
    rng = np.random.default_rng(6)
    quarantine = Quarantine(keep=10)
    notes: dict[str, int] = {}
    parser = Parser((), InstrumentTable(), quarantine=quarantine, notes=notes)
    frames = [BOTH, block(MNQ, 0, *PRINTS), block(MES, 3, *PRINTS[:2])]
    n_events = 0
    for i in range(20_000):
        data = bytearray(frames[i % 3])
        for place in rng.integers(4, len(data), int(rng.integers(1, 6))):
            data[place] = int(rng.integers(0, 256))
        if rng.random() < 0.3:
            del data[int(rng.integers(14, len(data))) :]
        data[10:14] = zlib.crc32(bytes(data[14:]), zlib.crc32(bytes(data[4:10]))).to_bytes(4, "little")
        before = quarantine.total + sum(notes.values()) + n_events
        try:
            n_events += parser.advance(bytes(data), NOW).size
        except (ConfigurationError, ReaderError) as error:  # pragma: no cover - what must not happen
            pytest.fail(str(error))
        assert quarantine.total + sum(notes.values()) + n_events > before
    assert n_events > 1_000
    assert quarantine.total > 1_000


def test_a_reset_clears_one_contract_or_all() -> None:
    parser = Parser((), InstrumentTable())
    parser.advance(BOTH, NOW)
    assert parser.reset(NOW, MES)["instrument_id"].tolist() == [2]
    both = parser.reset(NOW)
    assert both["instrument_id"].tolist() == [1, 2]
    assert set(both["kind"].tolist()) == {int(Kind.CLEAR)}
    assert (both["flags"] == int(Flag.GAP | Flag.LAST)).all()


def test_only_the_contracts_that_are_wanted_come_through() -> None:
    notes: dict[str, int] = {}
    table = InstrumentTable()
    parser = Parser((MES,), table, notes=notes)
    parser.advance(BOTH, NOW)
    assert [instrument.symbol for instrument in table.values()] == ["MESU6"]
    assert parser.advance(block(MNQ, 0, *PRINTS), NOW).size == 0
    assert parser.advance(block(MES, 0, *PRINTS), NOW).size == len(PRINTS)
    assert notes["blocks of other contracts"] == 1


def test_another_version_is_told_as_such() -> None:
    frame = bytearray(encode_block(Block(MNQ, 0, 1, 1, _one())))
    frame[4] = 9
    frame[10:14] = zlib.crc32(bytes(frame[14:]), zlib.crc32(bytes(frame[4:10]))).to_bytes(4, "little")
    with pytest.raises(SchemaMismatch, match="version 9"):
        decode(bytes(frame))


def _one() -> np.ndarray:
    events = empty_events(1)
    events["kind"], events["flags"] = Kind.TRADE, int(Flag.LAST)
    return events


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://u:pw@h:1/0", "redis://u:***@h:1/0"),
        ("rediss://:pw@h", "rediss://:***@h"),
        ("unix:///tmp/s?db=0&password=pw", "unix:///tmp/s?db=0&password=***"),
        ("redis://u:p%40w@h:1/0", "redis://u:***@h:1/0"),
    ],
)
def test_urls_are_shown_without_their_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    if shown != url:
        with pytest.raises(ConfigurationError) as caught:
            redis_url(url, {}, argument=True)
        assert "pw" not in str(caught.value)
        assert redis_url("", {"TAPEBOOK_REDIS_URL": url}).reveal() == url


def test_what_is_no_redis_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not a Redis server"):
        redis_url("http://h", {})
    with pytest.raises(ConfigurationError, match="not a Redis server"):
        redis_url("", {})
