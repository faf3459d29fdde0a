"""The records of DBN: types, lengths by version, fields, and which of them a schema holds.

Fields come from the ``databento-dbn`` library (``_dtypes`` of its record classes); the lengths stand here too, because
they decide what a damaged header is, and are compared with the library's in a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import dbn_words as words
from tapebook.market.events import Phase

MBO, TRADES, MBP_1, MBP_10 = 0xA0, 0x00, 0x01, 0x0A
STATUS, DEFINITION, IMBALANCE, ERROR, SYMBOL_MAPPING, SYSTEM, STATISTICS = 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18
CMBP_1, CBBO_1S, CBBO_1M, TCBBO, BBO_1S, BBO_1M, TBBO = 0xB1, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5
OHLCV_OLD, OHLCV_1S, OHLCV_1M, OHLCV_1H, OHLCV_1D, OHLCV_EOD = 0x11, 0x20, 0x21, 0x22, 0x23, 0x24
OHLCV: Final = frozenset({OHLCV_OLD, OHLCV_1S, OHLCV_1M, OHLCV_1H, OHLCV_1D, OHLCV_EOD})
CONTROL: Final = frozenset({ERROR, SYMBOL_MAPPING, SYSTEM})
"""Words of the vendor's live gateway: they may stand in any stream."""

NAMES: Final[dict[int, str]] = {
    MBO: "mbo",
    TRADES: "trades",
    MBP_1: "mbp-1",
    MBP_10: "mbp-10",
    TBBO: "tbbo",
    CMBP_1: "cmbp-1",
    CBBO_1S: "cbbo-1s",
    CBBO_1M: "cbbo-1m",
    TCBBO: "tcbbo",
    BBO_1S: "bbo-1s",
    BBO_1M: "bbo-1m",
    OHLCV_OLD: "ohlcv",
    OHLCV_1S: "ohlcv-1s",
    OHLCV_1M: "ohlcv-1m",
    OHLCV_1H: "ohlcv-1h",
    OHLCV_1D: "ohlcv-1d",
    OHLCV_EOD: "ohlcv-eod",
    STATUS: "status",
    DEFINITION: "definition",
    IMBALANCE: "imbalance",
    STATISTICS: "statistics",
    ERROR: "error",
    SYMBOL_MAPPING: "symbol-mapping",
    SYSTEM: "system",
}
TABLES: Final = OHLCV | {DEFINITION, IMBALANCE, STATISTICS}
EVENT_ROLES: Final[dict[int, int]] = {
    MBO: words.MBO,
    TRADES: words.TRADE,
    MBP_1: words.QUOTE,
    TBBO: words.TRADE_AND_QUOTE,
    MBP_10: words.DEPTH,
    CMBP_1: words.CONSOLIDATED_QUOTE,
    TCBBO: words.CONSOLIDATED_TRADE_AND_QUOTE,
    BBO_1S: words.SAMPLED_QUOTE,
    BBO_1M: words.SAMPLED_QUOTE,
    CBBO_1S: words.CONSOLIDATED_SAMPLED_QUOTE,
    CBBO_1M: words.CONSOLIDATED_SAMPLED_QUOTE,
    STATUS: words.STATUS,
}
# The records of these schemas carry the type of a wider schema.
_BORROWED: Final = {"tbbo": (MBP_1, words.TRADE_AND_QUOTE), "tcbbo": (CMBP_1, words.CONSOLIDATED_TRADE_AND_QUOTE)}

_LENGTHS: Final[dict[int, int]] = {
    MBO: 56,
    TRADES: 48,
    MBP_10: 368,
    STATUS: 40,
    IMBALANCE: 112,
    **dict.fromkeys((MBP_1, TBBO, CMBP_1, TCBBO, BBO_1S, BBO_1M, CBBO_1S, CBBO_1M), 80),
    **dict.fromkeys(OHLCV, 56),
}
_LENGTHS_BY_VERSION: Final[dict[int, dict[int, int]]] = {
    1: {DEFINITION: 360, STATISTICS: 64, ERROR: 80, SYMBOL_MAPPING: 80, SYSTEM: 80},
    2: {DEFINITION: 400, STATISTICS: 64, ERROR: 320, SYMBOL_MAPPING: 176, SYSTEM: 320},
    3: {DEFINITION: 520, STATISTICS: 80, ERROR: 320, SYMBOL_MAPPING: 176, SYSTEM: 320},
}
VERSIONS: Final = tuple(_LENGTHS_BY_VERSION)
TS_OUT_BYTES: Final = 8
"""Longer by so much is each record of a stream that was asked for send times."""

