"""ProjectX: a message of each type and form, with invented numbers, and the events written out by hand."""

from __future__ import annotations

from tapebook.market.events import MISSING as M
from tapebook.market.events import Flag, Kind
from tests.venues.golden import Golden

RS = b"\x1e"
MNQ, MES = "CON.F.US.MNQ.U26", "CON.F.US.MES.U26"
TRADE, LEVEL, QUOTE, CLEAR = int(Kind.TRADE), int(Kind.LEVEL), int(Kind.QUOTE), int(Kind.CLEAR)
LAST, INFO, BAD, GAP = int(Flag.LAST), int(Flag.INFO), int(Flag.MAYBE_BAD), int(Flag.GAP)
# 2026-08-19T20:51:31 UTC
S = 1_787_172_691_000_000_000
P = 1_000_000_000


def event(target: str, data: str, contract: str = MNQ) -> bytes:
    return b'{"type":1,"target":"%s","arguments":["%s",%s]}' % (target.encode(), contract.encode(), data.encode()) + RS


def depth(*entries: tuple[int, float, int], contract: str = MNQ) -> bytes:
    rows = ",".join(
        f'{{"contractId":"{contract}","timestamp":"2026-08-19T20:51:31.5+00:00","type":{t},"price":{p},"volume":{v},'
        f'"currentVolume":0}}'
        for t, p, v in entries
    )
    return event("GatewayDepth", f"[{rows}]", contract)


H = S + 500_000_000
BOOK = depth((2, 100, 5), (2, 99.75, 6), (1, 100.25, 7), (1, 100.5, 8))
QUOTE_BEFORE = event("GatewayQuote", '{"bestBid":100,"bestAsk":100.25}')

