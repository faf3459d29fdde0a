from __future__ import annotations

import numpy as np
import pytest

from tapebook.market.events import MISSING, Events, Kind, empty_events
from tapebook.report.tape_curves import LAGS, TapeCurves

pytestmark = pytest.mark.uncompiled


def prints(seed: int, n: int) -> tuple[Events, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    e = empty_events(n)
    e["kind"] = Kind.TRADE
    e["side"] = rng.choice([-1, 0, 1, 1], n)
    e["qty_lots"] = rng.integers(1, 30, n)
    bid = 100_000 + 10 * np.cumsum(rng.integers(-1, 2, n))
    ask = bid + rng.integers(0, 3, n) * 10  # locked now and then
    e["price"] = np.where(e["side"] > 0, ask, bid)
    bid[rng.random(n) < 0.05] = MISSING
    touch = {
        "bid_px": bid,
        "ask_px": ask,
        "trading": rng.random(n) < 0.97,
        "session": np.repeat(np.arange(3), [n // 2, n // 4, n - n // 2 - n // 4]),
    }
    return e, touch


def fold(e: Events, touch: dict[str, np.ndarray], cuts: list[int]) -> TapeCurves:
    curves = TapeCurves()
    for a, b in zip([0, *cuts], [*cuts, e.size], strict=True):
        curves.see(e[a:b], **{name: column[a:b] for name, column in touch.items()})
    return curves


def test_the_curves_are_what_their_definitions_say() -> None:
    e, touch = prints(1, 700)
    told = fold(e, touch, []).document(lot=0.5)
    side, price = e["side"].astype(int), e["price"].astype(float)
    good = (touch["bid_px"] != MISSING) & (touch["bid_px"] < touch["ask_px"]) & touch["trading"]
    mid = np.where(good, (touch["bid_px"].astype(float) + touch["ask_px"]) / 2, np.nan)
    by_lag = {key: {row["lag_prints"]: row for row in told[key]} for key in ("signature", "response", "sign_memory")}
    sizes: dict[int, list[float]] = {}
    for lag in LAGS:
        squares, drifts, responses, signs = [], [], [], []
        for i in range(lag, e.size):
            j = i - lag
            if touch["session"][i] != touch["session"][j]:
                continue
            squares.append((price[i] - price[j]) ** 2)
            if side[i] and side[j]:
                signs.append(side[i] * side[j])
            drift = mid[i] - mid[j]
            if np.isfinite(drift):
                drifts.append(drift**2)
                if side[j]:
                    responses.append(side[j] * drift)
                    if lag == told["impact_lag_prints"]:
                        sizes.setdefault(int(e["qty_lots"][j]).bit_length() - 1, []).append(side[j] * drift)
        if len(squares) < 100:
            assert lag not in by_lag["signature"]
            continue
        row = by_lag["signature"][lag]
        assert row["price_per_print"] == pytest.approx(np.sqrt(np.mean(squares) / lag) / 1e9, rel=1e-12)
        assert row["mid_per_print"] == pytest.approx(np.sqrt(np.mean(drifts) / lag) / 1e9, rel=1e-12)
        if len(responses) < 100:
            assert lag not in by_lag["response"]
            continue
        assert by_lag["response"][lag]["move"] == pytest.approx(np.mean(responses) / 1e9, rel=1e-9)
        if len(signs) < 100:
            assert lag not in by_lag["sign_memory"]
            continue
        assert by_lag["sign_memory"][lag]["correlation"] == pytest.approx(np.mean(signs), rel=1e-12)
    assert [row["quantity_from"] for row in told["impact_by_size"]] == [
        0.5 * 2**b for b in sorted(sizes) if len(sizes[b]) >= 100
    ]
    for row in told["impact_by_size"]:
        moves = sizes[round(row["quantity_from"] / 0.5).bit_length() - 1]
        assert row["move"] == pytest.approx(np.mean(moves) / 1e9, rel=1e-9)
        assert row["n"] == len(moves)


def test_any_cut_of_the_tape_gives_the_same_curves() -> None:
    e, touch = prints(2, 400)
    whole = fold(e, touch, []).document()
    for seed in range(5):
        cuts = sorted(np.random.default_rng(seed).integers(0, e.size, 6).tolist())
        assert fold(e, touch, cuts).document() == whole


def test_damaged_prices_do_no_harm() -> None:
    e, touch = prints(3, 300)
    e["price"][50:60] = np.iinfo(np.int64).max
    e["price"][70:80] = np.iinfo(np.int64).min + 1
    touch["ask_px"][90] = np.iinfo(np.int64).max
    touch["bid_px"][90] = np.iinfo(np.int64).max - 1
    fold(e, touch, [55, 91]).document()