_P = Phase
_PHASES: Final = (
    *(_P.UNKNOWN, _P.PRE_OPEN, _P.AUCTION, _P.QUOTING, _P.AUCTION, _P.AUCTION, _P.UNKNOWN, _P.OPEN),
    *(_P.HALT, _P.HALT, _P.HALT, _P.CLOSE, _P.CLOSE, _P.CLOSE, _P.UNKNOWN, _P.HALT),
)
PHASES: Final[NDArray[np.uint8]] = np.array(_PHASES, np.uint8)
"""Phase by status action: none, pre-open, pre-cross, quoting, cross, rotation, new price indication, trading, halt,
pause, suspend, pre-close, close, post-close, short-sale change, not available. Where it is UNKNOWN the record's
``is_trading`` and ``is_quoting`` decide."""


def lengths(version: int, *, ts_out: bool = False) -> dict[int, int]:
    """Return the length in bytes of each record type in a version."""
    extra = TS_OUT_BYTES if ts_out else 0
    return {rtype: n + extra for rtype, n in (_LENGTHS | _LENGTHS_BY_VERSION[version]).items()}


def fields(rtype: int, version: int, *, ts_out: bool = False) -> np.dtype[Any]:
    """Return the numpy layout of a record type."""
    layout = list(_record_class(rtype, version)._dtypes)  # noqa: SLF001 - the library's own description, in its stubs
    if ts_out:
        layout.append(("ts_out", "<u8"))
    return np.dtype(layout)


def price_fields(rtype: int, version: int) -> frozenset[str]:
    """Return the fields that hold prices in 1e-9."""
    return frozenset(_record_class(rtype, version)._price_fields)  # noqa: SLF001 - as _dtypes


def time_fields(rtype: int, version: int) -> frozenset[str]:
    """Return the fields that hold ns since 1970."""
    return frozenset(_record_class(rtype, version)._timestamp_fields)  # noqa: SLF001 - as _dtypes


@cache
def _record_class(rtype: int, version: int) -> Any:
    import databento_dbn as dbn

    home = {1: dbn.v1, 2: dbn.v2, 3: dbn.v3}[version]
    names = {
        MBO: "MBOMsg",
        TRADES: "TradeMsg",
        MBP_1: "MBP1Msg",
        TBBO: "MBP1Msg",
        MBP_10: "MBP10Msg",
        CMBP_1: "CMBP1Msg",
        TCBBO: "CMBP1Msg",
        BBO_1S: "BBOMsg",
        BBO_1M: "BBOMsg",
        CBBO_1S: "CBBOMsg",
        CBBO_1M: "CBBOMsg",
        STATUS: "StatusMsg",
        DEFINITION: "InstrumentDefMsg",
        IMBALANCE: "ImbalanceMsg",
        STATISTICS: "StatMsg",
        ERROR: "ErrorMsg",
        SYMBOL_MAPPING: "SymbolMappingMsg",
        SYSTEM: "SystemMsg",
    }
    return getattr(home, "OHLCVMsg" if rtype in OHLCV else names[rtype])


@dataclass(frozen=True)
class Plan:
    """What becomes of each record type of a stream: arrays indexed by type, as the kernels take them."""

    lengths: NDArray[np.int64]
    roles: NDArray[np.uint8]
    stride: int  # bytes of every record, 0 where they differ
    row_type: int = -1  # the type that makes a table's rows, -1 for a tape


def types_of(schema: str) -> tuple[int, ...]:
    """Return the record types that a schema may hold; all where it is empty (mixed).

    >>> types_of("mbo"), types_of("tbbo")
    ((160,), (197, 1))
    """
    if not schema:
        return tuple(NAMES)
    own = tuple(rtype for rtype, name in NAMES.items() if name == schema)
    if schema in _BORROWED:
        own += (_BORROWED[schema][0],)
    return (*own, OHLCV_OLD) if schema.startswith("ohlcv") else own


def plan(schema: str, version: int, *, ts_out: bool, row_type: int = -1) -> Plan:
    """Say what to do with each record type of a stream.

    Parameters
    ----------
    schema
        The vendor's name; empty for mixed streams.
    row_type
        The type whose records make a table's rows; -1 where the stream is a tape.
    """
    known = lengths(version, ts_out=ts_out)
    length_of = np.zeros(256, np.int64)
    roles = np.zeros(256, np.uint8)
    types = types_of(schema)
    for rtype in {*types, *CONTROL}:
        length_of[rtype] = known[rtype]
        roles[rtype] = words.PASS_OVER if row_type >= 0 else EVENT_ROLES.get(rtype, words.PASS_OVER)
    for rtype in CONTROL | ({DEFINITION} if not schema else frozenset()):
        roles[rtype] = words.HAND_OVER
    if row_type < 0 and schema in _BORROWED:
        rtype, role = _BORROWED[schema]
        roles[rtype] = role
    if row_type >= 0:
        for rtype in types:
            if rtype == row_type or (schema and rtype in TABLES):
                roles[rtype] = words.TABLE_ROW
    return Plan(length_of, roles, known[types[0]] if schema else 0, row_type)
