from __future__ import annotations

import numpy as np
import pytest

from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.models.propagator import Kernel, Propagator

KERNEL = Kernel(weights=np.array([0.4, 0.3]), decays=np.array([2.0, 50.0]), stays=0.1, concavity=0.3)


def orders(
    seed: int, n: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    rng = np.random.default_rng(seed)
    return rng.choice([-1, 1], n), rng.integers(1, 50, n).astype(float)


def test_the_running_sum_is_the_sum_over_all_past_orders() -> None:
    side, qty = orders(1, 300)
    got = Propagator(KERNEL).advance(side, qty)
    for t in range(300):
        lags = t - np.arange(t + 1) + 1
        assert got[t] == pytest.approx(float(KERNEL.at(lags) @ (side[: t + 1] * qty[: t + 1] ** 0.3)), abs=1e-12)


def test_any_cut_and_a_restart_give_the_same_to_the_last_bit() -> None:
    side, qty = orders(2, 400)
    whole = Propagator(KERNEL).advance(side, qty)
    for cut in (0, 1, 7, 200, 399):
        first = Propagator(KERNEL)
        a = first.advance(side[:cut], qty[:cut])
        state = first.save()
        heir = Propagator(KERNEL)
        heir.restore(state)
        b = heir.advance(side[cut:], qty[cut:])
        assert np.concatenate([a, b]).tobytes() == whole.tobytes()
    one = Propagator(KERNEL)
    single = np.concatenate([one.advance(side[i : i + 1], qty[i : i + 1]) for i in range(400)])
    assert single.tobytes() == whole.tobytes()


def test_the_expected_move_is_what_an_order_of_no_size_would_meet() -> None:
    side, qty = orders(3, 50)
    p = Propagator(KERNEL)
    now = p.advance(side, qty)[-1]
    move = p.expected_move()
    then = p.advance(np.array([1]), np.array([0.0]))[-1]
    assert then - now == pytest.approx(move, abs=1e-12)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no kernel"):
        Kernel(weights=np.ones(2), decays=np.ones(3))
    with pytest.raises(ConfigurationError, match="another kernel"):
        Propagator(KERNEL).restore({"sums": np.zeros(2)})
    with pytest.raises(OperatorError, match="does not fit"):
        Propagator(KERNEL).restore({})
    assert Propagator(KERNEL).advance(np.empty(0, np.int64), np.empty(0)).size == 0
    assert KERNEL.to_dict()["stays"] == 0.1
