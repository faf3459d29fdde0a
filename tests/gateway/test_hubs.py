"""The server's end of a SignalR connection, without its socket: what the protocol's reference says, word for word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tapebook.gateway.hubs import Act, Call, Close, HubServer, Send, ServerTimes

S = 1_000_000_000
HELLO = b'{"protocol":"json","version":1}\x1e'


def opened(name: str = "market", times: ServerTimes | None = None) -> HubServer:
    hub = HubServer(name, 0, times)
    assert hub.receive(HELLO, 0) == [Send(b"{}\x1e")]
    return hub


def invocation(target: str, *arguments: Any, invocation_id: str = "1") -> bytes:
    record = {"type": 1, "target": target, "arguments": list(arguments)}
    return json.dumps(record | ({"invocationId": invocation_id} if invocation_id else {})).encode() + b"\x1e"


def error_of(acts: list[Act]) -> str:
    (act,) = acts
    assert isinstance(act, Send)
    told: dict[str, Any] = json.loads(act.record[:-1])
    assert told["type"] == 3
    assert "result" not in told  # never both
    return str(told["error"])


@pytest.mark.parametrize(
    ("first", "error"),
    [
        (b'{"protocol":"messagepack","version":1}\x1e', "The protocol 'messagepack' is not supported."),
        (b'{"protocol":"json","version":9}\x1e', "The server does not support version 9 of the 'json' protocol."),
        (b'{"type":6}\x1e', "An unexpected error occurred during connection handshake."),
        (b"[[[\x1e", "An unexpected error occurred during connection handshake."),
    ],
)
def test_a_wrong_handshake_is_answered_with_an_error_and_the_end(first: bytes, error: str) -> None:
    (act,) = HubServer("market", 0).receive(first, 0)
    assert isinstance(act, Close)
    assert json.loads(act.record[:-1]) == {"error": error}


def test_records_may_follow_the_handshake_and_come_in_pieces() -> None:
    hub = HubServer("market", 0)
    whole = HELLO + invocation("SubscribeContractQuotes", "CON.F.US.EP.H24")
    acts = hub.receive(whole[:50], 0) + hub.receive(whole[50:], 0)
    answer = b'{"type":3,"invocationId":"1","result":null}\x1e'
    assert acts == [Send(b"{}\x1e"), Call("SubscribeContractQuotes", ("CON.F.US.EP.H24",), answer)]


def test_a_client_that_does_not_speak_is_dropped_after_15_s() -> None:
    hub = HubServer("market", 0)
    assert hub.due(15 * S - 1) is None
    act = hub.due(15 * S)
    assert isinstance(act, Close)
    assert act.record == b'{"error":"Handshake was canceled."}\x1e'


def test_methods_are_found_ignoring_case_and_called_with_the_right_types() -> None:
    hub = opened("user")
    (act,) = hub.receive(invocation("SUBSCRIBEORDERS", 7), 1)
    assert isinstance(act, Call)
    assert (act.target, act.arguments) == ("SubscribeOrders", (7,))
    failed = "Failed to invoke 'SubscribeOrders' due to an error on the server."
    for arguments in ((), ("7",), (7, 7), (None,)):
        assert error_of(hub.receive(invocation("SubscribeOrders", *arguments), 1)) == failed


def test_the_frameworks_words_for_a_method_that_does_not_exist() -> None:
    expected = "Failed to invoke 'SubscribeNews' due to an error on the server. HubException: Method does not exist."
    assert error_of(opened().receive(invocation("SubscribeNews"), 1)) == expected
    wrong_hub = opened("user").receive(invocation("SubscribeContractQuotes", "CON.F.US.EP.H24"), 1)
    assert "Method does not exist" in error_of(wrong_hub)


def test_what_has_no_id_is_not_answered() -> None:
    hub = opened()
    assert hub.receive(invocation("SubscribeNews", invocation_id=""), 1) == []
    (act,) = hub.receive(invocation("SubscribeContractQuotes", "x", invocation_id=""), 1)
    assert isinstance(act, Call)
    assert act.answer == b""


def test_pings_go_out_after_15_s_of_saying_nothing_and_silence_ends_it_after_30() -> None:
    hub = opened()
    assert hub.due(15 * S - 1) is None
    assert hub.due(15 * S) == Send(b'{"type":6}\x1e')
    hub.sent(15 * S)
    hub.receive(b'{"type":6}\x1e', 20 * S)
    assert hub.due(29 * S) is None
    assert hub.due(30 * S) == Send(b'{"type":6}\x1e')
    hub.sent(30 * S)
    act = hub.due(50 * S)
    assert isinstance(act, Close)
    assert json.loads(act.record[:-1]) == {"type": 7, "error": "Connection closed with an error."}


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_message_over_the_limit_ends_the_connection(in_pieces: bool) -> None:
    hub = opened()
    long = invocation("SubscribeContractQuotes", "x" * 33_000)
    parts = [long[:20_000], long[20_000:]] if in_pieces else [long]
    acts = [act for part in parts for act in hub.receive(part, 1)]
    assert isinstance(acts[-1], Close)
    assert b"maximum message size of 32768B was exceeded" in acts[-1].record


def test_a_record_that_is_no_json_ends_the_connection() -> None:
    (act,) = opened().receive(b"{nonsense\x1e", 1)
    assert isinstance(act, Close)
    assert json.loads(act.record[:-1])["type"] == 7


def test_other_records_are_taken_in_silence_and_a_close_is_the_end() -> None:
    hub = opened()
    assert hub.receive(b'{"type":6}\x1e{"type":5,"invocationId":"1"}\x1e{"type":99}\x1e', 1) == []
    assert hub.receive(b'{"type":7}\x1e', 1) == [Close(b"", "the client closed")]


def test_streaming_is_refused() -> None:
    record = b'{"type":4,"invocationId":"3","target":"SubscribeContractQuotes","arguments":["x"]}\x1e'
    assert "non-streaming" in error_of(opened().receive(record, 1))
