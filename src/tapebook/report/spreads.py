"""What trading cost on this tape: means of quoted, effective and realised spreads, and where prints met the quote."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.operators import Rows

__all__ = ["SpreadStats"]

_INSIDE_SHARE: Final = 1e-9  # of the quoted spread: prices are exact, only the division into floats is not


class SpreadStats:
    """Sums over the rows of the effective and realised spread features, block by block."""

    def __init__(self) -> None:
        self.n_prints = 0
        self.n_defined = 0
        self.why: dict[int, int] = {}
        self._sums = np.zeros(6)  # spread, lots, spread * lots, bp * lots, quoted * lots, lots with bp
        self._places = np.zeros(4, np.int64)  # inside, at, outside the quote; at the mid
        self._horizons: dict[int, NDArray[np.float64]] = {}

    def see_effective(self, rows: Rows) -> None:
        """Take in rows of the effective spread."""
        spread, lots = rows["effective_spread"], rows["qty_lots"].astype(np.float64)
        self.n_prints += spread.size
        codes, counts = np.unique(rows["why"], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self.why[code] = self.why.get(code, 0) + count
        good = np.isfinite(spread)
        if not good.any():
            return
        s, q, bp, quoted = spread[good], lots[good], rows["effective_spread_bp"][good], rows["quoted_spread"][good]
        self.n_defined += s.size
        with_bp = np.isfinite(bp)
        self._sums += (
            s.sum(),
            q.sum(),
            (s * q).sum(),
            (bp[with_bp] * q[with_bp]).sum(),
            (quoted * q).sum(),
            q[with_bp].sum(),
        )
        slack = _INSIDE_SHARE * quoted
        outside = s > quoted + slack
        inside = s < quoted - slack
        self._places += (int(inside.sum()), s.size - int(inside.sum() + outside.sum()), int(outside.sum()), 0)

    def see_realised(self, rows: Rows) -> None:
        """Take in rows of the realised spread."""
        for horizon_ns in np.unique(rows["horizon_ns"]).tolist():
            mine = rows["horizon_ns"] == horizon_ns
            sums = self._horizons.setdefault(horizon_ns, np.zeros(6))
            realised, lots = rows["realised_spread"][mine], rows["qty_lots"][mine].astype(np.float64)
            good = np.isfinite(realised)
            r, q, e = realised[good], lots[good], rows["effective_spread"][mine][good]
            sums += (good.sum(), q.sum(), (r * q).sum(), (e * q).sum(), (r * r * q).sum(), mine.sum())

    def effective(self) -> dict[str, Any]:
        """Return means of the effective spread, in price and bp, and shares of prints inside, at, outside the quote."""
        s, lots, weighted, bp, quoted, lots_bp = self._sums.tolist()
        n = self.n_defined
        return {
            "prints": self.n_prints,
            "prints_defined": n,
            "prints_side_unknown": self.why.get(1, 0),
            "prints_without_quote": self.why.get(2, 0),
            "prints_not_in_book": self.why.get(3, 0),
            "mean": s / n if n else None,
            "mean_by_size": weighted / lots if lots else None,
            "mean_by_size_bp": bp / lots_bp if lots_bp else None,
            "quoted_at_trades_by_size": quoted / lots if lots else None,
            "share_inside": self._places[0].item() / n if n else None,
            "share_at": self._places[1].item() / n if n else None,
            "share_outside": self._places[2].item() / n if n else None,
        }

    def realised(self) -> list[dict[str, Any]]:
        """Return, by horizon, the means by size of effective, realised and impact over the same prints."""
        table = []
        for horizon_ns, sums in sorted(self._horizons.items()):
            n, lots, realised, effective, _, n_rows = sums.tolist()
            table.append(
                {
                    "horizon_s": horizon_ns / 1e9,
                    "prints": int(n),
                    "prints_undefined": int(n_rows - n),
                    "effective": effective / lots if lots else None,
                    "realised": realised / lots if lots else None,
                    "impact": (effective - realised) / lots if lots else None,
                }
            )
        return table
