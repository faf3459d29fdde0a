"""One sentence under each picture: what it shows, with the numbers. Also the headline figures on top of the page."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from statistics import median
from typing import Any, Final, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from tapebook.market.instruments import Instrument
from tapebook.report import words

__all__ = ["Document", "Tile", "captions", "shown_fit", "tiles"]

Document: TypeAlias = dict[str, Any]

_FITS_MIN: Final = 60  # intervals of ten seconds that a fit needs to be the one that is drawn
_OUTSIDE_MAX: Final = 0.1  # share of trades outside the quote above which the book is called late


class Tile(NamedTuple):
    """A headline figure."""

    label: str
    value: str
    note: str = ""
    tone: str = ""  # buy, sell, warn or nothing


def tiles(document: Document, instrument: Instrument) -> list[Tile]:
    """Return the headline figures that this tape can give."""
    found: list[Tile] = []
    price, trades, spreads = document["price"], document["trades"], document["spreads"]
    half = _half_ticks(document)
    if price["close"] is not None:
        change = words.price(price["change"], instrument, sign=True, extra=half)
        percent = f" ({words.number(price['change_percent'], 2, sign=True)} %)" if price["change_percent"] else ""
        value = words.price(price["close"], instrument, extra=half)
        found.append(Tile("last " + price["basis"], value, change + percent, _tone(price["change"])))
        reach = words.ticks(price["range_ticks"]) if price["range_ticks"] is not None else ""
        found.append(Tile("range", words.price(price["range"], instrument), reach))
    if trades["prints"]:
        note = f"{words.count(trades['prints'])} trades"
        found.append(Tile("volume", words.quantity(trades["volume"], instrument), note))
    if "delta" not in document["missing"]:
        note = f"{words.number(100 * trades['delta_share'], 1)} % of volume"
        value = words.quantity(trades["delta"], instrument, sign=True)
        found.append(Tile("delta", value, note, _tone(trades["delta"])))
    if "spread" not in document["missing"]:
        quoted = spreads["quoted"]
        if quoted["mean_by_time_ticks"] is not None:
            note = f"one tick {words.percent(quoted['share_one_tick'])} of the time"
            found.append(Tile("quoted spread", words.ticks(quoted["mean_by_time_ticks"]), note))
        else:
            found.append(Tile("quoted spread", words.significant(quoted["mean_by_time"])))
    if "cost" not in document["missing"]:
        effective = spreads["effective"]
        value = words.ticks(effective["mean_by_size_ticks"])
        if effective["mean_by_size_ticks"] is None:
            value = words.significant(effective["mean_by_size"])
        note = f"{words.number(effective['mean_by_size_bp'], 2)} bp" if effective["mean_by_size_bp"] else ""
        found.append(Tile("effective spread", value, note))
    best = shown_fit(document) if "flow" not in document["missing"] else None
    if best is not None:
        note = f"of the mid's moves in {best['interval_s']} s"
        found.append(Tile("order flow explains", words.percent(best["ofi"]["r2"], 0), note))
    found.append(quality_tile(document))
    return found


def quality_tile(document: Document) -> Tile:
    """Return the headline figure about the recording's quality."""
    findings = document["quality"]["findings"]
    errors, warnings = (sum(f["severity"] == s for f in findings) for s in ("error", "warning"))
    told = [f"{n} {name}{'s' * (n != 1)}" for n, name in ((errors, "error"), (warnings, "warning")) if n]
    if not told:
        return Tile("data quality", "sound", "no errors, no warnings")
    return Tile("data quality", told[0], " and ".join(told[1:]) or "see below", "warn" if errors else "")


def _tone(value: float) -> str:
    return "buy" if value > 0 else "sell" if value < 0 else ""


def _half_ticks(document: Document) -> int:
    """Return the extra decimal that a mid needs."""
    return 1 if document["price"]["basis"] == "mid" else 0


