"""Which column of a time & sales file is which: the user's map, then what the header says in so many words.

Our words are ``time date price qty side bid ask bid_qty ask_qty seq symbol``; a map gives the file's column for some of
them, by name or by position from 1. What the map leaves open is taken from the header where it uses one of the plain
words below, once; words that may mean two things (``last``, ``amount``, ``id``, ``type``) are not among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tapebook.market.errors import ConfigurationError, ReaderError
from tapebook.readers.files import Head
from tapebook.readers.text_head import TextHead, position_of, text_head

__all__ = ["SAYINGS", "WORDS", "Columns", "columns_of", "head_of", "recognised"]

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "time": ("timestamp", "datetime", "time", "hora", "fechahora", "datahora", "zeit", "heure", "uhrzeit"),
    "date": ("date", "fecha", "data", "datum"),
    "price": ("price", "precio", "preco", "preço", "preis", "prix", "tradeprice"),
    "qty": (
        "volume",
        "volumen",
        "qty",
        "quantity",
        "size",
        "cantidad",
        "quantidade",
        "menge",
        "tradesize",
        "contracts",
    ),
    "side": ("side", "lado", "aggressor", "agressor", "aggressorside", "seite", "tradeside", "takerside"),
    "bid": ("bid", "bidprice", "bestbid"),
    "ask": ("ask", "askprice", "bestask", "offer"),
    "bid_qty": ("bidsize", "bidqty", "bidvolume"),
    "ask_qty": ("asksize", "askqty", "askvolume"),
    "seq": ("sequence", "seq", "sequencenumber"),
    "symbol": ("symbol", "instrument", "ticker"),
}
"""Our words, and how headers call those columns (compared in lower case, without blanks and signs)."""

SAYINGS: Final = ("date_order", "side_buy", "side_sell")
"""What a map may say besides columns: ``date_order=DMY``, ``side_buy=A``, ``side_sell=B`` (several with ``|``)."""

_BAR_WORDS: Final = frozenset({"open", "high", "low", "close", "apertura", "maximo", "minimo", "cierre"})
_NINJA_TICK: Final = re.compile(r"\d{8} \d{6} \d{7};[\d.]+;[\d.]+;[\d.]+;\d+$")
_NINJA_COLUMNS: Final = {"time": 0, "price": 1, "bid": 2, "ask": 3, "qty": 4}


@dataclass(frozen=True)
class Columns:
    """Positions of our words, from 0.

    Attributes
    ----------
    at
        Position by word.
    known
        The layout's own name, where it is a known one: ``spanish``, ``ninjatrader``; else empty.
    """

    at: Mapping[str, int]
    known: str = ""

    def __contains__(self, word: str) -> bool:
        return word in self.at


def head_of(head: Head, asked: Mapping[str, str]) -> TextHead | None:
    """Take the head apart, with a header line or without.

    Without one only where the map gives positions alone and the price in the first line is a number, or where the
    line is NinjaTrader's tick export, which has none.
    """
    if _NINJA_TICK.match(head.first_line):
        return text_head(head, header_lines=0, delimiter=";")
    text = text_head(head)
    price = asked.get("price", "")
    if text is not None and price.isdecimal() and all(v.isdecimal() for k, v in asked.items() if k not in SAYINGS):
        bare = text_head(head, header_lines=0)
        fields = bare.rows[0] if bare is not None and bare.rows else ()
        if len(fields) >= int(price) and re.fullmatch(r"[+-]?\d+([.,]\d+)?", fields[int(price) - 1]):
            return bare
    return text


def columns_of(text: TextHead, asked: Mapping[str, str], where: str) -> Columns:
    """Return where everything stands.

    Raises
    ------
    ConfigurationError
        If the map has a word that is none of ours.
    ReaderError
        If a column of the map is not in the file, or time, price or quantity are not to be found.
    """
    unknown = [word for word in asked if word not in WORDS and word not in SAYINGS]
    if unknown:
        raise ConfigurationError(
            "the column map has a word that means nothing here",
            expected=", ".join([*WORDS, *SAYINGS]),
            found=", ".join(unknown),
            where=where,
        )
    found = recognised(text)
    at = dict(found.at) | {w: position_of(text, c, w, where) for w, c in asked.items() if w in WORDS}
    missing = [word for word in ("price", "qty") if word not in at]
    if "time" not in at and "date" not in at:
        missing.insert(0, "time")
    if missing:
        raise ReaderError(
            f"no column for {', '.join(missing)}",
            expected="a time & sales file: time, price and quantity of each trade",
            found=", ".join(text.names) or "no header line",
            where=where,
            remedy=f"say which it is: --column {missing[0]}=NAME, or its position from 1",
        )
    return Columns(at, found.known)


def recognised(text: TextHead) -> Columns:
    """Return what the header says by itself.

    >>> names = ("Timestamp", "Precio", "Volumen", "Lado", "Bid", "Ask")
    >>> recognised(TextHead(";", names, (), 1, False))
    Columns(at={'time': 0, 'price': 1, 'qty': 2, 'side': 3, 'bid': 4, 'ask': 5}, known='spanish')
    """
    if not text.names:
        fields = text.rows[0] if text.rows else ()
        return Columns(_NINJA_COLUMNS, "ninjatrader") if _NINJA_TICK.match(";".join(fields)) else Columns({})
    bare = [re.sub(r"[\W_]", "", name.lower()) for name in text.names]
    at = {}
    for word, known in WORDS.items():
        places = [i for i, name in enumerate(bare) if name in known]
        if len(places) == 1:
            at[word] = places[0]
    return Columns(at, "spanish" if "lado" in bare and {"time", "price", "qty", "bid", "ask"} <= set(at) else "")


def sureness(text: TextHead | None) -> int:
    """Return how sure a head is that of a time & sales file (0 to 100)."""
    if text is None:
        return 0
    found = recognised(text)
    if found.known:
        return 90
    bare = {re.sub(r"[\W_]", "", name.lower()) for name in text.names}
    if not {"price", "qty"} <= set(found.at) or not ({"time", "date"} & set(found.at)) or bare & _BAR_WORDS:
        return 0
    return 30 if "side" in found or {"bid", "ask"} <= set(found.at) else 20
