from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from tapebook.features.next_move import NextMove, make
from tapebook.features.touch import view_of
from tapebook.kernels import next_move as kernel
from tapebook.market.checks import check_all
from tapebook.market.errors import ConfigurationError
from tapebook.readers import open_tape
from tests.features.histories import PLAIN, UNIT, random_history
from tests.oracles.touches import Moment, two_sided


def observations(history: list[Moment]) -> list[tuple[bool, list[tuple[float, float]]]]:
    """Each move of the mid: whether it was up, and the imbalances that stood before it with their seconds."""
    found: list[tuple[bool, list[tuple[float, float]]]] = []
    stood: list[tuple[float, float]] = []
    for m, after in zip(history, [*history[1:], None], strict=True):
        bid, ask = m.after[0], m.after[2]
        if not two_sided(m.after) or bid is None or ask is None:
            stood = []
            continue
        if two_sided(m.before) and m.before[0] is not None and m.before[2] is not None:
            move = (bid + ask) - (m.before[0] + m.before[2])
            if move:
                if sum(s for _, s in stood) > 0:
                    found.append((move > 0, stood))
                stood = []
        if after is not None:
            z = (m.after[1] - m.after[3]) / (m.after[1] + m.after[3])
            stood.append((z, (after.t_ns - m.t_ns) / UNIT))
    return found


@pytest.mark.uncompiled
@pytest.mark.parametrize("seed", range(3))
def test_each_move_is_a_step_by_what_stood_before_it(seed: int) -> None:
    events, history = random_history(seed, 300)
    rows = make(PLAIN, 1, half_life_moves=0.0, moves_min=1).advance(events)
    x, information = np.zeros(2), 0.25 * np.eye(2)
    seen = observations(history)
    for up, stood in seen:
        total = sum(s for _, s in stood)
        bins: dict[int, list[tuple[float, float]]] = {}
        for z, s in stood:
            bins.setdefault(min(int((z + 1) / 2 * 41), 40), []).append((z, s))
        step = np.zeros(2)
        for members in bins.values():
            seconds = sum(s for _, s in members)
            if not seconds:
                continue
            v = np.array([1.0, sum(z * s for z, s in members) / seconds])
            p = 1 / (1 + math.exp(-(x @ v)))
            step += seconds / total * (up - p) * v
            information += seconds / total * p * (1 - p) * np.outer(v, v)
        x = x + np.linalg.solve(information, step)
    assert rows["moves_learnt"][-1] == len(seen) > 50
    assert [rows["next_move_x0"][-1], rows["next_move_x1"][-1]] == pytest.approx(x.tolist(), rel=1e-9)


def queues(seed: int, n: int, x0: float, x1: float) -> NextMove:
    """A feature that has seen moves whose odds are known."""
    rng = np.random.default_rng(seed)
    mid, touches = 1_000, []
    for _ in range(n):
        bid, ask = int(rng.integers(1, 50)), int(rng.integers(1, 50))
        touches.append((mid - 1, bid, mid + 1, ask))
        up = rng.random() < 1 / (1 + math.exp(-(x0 + x1 * (bid - ask) / (bid + ask))))
        mid += 2 if up else -2
    fold = NextMove(half_life_moves=0.0)
    fold.fold(view_of(touches))
    return fold


def test_odds_that_are_known_are_found_again_as_by_maximum_likelihood() -> None:
    fit = queues(1, 20_000, 0.2, 1.5).save()["fit"]
    assert fit[1] == pytest.approx(0.2, abs=0.05)
    assert fit[2] == pytest.approx(1.5, abs=0.1)
    rng = np.random.default_rng(2)
    z = rng.uniform(-1, 1, 5_000)
    y = rng.random(5_000) < 1 / (1 + np.exp(-(0.2 + 1.5 * z)))

    def loss(x: np.ndarray) -> float:
        odds = x[0] + x[1] * z
        return float(np.logaddexp(0, odds).sum() - odds[y].sum())

    best = minimize(loss, np.zeros(2)).x
    learnt = np.zeros(kernel.FIT_N)
    for one, up in zip(z, y, strict=True):
        stood = np.zeros((kernel.BINS, 2))
        stood[0] = 1.0, one
        kernel.learn_move(float(up), 1.0, stood, learnt)
    assert learnt[1:3] == pytest.approx(best, abs=0.03)


@pytest.mark.uncompiled
def test_nothing_is_told_before_enough_moves_or_without_two_sides() -> None:
    up, down = (100, 30, 102, 10), (98, 10, 100, 30)
    rows = NextMove(moves_min=4).fold(view_of([up, down] * 4 + [(102, 5, 102, 5), up]))
    defined = np.isfinite(rows["up_probability"])
    assert defined.tolist() == [False] * 4 + [True] * 4 + [False, True]
    assert rows["moves_learnt"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 7, 7]


@pytest.mark.uncompiled
def test_the_laws_hold_with_moves_to_learn_from() -> None:
    events, _ = random_history(5, 200, sessions=True)
    check_all(lambda: make(PLAIN, 1, half_life_moves=20.0, moves_min=5), events)


def test_wrong_parameters_are_told() -> None:
    for wrong in ({"half_life_moves": -1.0}, {"moves_min": 0}):
        with pytest.raises(ConfigurationError):
            NextMove(**wrong)


@pytest.mark.recording
@pytest.mark.slow
def test_the_queues_of_a_large_tick_know_the_next_move_better_than_a_coin(recording: Callable[[str], Path]) -> None:
    tape = open_tape(recording("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst"))
    key = next(iter(tape.instruments))
    operator = make(tape.instruments[key], key)
    for block in tape.blocks():
        rows = operator.advance(block)
    assert rows["next_move_x1"][-1] > 0.5