def shown_fit(document: Document) -> dict[str, Any] | None:
    """Return the fit to draw: over ten seconds if there are enough of them, else over the shortest interval."""
    known = [row for row in document["flow"] if row["ofi"] is not None]
    ten = [row for row in known if row["interval_s"] == 10 and row["ofi"]["n"] >= _FITS_MIN]
    return ten[0] if ten else known[0] if known else None


def captions(document: Document, instrument: Instrument, zone: ZoneInfo, drawn: dict[str, Any]) -> dict[str, str]:
    """Return the sentence of each section that has a picture."""
    teller = _Teller(document, instrument, zone, drawn)
    return {name: str(getattr(teller, name)()) for name in drawn["pictures"]}


@dataclass(frozen=True)
class _Teller:
    """Makes the sentences; one method a picture, named as its section."""

    document: Document
    instrument: Instrument
    zone: ZoneInfo
    drawn: dict[str, Any]

    def price(self) -> str:
        p, t, half = self.document["price"], self.document["trades"], _half_ticks(self.document)
        way = "rose" if p["change"] > 0 else "fell" if p["change"] < 0 else "ended where it began"
        moved = f"{way} {self._price(abs(p['change']), half)}" if p["change"] else way
        text = (
            f"The {'mid' if p['basis'] == 'mid' else 'price'} {moved}, from {self._price(p['open'], half)} to "
            f"{self._price(p['close'], half)}, between {self._price(p['low'], half)} and "
            f"{self._price(p['high'], half)}; a column is {words.duration(self.drawn['column_s'])}, the band its "
            "lowest and highest"
        )
        if t["prints"]:
            text += f". Below it, {self._quantity(t['volume'])} traded in {words.count(t['prints'])} prints"
            text += f", at {self._price(t['vwap'], 1)} on average" if t["vwap"] is not None else ""
        elif t["volume"]:
            text += f". Below it, {self._quantity(t['volume'])} traded"
        return text + f". Times are {words.zone_name(self.zone)}."

    def spread(self) -> str:
        q = self.document["spreads"]["quoted"]
        text = f"Weighted by time, the quoted spread was {self._price(q['mean_by_time'], 2)}"
        text += _in_ticks(q["mean_by_time_ticks"]) + f" over {words.duration(q['quoted_s'])} of trading hours"
        if q["share_one_tick"] is not None:
            text += f", and one tick for {words.percent(q['share_one_tick'])} of it"
        return text + "; the band is the narrowest and widest of each column."

    def cost(self) -> str:
        e = self.document["spreads"]["effective"]
        text = (
            f"Takers paid an effective spread of {self._price(e['mean_by_size'], 2)}"
            f"{_in_ticks(e['mean_by_size_ticks'])}, weighted by size over {words.count(e['prints_defined'])} trades"
        )
        if e["half_spread_cost_per_lot"] is not None and self.instrument.kind == "future":
            cost = words.number(e["half_spread_cost_per_lot"], 2)
            text += f": {cost} {self.instrument.currency} a contract to get in"
        text += f"; {words.percent(e['share_at'])} of them at the quote, {words.percent(e['share_inside'])} inside it, "
        text += f"{words.percent(e['share_outside'])} outside."
        rows = [r for r in self.document["spreads"]["realised"] if r["prints"] and r["horizon_s"] == 5.0]
        if rows:
            impact, realised = rows[0]["impact"], rows[0]["realised"]
            text += (
                f" After five seconds the mid had moved {self._price(impact, 2, sign=True)} with the trade, which left "
                f"its maker {self._price(realised, 2, sign=True)}."
            )
        if e["share_outside"] > _OUTSIDE_MAX:
            text += " So many trades outside the quote mean that this book lags its trades: the true costs are lower."
        return text

    def depth(self) -> str:
        about, depth = self.drawn["depth"], self.document["depth"]
        cells = (
            f"cells of {words.plain(about['row_price'])} by {words.duration(about['column_s'])}, logarithmic colours"
        )
        if about["shows"] == "volume":
            return f"What traded, by time and price ({cells}): this tape holds no depth to draw."
        text = f"Resting quantity by price over time ({cells}), the price in white"
        if depth["mean_bid_size"] is not None:
            text += (
                f"; on average {self._mean(depth['mean_bid_size'])} were bid and {self._mean(depth['mean_ask_size'])} "
            )
            text += "offered at the touch"
        if about["bubbles"]:
            largest = self._quantity(about["largest"])
            text += f". Circles mark where most traded, blue mostly bought, orange mostly sold, the largest {largest}"
        return text + "."

    def delta(self) -> str:
        t = self.document["trades"]
        text = (
            f"Aggressors bought {self._quantity(t['bought'])} and sold {self._quantity(t['sold'])}: a delta of "
            f"{self._quantity(t['delta'], sign=True)}; within a session it reached "
            f"{self._quantity(t['session_delta_lowest'], sign=True)} and "
            f"{self._quantity(t['session_delta_highest'], sign=True)}"
        )
        if t["side_unknown"]:
            share = words.percent(t["side_unknown"] / t["volume"])
            text += f". {self._quantity(t['side_unknown'])} ({share}) had no aggressor and are in no delta"
        source = self.document["sides"]["source"].replace("_", " ").replace("+", " and ")
        return text + f". Sides come from the {source}; each trade date starts at zero."

    def profile(self) -> str:
        p = self.document["profile"]
        row = f"{p['row_ticks']} tick{'s' * (p['row_ticks'] != 1)}" if p["row_ticks"] else words.significant(p["row"])
        text = (
            f"Most traded at {self._price(p['poc'])} ({self._quantity(p['volume_at_poc'])}); 70 % of the volume lies "
            f"from {self._price(p['val'])} to {self._price(p['vah'])} (rows of {row}, pairs of rows, ties up). Fainter "
            "bars are outside the value area"
        )
        bar = self.drawn.get("profile_bar")
        if bar and p["row"] and bar > 1.5 * p["row"]:
            text += f"; each bar drawn is {words.plain(bar)} high"
        return text + "."

    def flow(self) -> str:
        row = shown_fit(self.document)
        assert row is not None
        fit, trades = row["ofi"], row["trades"]
        unit = "ticks" if self.instrument.tick_e9 else self.instrument.currency
        slope = f"{words.significant(fit['slope'], sign=True)} \u00b1 {words.significant(fit['slope_error'], 2)} {unit}"
        text = (
            f"Over {row['interval_s']} s, order-flow imbalance at the touch explains {words.percent(fit['r2'], 0)} of "
            f"the mid's moves (n = {words.count(fit['n'])}), {slope} a unit"
        )
        if trades is not None:
            text += f"; bought less sold volume explains {words.percent(trades['r2'], 0)}"
        beyond = self.drawn.get("points_beyond", 0)
        if beyond:
            text += f". {words.count(beyond)} point{'s' * (beyond != 1)} in the fit lie outside the frame"
        return text + ". Flow and move are of the same interval: this is no forecast."

    def imbalance(self) -> str:
        t = self.document["touch"]
        table = [row for row in t["by_imbalance"] if row["seconds"]]
        unit = "ticks" if self.instrument.tick_e9 else self.instrument.currency
        high, low = (words.significant(table[i]["mean_move_ticks"], 2, sign=True) for i in (-1, 0))
        nearer = "nearer" if t["rmse_microprice"] < t["rmse_mid"] else "no nearer"
        return (
            f"Within {t['ahead_s']} s the mid moved {high} {unit} on average from the heaviest bids and {low} from the "
            f"heaviest asks ({words.count(t['seconds'])} seconds). As a forecast of the mid the microprice was off by "
            f"{words.significant(t['rmse_microprice'])} (root mean square), the mid itself by "
            f"{words.significant(t['rmse_mid'])}: {nearer}."
        )

    def activity(self) -> str:
        over, toxicity = self.document["over_time"], self.document["toxicity"]
        told = []
        volatility = _known(over["realised_volatility_bp"])
        if volatility:
            told.append(
                "Realised volatility of the mid over the last five minutes: "
                f"{words.significant(median(volatility))} bp per \u221as at the median, "
                f"{words.significant(max(volatility))} at most"
            )
        if _known(over["hawkes_buy_per_s"]):
            told.append(
                "Intensities are those of a Hawkes process with a half-life of 2 s and a branching ratio of 0.6, "
                "assumed and not fitted (tapebook hawkes fits)"
            )
        if toxicity["vpin"]:
            told.append(
                f"VPIN over {toxicity['in_a_vpin']} buckets of {self._quantity(toxicity['bucket'])} was "
                f"{words.significant(median(toxicity['vpin']), 2)} at the median; independent sides of the same prints "
                f"would give {words.significant(toxicity['null'], 2)} (dashed). Its level follows from the size of the "
                "bucket and is no probability"
            )
        return ". ".join(told) + "."

    def impact(self) -> str:
        tape = self.document["tape"]
        tick = float(self.instrument.tick) or 1.0
        unit = "ticks" if self.instrument.tick_e9 else self.instrument.currency
        rows = [row for row in tape["response"] if row["lag_prints"] in (1, 10, 100)]
        told = [
            f"{words.significant(row['move'] / tick, 2, sign=True)} {unit} by the {_ordinal(row['lag_prints'])} print"
            for row in rows
        ]
        text = f"The mid moved with the aggressor of a print: {', '.join(told)} after it"
        sizes = tape["impact_by_size"]
        if len(sizes) > 1:
            least, most = sizes[0], sizes[-1]
            ratio = most["move"] / least["move"] if least["move"] > 0 else float("nan")
            if ratio > 0:
                text += (
                    f". {tape['impact_lag_prints']} prints on, prints of {self._between(most)} had moved it "
                    f"{words.significant(ratio, 2)} times as far as those of {self._between(least)}"
                )
        return text + ". Prints come in runs, so a response is not the effect of one trade alone."

    def signature(self) -> str:
        tape = self.document["tape"]
        rows = tape["signature"]
        first, last = rows[0], rows[-1]
        text = "Volatility a print"
        if first["price_per_print"] and last["price_per_print"]:
            ratio = first["price_per_print"] / last["price_per_print"]
            text += (
                f" seen between neighbouring prints is {words.significant(ratio, 2)} times that seen over "
                f"{words.count(last['lag_prints'])} of them"
            )
            text += ": more than 1 is bounce between bid and ask" if ratio > 1 else ": less than 1, moves go on"
        signs = [row for row in tape["sign_memory"] if row["lag_prints"] in (1, 10, 100)]
        if signs:
            told = ", ".join(
                f"{words.significant(row['correlation'], 2, sign=True)} at {row['lag_prints']}" for row in signs
            )
            text += f". Sides of prints are correlated with those before: {told}"
        return text + "."

    def _price(self, value: float | None, extra: int = 0, *, sign: bool = False) -> str:
        return words.price(value, self.instrument, extra=extra, sign=sign)

    def _quantity(self, value: float | None, *, sign: bool = False) -> str:
        return words.quantity(value, self.instrument, sign=sign)

    def _between(self, row: dict[str, Any]) -> str:
        low, high = (self._quantity(row[f"quantity_{end}"]) for end in ("from", "to"))
        return low if low == high else f"{low} to {high}"

    def _mean(self, value: float) -> str:
        return words.significant(value) if value < 1000 else words.number(value)


def _in_ticks(value: float | None) -> str:
    return f" ({words.ticks(value)})" if value is not None else ""


def _known(values: list[float]) -> list[float]:
    return [value for value in values if isfinite(value)]


def _ordinal(n: int) -> str:
    return "next" if n == 1 else f"{n}th"