PAIRS = (
    Golden(
        "a sparse quote as recorded",
        event(
            "GatewayQuote",
            f'{{"symbol":"F.US.MNQ","bestBid":29547,"bestAsk":29547.5,"lastUpdated":"2026-08-19T20:51:31.4347534+00:00",'
            f'"timestamp":"2026-08-19T20:51:31.348+00:00","contract":"{MNQ}"}}',
        ),
        (
            (QUOTE, 1, 29547 * P, M, S + 348_000_000, 0, 2, 0),
            (QUOTE, -1, 29547 * P + P // 2, M, S + 348_000_000, LAST, 2, 0),
        ),
    ),
    Golden(
        "a quote as documented, with every field",
        event(
            "GatewayQuote",
            '{"symbol":"F.US.EP","symbolName":"/ES","lastPrice":2100.25,"bestBid":2100.00,"bestAsk":2100.25,"change":25.5,'
            '"changePercent":0.14,"open":2090.0,"high":2110.0,"low":2080.0,"volume":12000,'
            '"lastUpdated":"2024-07-21T13:45:00Z","timestamp":"2024-07-21T13:45:00Z"}',
        ),
        (
            (QUOTE, 1, 2100 * P, M, 1_721_569_500 * P, 0, 2, 0),
            (QUOTE, -1, 2100_250_000_000, M, 1_721_569_500 * P, LAST, 2, 0),
        ),
    ),
    Golden(
        "a quote of one side keeps the other",
        event("GatewayQuote", '{"bestBid":99.75,"lastUpdated":"2026-08-19T20:51:31.0000007+00:00"}'),
        (
            (QUOTE, 1, 99_750_000_000, M, S + 700, 0, 2, 0),
            (QUOTE, -1, 100_250_000_000, M, S + 700, LAST, 2, 0),
        ),
        before=(QUOTE_BEFORE,),
    ),
    Golden(
        "a first quote of one side tells that side alone",
        event("GatewayQuote", '{"bestAsk":99.75}'),
        ((QUOTE, -1, 99_750_000_000, M, M, LAST, 2, 0),),
    ),
    Golden(
        "a quote with null has an empty side",
        event("GatewayQuote", '{"bestBid":null,"timestamp":"2026-08-19T20:51:31+00:00"}'),
        ((QUOTE, 1, M, M, S, 0, 2, 0), (QUOTE, -1, 100_250_000_000, M, S, LAST, 2, 0)),
        before=(QUOTE_BEFORE,),
        notes={"quotes of an empty side": 1},
    ),
    Golden(
        "a quote with other news makes no event",
        event("GatewayQuote", '{"lastPrice":100,"volume":7}'),
        (),
        before=(QUOTE_BEFORE,),
        notes={"quotes that leave the touch as it is": 1},
    ),
    Golden(
        "a quote beside a book of depth only informs",
        QUOTE_BEFORE,
        (
            (QUOTE, 1, 100 * P, M, M, INFO, 2, 0),
            (QUOTE, -1, 100_250_000_000, M, M, INFO | LAST, 2, 0),
        ),
        before=(BOOK,),
    ),
    Golden(
        "a sale in a list, as recorded",
        event(
            "GatewayTrade",
            f'[{{"symbolId":"F.US.MES","price":7730.5,"timestamp":"2026-08-19T20:51:30.052+00:00","type":1,"volume":1,'
            f'"contractId":"{MES}"}}]',
            MES,
        ),
        ((TRADE, -1, 7730_500_000_000, 1, S - 948_000_000, LAST, 3, 1),),
        instrument_id=2,
    ),
    Golden(
        "a purchase as one object, as documented",
        event(
            "GatewayTrade", '{"symbolId":"F.US.EP","price":2100,"timestamp":"2024-07-21T13:45:00Z","type":0,"volume":2}'
        ),
        ((TRADE, 1, 2100 * P, 2, 1_721_569_500 * P, LAST, 3, 1),),
    ),
    Golden(
        "two prints, null between them, one without size and side",
        event("GatewayTrade", '[{"price":100.25,"type":0,"volume":3},null,{"price":100.5}]'),
        ((TRADE, 1, 100_250_000_000, 3, M, 0, 3, 1), (TRADE, 0, 100_500_000_000, M, M, LAST, 3, 0)),
        notes={"trades without a size": 1, "trades without an aggressor": 1},
    ),
    Golden(
        "a print by position",
        event("GatewayTrade", '[["F.US.MNQ",100.25,"2026-08-19T20:51:31+00:00",1,4]]'),
        ((TRADE, -1, 100_250_000_000, 4, S, LAST, 3, 1),),
        notes={"events in a form that no recording shows": 1},
    ),
    Golden(
        "the first depth clears what quotes made",
        BOOK,
        (
            (CLEAR, 0, M, M, H, 0, 1, 0),
            (LEVEL, 1, 100 * P, 5, H, 0, 1, 0),
            (LEVEL, 1, 99_750_000_000, 6, H, 0, 1, 0),
            (LEVEL, -1, 100_250_000_000, 7, H, 0, 1, 0),
            (LEVEL, -1, 100_500_000_000, 8, H, LAST, 1, 0),
        ),
        before=(QUOTE_BEFORE,),
    ),
    Golden(
        "a level set anew and a level removed",
        depth((2, 100, 9), (1, 100.5, 0)),
        ((LEVEL, 1, 100 * P, 9, H, 0, 1, 0), (LEVEL, -1, 100_500_000_000, 0, H, LAST, 1, 0)),
        before=(BOOK,),
    ),
    Golden(
        "a best bid through the offers removes them",
        depth((4, 100.25, 2)),
        ((LEVEL, -1, 100_250_000_000, 0, H, BAD, 1, 0), (QUOTE, 1, 100_250_000_000, 2, H, LAST, 1, 0)),
        before=(BOOK,),
    ),
    Golden(
        "a new best offer as one object, as documented",
        event(
            "GatewayDepth",
            '{"timestamp":"2026-08-19T20:51:31.4173693+00:00","type":10,"price":100.25,"volume":2,"currentVolume":3}',
        ),
        ((QUOTE, -1, 100_250_000_000, 2, S + 417_369_300, LAST, 1, 0),),
        before=(BOOK,),
        notes={"depth entries whose currentVolume is another size": 1},
    ),
    Golden(
        "a best price with nothing there is a removed level",
        depth((3, 100.25, 0)),
        ((LEVEL, -1, 100_250_000_000, 0, H, LAST, 1, 0),),
        before=(BOOK,),
    ),
    Golden(
        "a level without its size",
        event("GatewayDepth", '[{"type":2,"price":100}]'),
        (),
        before=(BOOK,),
        quarantined=("bad quantity",),
    ),
    Golden(
        "a reset clears both sides",
        event("GatewayDepth", '[{"type":6,"price":0,"volume":0,"timestamp":"2026-08-19T20:51:31.5+00:00"}]'),
        ((CLEAR, 0, M, M, H, LAST | BAD, 1, 0),),
        before=(BOOK,),
    ),
    Golden(
        "prints, highs, lows, fills and types to come change no book",
        depth((5, 100.25, 40), (7, 90, 0), (8, 110, 0), (11, 100, 1), (0, 1, 1), (12, 1, 1)),
        (),
        before=(BOOK,),
        notes={"depth entries that are no levels": 6, "depth entries of unknown type": 1},
    ),
    Golden(
        "depth as JSON text",
        event("GatewayDepth", r'"[{\"type\":1,\"price\":100.25,\"volume\":1}]"'),
        ((LEVEL, -1, 100_250_000_000, 1, M, LAST, 1, 0),),
        before=(BOOK,),
        notes={"events in a form that no recording shows": 1},
    ),
    Golden(
        "depth by position, one entry",
        event("GatewayDepth", '["2026-08-19T20:51:31.5+00:00",2,100,3,0]'),
        ((LEVEL, 1, 100 * P, 3, H, LAST, 1, 0),),
        before=(BOOK,),
    ),
    Golden(
        "an event whose data alone name the contract, by its short name",
        b'{"type":1,"target":"GatewayQuote","arguments":[{"bestBid":100,"bestAsk":100.25,"contract":"MNQU6"}]}\x1e',
        ((QUOTE, 1, 100 * P, M, M, 0, 2, 0), (QUOTE, -1, 100_250_000_000, M, M, LAST, 2, 0)),
        notes={"events without a contract argument": 1},
    ),
    Golden(
        "a price off the grid",
        event("GatewayTrade", '[{"price":100.3,"type":0,"volume":1}]'),
        (),
        quarantined=("a price off the grid",),
    ),
    Golden(
        "what follows a bad message says that something is missing",
        depth((2, 99.75, 1)),
        ((LEVEL, 1, 99_750_000_000, 1, H, GAP | LAST, 1, 0),),
        before=(BOOK, event("GatewayDepth", '[{"type":2,"price":100.3,"volume":1}]')),
        quarantined=("a price off the grid",),
    ),
    Golden(
        "handshake, ping, completion and close are no market data",
        b'{}\x1e{"type":6}\x1e{"type":3,"invocationId":"1","result":null}\x1e{"type":7,"allowReconnect":true}\x1e',
        (),
        notes={"handshakes": 1, "records without market data": 2, "closes by the server": 1},
    ),
    Golden(
        "an event of unknown name",
        event("GatewayNews", "{}"),
        (),
        quarantined=("an event of unknown name",),
    ),
    Golden(
        "a record of a type to come",
        b'{"type":99}\x1e',
        (),
        quarantined=("a record of unknown type",),
    ),
    Golden(
        "an event of a contract nobody subscribed",
        event("GatewayQuote", '{"bestBid":100}', "CON.F.US.EP.U26"),
        (),
        quarantined=("an event of a contract that is not subscribed",),
    ),
)
