"""Databento's publishers: which venue a record's ``publisher_id`` means.

A publisher is a venue within a dataset. Most datasets have one; consolidated ones mix venues under one instrument
number, and their books must not be mixed. Numbers as the vendor publishes them ("Publishers, datasets, and venues" in
its documentation, and the publisher list of its client libraries, 2026).
"""

from __future__ import annotations

from typing import Final

from tapebook.market.catalog import canonical_venue

_PUBLISHERS: Final = """
GLBX.MDP3 1:GLBX
XNAS.ITCH 2:XNAS
XBOS.ITCH 3:XBOS
XPSX.ITCH 4:XPSX
BATS.PITCH 5:BATS
BATY.PITCH 6:BATY
EDGA.PITCH 7:EDGA
EDGX.PITCH 8:EDGX
XNYS.PILLAR 9:XNYS
XCIS.PILLAR 10:XCIS
XASE.PILLAR 11:XASE
XCHI.PILLAR 12:XCHI
XCIS.BBO 13:XCIS
XCIS.TRADES 14:XCIS
MEMX.MEMOIR 15:MEMX
EPRL.DOM 16:EPRL
XNAS.NLS 17:FINN 18:FINC 47:XNAS 86:XBOS 87:XPSX
XNYS.TRADES 19:FINY 45:XNYS 96:EQUS
OPRA.PILLAR 20:AMXO 21:XBOX 22:XCBO 23:EMLD 24:EDGO 25:GMNI 26:XISX 27:MCRY 28:XMIO 29:ARCO 30:OPRA 31:MPRL 32:XNDQ
OPRA.PILLAR 33:XBXO 34:C2OX 35:XPHL 36:BATO 37:MXOP 61:SPHR 108:MXTO 109:IEXO
IEXG.TOPS 38:IEXG
DBEQ.BASIC 39:XCHI 40:XCIS 41:IEXG 42:EPRL 59:DBEQ
ARCX.PILLAR 43:ARCX
XNYS.BBO 44:XNYS
XNAS.QBBO 46:XNAS
EQUS.PLUS 48:XCHI 49:XCIS 50:IEXG 51:EPRL 52:XNAS 53:XNYS 54:FINN 55:FINY 56:FINC 60:EQUS
IFEU.IMPACT 57:IFEU 84:XOFF
NDEX.IMPACT 58:NDEX 85:XOFF
EQUS.ALL 62:XCHI 63:XCIS 64:IEXG 65:EPRL 66:XNAS 67:XNYS 68:FINN 69:FINY 70:FINC 71:BATS 72:BATY 73:EDGA 74:EDGX
EQUS.ALL 75:XBOS 76:XPSX 77:MEMX 78:XASE 79:ARCX 80:LTSE 94:EQUS
XNAS.BASIC 81:XNAS 82:FINN 83:FINC 88:XBOS 89:XPSX 93:EQUS
EQUS.SUMMARY 90:EQUS
XCIS.TRADESBBO 91:XCIS
XNYS.TRADESBBO 92:XNYS
EQUS.MINI 95:EQUS
IFUS.IMPACT 97:IFUS 98:XOFF
IFLL.IMPACT 99:IFLL 100:XOFF
XEUR.EOBI 101:XEUR 103:XOFF
XEEE.EOBI 102:XEEE 104:XOFF
XCBF.PITCH 105:XCBF 106:XOFF
OCEA.MEMOIR 107:OCEA
MAIN.CGIF 110:MAIN 142:CDEF
EQUS.SIP 111:XASE 112:XBOS 113:XCIS 114:TXSE 115:24EQ 116:EPRL 117:XISX 118:EDGA 119:EDGX 120:LTSE 121:XCHI 122:XNYS
EQUS.SIP 123:ARCX 124:XNAS 125:MEMX 126:IEXG 127:XPSX 128:BATY 129:BATS 130:FINN 131:FINY 132:FINC 133:XADF 134:CTA
EQUS.SIP 135:UTP
MSCI.CGIF 136:MSCI
FTSE.CGIF 137:FTSE
INAV.CGIF 138:INAV
MSTAR.CGIF 139:MSTAR
CCCY.CGIF 140:CCCY
CGI.CGIF 141:CGI
XTKS.FLEX 143:XTKS
XTKT.ITCH 144:XTKT
XOSE.ITCH 145:XOSE
DBIX.CORE 146:MAIN 147:MSCI 148:FTSE 149:INAV 150:MSTAR 151:CCCY 152:CGI 153:CDEF
"""

# Datasets, by the first half of their name.
_STOCKS: Final = frozenset(
    (
        "XNAS",
        "XBOS",
        "XPSX",
        "BATS",
        "BATY",
        "EDGA",
        "EDGX",
        "XNYS",
        "XCIS",
        "XASE",
        "XCHI",
        "MEMX",
        "EPRL",
        "IEXG",
        "DBEQ",
        "ARCX",
        "EQUS",
        "OCEA",
    )
)
_FUTURES: Final = frozenset(("XEUR", "XEEE", "IFEU", "IFUS", "IFLL", "NDEX", "XCBF"))


def _read() -> tuple[dict[int, tuple[str, str]], dict[str, int]]:
    by_id: dict[int, tuple[str, str]] = {}
    n_venues: dict[str, int] = {}
    for line in _PUBLISHERS.split("\n"):
        dataset, *entries = line.split() or [""]
        for entry in entries:
            number, venue = entry.split(":")
            by_id[int(number)] = (dataset, venue)
            n_venues[dataset] = n_venues.get(dataset, 0) + 1
    return by_id, n_venues


_BY_ID, _N_VENUES = _read()


def dataset_of(publisher_id: int) -> str:
    """Return the dataset of a publisher, empty where it is not known.

    >>> dataset_of(1)
    'GLBX.MDP3'
    """
    return _BY_ID.get(publisher_id, ("", ""))[0]


def venue_of(publisher_id: int, dataset: str = "") -> str:
    """Return the catalogue's name of a record's venue.

    A publisher that does not belong to ``dataset`` (or a new one) is taken for the dataset's own venue.

    >>> venue_of(1), venue_of(2, "XNAS.ITCH"), venue_of(0, "XEUR.EOBI"), venue_of(66)
    ('CME', 'XNAS', 'XEUR', 'XNAS')
    """
    home, venue = _BY_ID.get(publisher_id, ("", ""))
    if venue and dataset in ("", home):
        return canonical_venue(venue)
    return canonical_venue(dataset.partition(".")[0]) if dataset else "DATABENTO"


def belongs(publisher_id: int, dataset: str) -> bool:
    """Return whether a publisher may appear in a dataset; True where either is not known."""
    home = dataset_of(publisher_id)
    return not home or dataset not in _N_VENUES or home == dataset


def has_one_venue(dataset: str) -> bool:
    """Return whether every record of a dataset comes from the same venue.

    >>> has_one_venue("GLBX.MDP3"), has_one_venue("EQUS.ALL"), has_one_venue("NEW.DATASET")
    (True, False, False)
    """
    return _N_VENUES.get(dataset) == 1


def kind_of(dataset: str) -> str:
    """Return what a dataset holds where it is one kind of thing, else an empty string.

    >>> kind_of("XNAS.ITCH"), kind_of("GLBX.MDP3")
    ('stock', '')
    """
    home = dataset.partition(".")[0]
    return "stock" if home in _STOCKS else "future" if home in _FUTURES else ""
