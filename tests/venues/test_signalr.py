"""The SignalR codec and the state of a hub's connection: any cut, any garbage, any delay."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.errors import VenueProtocolError
from tapebook.venues.signalr import (
    HANDSHAKE_REQUEST,
    PING,
    SEPARATOR,
    Handshake,
    Malformed,
    Record,
    RecordType,
    Slice,
    Splitter,
    decode,
    encode_close,
    encode_completion,
    encode_invocation,
    negotiate_url,
    read_handshake,
    read_negotiated,
    socket_url,
    text_of,
)
from tapebook.venues.signalr_hub import Hub, HubTimes, What

S = 10**9

records = st.lists(st.binary(max_size=30).map(lambda b: b.replace(SEPARATOR, b"")), max_size=12)


@given(records, st.binary(max_size=10), st.lists(st.integers(0, 400), max_size=20))
def test_any_cut_of_a_stream_gives_the_same_records(parts: list[bytes], tail: bytes, places: list[int]) -> None:
    rest = tail.replace(SEPARATOR, b"")
    whole = SEPARATOR.join([*parts, rest])
    splitter = Splitter()
    out = []
    for a, b in pairwise([0, *sorted(min(p, len(whole)) for p in places), len(whole)]):
        out += [part.raw for part in splitter.feed(whole[a:b], 1)]
    assert out == [part for part in parts if part]
    left = splitter.cut()
    assert (left.raw if left else b"") == rest
    assert splitter.cut() is None


def test_a_record_has_the_time_of_its_first_byte() -> None:
    splitter = Splitter()
    assert splitter.feed(b"ab", 1) == []
    assert splitter.feed(b"", 2) == []
    assert splitter.feed(b"c\x1ed\x1ee", 3) == [Slice(1, b"abc"), Slice(3, b"d")]
    assert splitter.feed(b"\x1e\x1e", 4) == [Slice(3, b"e")]


@pytest.mark.parametrize("sizes", [(11,), (5, 6), (1,) * 11, (10, 1)])
def test_a_record_over_the_limit_is_passed_over_and_told_however_it_comes(sizes: tuple[int, ...]) -> None:
    splitter = Splitter(bytes_max=10)
    for n in sizes:
        assert splitter.feed(b"x" * n, 1) == []
    assert len(splitter.rest) == 10
    assert splitter.feed(b"\x1eok\x1e", 2) == [Slice(1, b"x" * 10, too_long=True), Slice(2, b"ok")]


def test_records_of_every_type_are_read() -> None:
    event = decode(b'{"type":1,"target":"T","arguments":["a",{"b":1}],"new":[1]}')
    assert isinstance(event, Record)
    assert (event.type, event.target) == (RecordType.INVOCATION, "T")
    name, data = event.arguments or []
    assert (bytes(name), bytes(data)) == (b'"a"', b'{"b":1}')
    assert (text_of(name), text_of(data)) == ("a", None)
    for n in RecordType:
        record = decode(b'{"type":%d}' % n)
        assert isinstance(record, Record)
        assert record.type == n


@given(st.one_of(st.binary(), st.text().map(str.encode), st.recursive(st.none() | st.integers() | st.text(),
       lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["type", "target", "arguments", "error"]), x))
       .map(lambda x: json.dumps(x).encode())))  # fmt: skip
def test_nothing_raises_for_what_came(raw: bytes) -> None:
    for read in (decode, read_handshake):
        read(raw)
    hub = Hub(0)
    hub.receive(raw, 1)
    hub.receive(SEPARATOR + b"{}" + SEPARATOR + raw + SEPARATOR, 1)


@pytest.mark.parametrize("raw", [b"", b"[]", b"7", b"null", b'{"type":"1"}', b"{}", b"[" * 5000, b'{"type":1', b"\xff"])
def test_what_is_no_record_is_malformed_and_kept(raw: bytes) -> None:
    record = decode(raw)
    assert isinstance(record, Malformed)
    assert record.raw == raw
    assert record.found


def test_what_we_encode_is_what_the_protocol_document_shows() -> None:
    assert HANDSHAKE_REQUEST == b'{"protocol":"json","version":1}\x1e'
    assert PING == b'{"type":6}\x1e'
    call = b'{"type":1,"invocationId":"1","target":"T","arguments":["a",7]}\x1e'
    assert encode_invocation("T", ["a", 7], "1") == call
    assert encode_invocation("T", []) == b'{"type":1,"target":"T","arguments":[]}\x1e'
    assert encode_completion("1") == b'{"type":3,"invocationId":"1","result":null}\x1e'
    assert encode_completion("1", "no") == b'{"type":3,"invocationId":"1","error":"no"}\x1e'
    assert encode_close() == b'{"type":7}\x1e'
    assert encode_close("x", allow_reconnect=True) == b'{"type":7,"error":"x","allowReconnect":true}\x1e'


def test_a_handshake_is_empty_or_says_why_not() -> None:
    assert read_handshake(b"{}") == Handshake("")
    assert read_handshake(b'{"error":null}') == Handshake("")
    assert read_handshake(b'{"error":""}') == Handshake("no reason given")
    assert read_handshake(b'{"error":"no","minorVersion":1}') == Handshake("no")
    assert isinstance(read_handshake(b'{"type":6}'), Malformed)
    assert isinstance(read_handshake(b"[]"), Malformed)


def test_a_negotiation_gives_an_id_a_way_or_a_reason() -> None:
    old = read_negotiated(b'{"connectionId":"x","availableTransports":[{"transport":"WebSockets"}]}')
    assert old.socket_id == "x"
    new = read_negotiated(b'{"negotiateVersion":1,"connectionId":"x","connectionToken":"y"}')
    assert new.socket_id == "y"
    assert "y" not in repr(new)
    away = read_negotiated(b'{"url":"https://elsewhere/h?a=1","accessToken":"t"}')
    assert (away.url, away.accessToken) == ("https://elsewhere/h?a=1", "t")
    assert negotiate_url(away.url) == "https://elsewhere/h/negotiate?a=1&negotiateVersion=1"
    assert socket_url(away.url, token="t", socket_id="i") == "wss://elsewhere/h?a=1&id=i&access_token=t"
    assert socket_url("http://127.0.0.1:5/h") == "ws://127.0.0.1:5/h"
    for bad in (
        b'{"error":"closed"}',
        b"[]",
        b"{}",
        b'{"connectionId":"x","availableTransports":[{"transport":"SSE"}]}',
    ):
        with pytest.raises(VenueProtocolError):
            read_negotiated(bad)


def opened(times: HubTimes | None = None) -> Hub:
    hub = Hub(0, times)
    assert [heard.what for heard in hub.receive(b"{}\x1e", 0)] == [What.OPENED]
    return hub


def test_a_handshake_and_the_first_events_may_share_a_message() -> None:
    heard = Hub(0).receive(b'{}\x1e{"type":1,"target":"T","arguments":["a"]}\x1e{"type":6}\x1e', 1)
    assert [(h.what, h.target, h.argument) for h in heard] == [(What.OPENED, "", b""), (What.EVENT, "T", b'"a"')]


def test_a_hub_that_does_not_answer_is_given_up() -> None:
    assert Hub(0).overdue(15 * S - 1) == ""
    assert Hub(0).overdue(15 * S) == "no answer to the handshake for 15 s"
    hub = opened()
    assert hub.overdue(30 * S - 1) == ""
    assert hub.overdue(30 * S) == "nothing heard for 30 s"
    hub.receive(PING, 29 * S)
    assert hub.overdue(58 * S) == ""
    hub.busy(58 * S)  # we ourselves did not read
    assert hub.overdue(87 * S) == ""
    hub.invoke("M", [1], 60 * S)
    assert hub.overdue(70 * S) == "no answer to M for 10 s"


def test_answers_find_their_invocations_in_any_order() -> None:
    hub = opened()
    hub.invoke("A", ["x"], 0)
    hub.invoke("B", [7], 0)
    heard = hub.receive(encode_completion("2", "no") + encode_completion("1") + encode_completion("9"), 1)
    assert [(h.what, h.target, h.argument, h.error) for h in heard] == [
        (What.ANSWERED, "B", b"[7]", "no"),
        (What.ANSWERED, "A", b'["x"]', ""),
    ]
    assert hub.overdue(29 * S) == ""


def test_pings_go_out_after_silence_of_our_own() -> None:
    assert Hub(0).ping(99 * S) == b""  # not before the handshake
    hub = opened()
    assert [hub.ping(s * S) for s in (14, 15, 16, 30)] == [b"", PING, b"", PING]
    hub.invoke("A", [], 44 * S)
    assert hub.ping(45 * S) == b""


def test_a_hub_tells_why_it_closes_and_what_it_could_not_read() -> None:
    hub = opened()
    heard = hub.receive(encode_close("bye", allow_reconnect=True) + b"nonsense\x1e" + encode_close(), 1)
    assert [(h.what, h.error, h.allow_reconnect) for h in heard] == [
        (What.CLOSED, "bye", True),
        (What.MALFORMED, "a record that is no JSON object of the protocol", False),
        (What.CLOSED, "no reason given", False),
    ]
    refused = Hub(0).receive(b'{"error":"no such protocol"}\x1e', 1)
    assert [(h.what, h.error) for h in refused] == [(What.CLOSED, "the handshake failed: no such protocol")]
