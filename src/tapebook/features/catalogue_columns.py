"""What the 27 columns of the catalogue mean, in their order."""

from __future__ import annotations

from typing import Final

from tapebook.market.operators import Column

__all__ = ["COLUMNS"]

_FLOW = "flow into the bids and out of the asks"

COLUMNS: Final = (
    Column("ts_ns", "ns", "clock of the event"),
    Column("mid", "price", "middle of bid and ask; NaN unless both stand, uncrossed, while the market trades"),
    Column("micro_price", "price", "bid and ask, each weighted by the other side's size"),
    Column("weighted_mid", "price", "mid plus half the spread times the imbalance of the first levels"),
    Column("ofi_1", "lots", f"{_FLOW} at the best prices; NaN where nothing precedes it", flow=True),
    Column("ofi_2", "lots", f"{_FLOW}, first two levels; NaN on a tape that never showed as many", flow=True),
    Column("ofi_3", "lots", f"{_FLOW}, first three levels", flow=True),
    Column("ofi_5", "lots", f"{_FLOW}, first five levels", flow=True),
    Column("imbalance", "-1 to 1", "bid less ask size over their sum, first levels"),
    Column("weighted_imbalance", "-1 to 1", "the same, each level counting less than the one before"),
    Column("book_pressure", "-1 to 1", "the same, each size divided by its distance from the mid"),
    Column("spread", "price", "ask less bid"),
    Column("relative_spread_bp", "1e-4 of the mid", "spread over mid; NaN also where the mid is not above zero"),
    Column("realised_volatility_bp", "bp per root second", "root of the squared log returns over the time they took"),
    Column("price_velocity", "ticks/s", "slope of the mid now, by a local parabola"),
    Column("price_acceleration", "ticks/s2", "its bend"),
    Column("hawkes_buy_per_s", "orders/s", "intensity of aggressive buys now"),
    Column("hawkes_sell_per_s", "orders/s", "intensity of aggressive sells now"),
    Column("hawkes_ratio", "1", "buy over sell intensity, neither taken below the floor"),
    Column("hawkes_self_excitation", "0 to 1", "share of both intensities that past orders caused"),
    Column("kyle_lambda", "price/lot", "slope of the bars' mid change on what was bought less what was sold in them"),
    Column(
        "amihud", "log return per million", "mean of |return| over the million of currency traded, bars with volume"
    ),
    Column("fracdiff_log_price", "log return", "fractionally differenced log mid, counted from the session's first"),
    Column("fracdiff_volume_lots", "lots", "fractionally differenced volume of the bars"),
    Column("rsi_14", "0 to 100", "Wilder's relative strength of the mid (length 14 by default)"),
    Column("macd", "price", "fast less slow exponential average of the mid"),
    Column("macd_signal", "price", "exponential average of macd"),
    Column("bollinger_position", "1", "where the mid stands between the bands: 0 lower, 1 upper"),
)
