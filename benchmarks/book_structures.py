"""Why pages: other ways to keep price levels, on the same tapes as the ladder (figures in ``tapebook/book/ladder.py``).

    python benchmarks/book_structures.py FOLDER_OF_RECORDINGS

The prototypes set and remove levels and keep the best, no more; the ladder's figure includes its rules and counters.
Every prototype ends in the ladder's best prices, or the script says so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.bench.book import level_events, level_rows, tapes, tiled
from tapebook.book import Ladder
from tapebook.kernels import lean_helper, lean_kernel
from tapebook.kernels.bits import highest_bit
from tapebook.market.events import Events, Kind

EVENTS = 2_000_000
RUNS = 5
BLOCK = 64
LEVEL, CLEAR = int(Kind.LEVEL), int(Kind.CLEAR)
TAPES = {
    "ES": "databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst",
    "AMZN": "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip",
    "spot": "binance/spot_btcusdt_20240808.gz",
    "USD-M": "binance/usdm_btcusdt_20240808.gz",
}


@lean_helper
def halving_from_touch(keys: NDArray[np.int64], n: int, key: int) -> int:
    """First place with at least ``key``: doubling steps away from the end, then halving."""
    if n == 0 or keys[n - 1] < key:
        return n
    step = 1
    high = n - 1
    low = high - 1
    while low >= 0 and keys[low] >= key:
        high = low
        step <<= 1
        low = high - step
    low = max(low, -1)
    while high - low > 1:
        middle = (low + high) >> 1
        if keys[middle] >= key:
            high = middle
        else:
            low = middle
    return high


@lean_helper
def linear_then_branchless(keys: NDArray[np.int64], n: int, key: int) -> int:
    """First place with at least ``key``: eight looks at the touch, then halving without branches."""
    i = n
    stop = max(n - 8, 0)
    while i > stop and keys[i - 1] >= key:
        i -= 1
    if i > stop or i == 0:
        return i
    base = 0
    length = i
    while length > 1:
        half = length >> 1
        base += half if keys[base + half - 1] < key else 0
        length -= half
    return base + (1 if keys[base] < key else 0)


def sorted_arrays(find: Any) -> Any:
    @lean_kernel
    def fold(events: Any, keys_of: Any, qty_of: Any, n_of: Any, best: Any) -> None:
        kind, side, price, qty = events["kind"], events["side"], events["price"], events["qty_lots"]
        one = np.uint64(1)  # unsigned loops: no wrap-around checks, so they become vector moves
        for i in range(kind.size):
            if kind[i] == LEVEL:
                s = 0 if side[i] > 0 else 1
                key = price[i] * side[i]
                keys, lots, n = keys_of[s], qty_of[s], n_of[s]
                p = find(keys, n, key)
                if p < n and keys[p] == key:
                    if qty[i] > 0:
                        lots[p] = qty[i]
                    else:
                        for j in range(np.uint64(p), np.uint64(n - 1)):
                            keys[j] = keys[j + one]
                        for j in range(np.uint64(p), np.uint64(n - 1)):
                            lots[j] = lots[j + one]
                        n_of[s] = n - 1
                elif qty[i] > 0:
                    for j in range(np.uint64(n), np.uint64(p), -1):
                        keys[j] = keys[j - one]
                    for j in range(np.uint64(n), np.uint64(p), -1):
                        lots[j] = lots[j - one]
                    keys[p] = key
                    lots[p] = qty[i]
                    n_of[s] = n + 1
            elif kind[i] == CLEAR:
                n_of[0] = n_of[1] = 0
            for s in range(2):
                best[s] = keys_of[s, n_of[s] - 1] if n_of[s] > 0 else 0

    return fold


def run_sorted(find: Any) -> Callable[[Events, int], Callable[[], list[int]]]:
    fold = sorted_arrays(find)

    def prepare(events: Events, _tick: int) -> Callable[[], list[int]]:
        def run() -> list[int]:
            best = np.zeros(2, np.int64)
            keys, lots = np.zeros((2, 1 << 14), np.int64), np.zeros((2, 1 << 14), np.int64)
            fold(events, keys, lots, np.zeros(2, np.int64), best)
            return [int(best[0]), -int(best[1])]

        return run

    return prepare


@lean_kernel
def fold_blocks(
    events: Any, keys_of: Any, qty_of: Any, order_of: Any, used: Any, free: Any, n_of: Any, best: Any
) -> None:
    """Sorted blocks of up to ``BLOCK`` levels, and for each side the order of its blocks."""
    kind, side, price, qty = events["kind"], events["side"], events["price"], events["qty_lots"]
    one = np.uint64(1)
    for i in range(kind.size):
        if kind[i] == LEVEL:
            s = 0 if side[i] > 0 else 1
            key = price[i] * side[i]
            n = n_of[s]
            order = order_of[s]
            b = n - 1
            if b > 0 and keys_of[order[b], 0] > key:
                high = b
                step = 1
                low = high - 1
                while low > 0 and keys_of[order[low], 0] > key:
                    high = low
                    step <<= 1
                    low = high - step
                low = max(low, 0)
                while high - low > 1:
                    middle = (low + high) >> 1
                    if keys_of[order[middle], 0] > key:
                        high = middle
                    else:
                        low = middle
                b = low
            if n == 0:
                if qty[i] <= 0:
                    continue
                free[0] -= 1
                order[0] = free[free[0] + 1]
                used[order[0]] = 0
                n_of[s] = 1
                n = 1
                b = 0
            block = order[b]
            count = used[block]
            keys, lots = keys_of[block], qty_of[block]
            p = count
            while p > 0 and keys[p - 1] >= key:
                p -= 1
            if p < count and keys[p] == key:
                if qty[i] > 0:
                    lots[p] = qty[i]
                else:
                    for j in range(np.uint64(p), np.uint64(count - 1)):
                        keys[j] = keys[j + one]
                    for j in range(np.uint64(p), np.uint64(count - 1)):
                        lots[j] = lots[j + one]
                    used[block] = count - 1
                    if count == 1:
                        free[free[0] + 1] = block
                        free[0] += 1
                        for j in range(b, n - 1):
                            order[j] = order[j + 1]
                        n_of[s] = n - 1
            elif qty[i] > 0:
                if count == BLOCK:
                    free[0] -= 1
                    new = free[free[0] + 1]
                    half = BLOCK // 2
                    for j in range(half):
                        keys_of[new, j] = keys[half + j]
                        qty_of[new, j] = lots[half + j]
                    used[new] = used[block] = half
                    for j in range(n, b + 1, -1):
                        order[j] = order[j - 1]
                    order[b + 1] = new
                    n_of[s] = n + 1
                    if p > half:
                        p -= half
                        block = new
                        keys, lots = keys_of[new], qty_of[new]
                    count = half
                for j in range(np.uint64(count), np.uint64(p), -1):
                    keys[j] = keys[j - one]
                for j in range(np.uint64(count), np.uint64(p), -1):
                    lots[j] = lots[j - one]
                keys[p] = key
                lots[p] = qty[i]
                used[block] = count + 1
        elif kind[i] == CLEAR:
            for s in range(2):
                for j in range(n_of[s]):
                    free[free[0] + 1] = order_of[s, j]
                    free[0] += 1
                n_of[s] = 0
        for s in range(2):
            if n_of[s] > 0:
                last = order_of[s, n_of[s] - 1]
                best[s] = keys_of[last, used[last] - 1]


def blocks(events: Events, _tick: int) -> Callable[[], list[int]]:
    def run() -> list[int]:
        n = 2048
        best, free = np.zeros(2, np.int64), np.zeros(n + 1, np.int64)
        free[0], free[1:] = n, np.arange(n)[::-1]
        keys, lots = np.zeros((n, BLOCK), np.int64), np.zeros((n, BLOCK), np.int64)
        order, used = np.zeros((2, n), np.int64), np.zeros(n, np.int64)
        fold_blocks(events, keys, lots, order, used, free, np.zeros(2, np.int64), best)
        return [int(best[0]), -int(best[1])]

    return run


@lean_kernel
def fold_flat(events: Any, tick: int, base: Any, qty_of: Any, masks: Any, summary: Any, best: Any) -> None:
    """A place for each tick of the price range, a bit for each place, a bit for each 64 bits."""
    kind, side, price, qty = events["kind"], events["side"], events["price"], events["qty_lots"]
    one = np.int64(1)
    for i in range(kind.size):
        if kind[i] == LEVEL:
            s = 0 if side[i] > 0 else 1
            x = price[i] * side[i] // tick - base[s]
            old = qty_of[s, x]
            qty_of[s, x] = qty[i]
            w = x >> 6
            if old == 0 and qty[i] > 0:
                masks[s, w] |= one << (x & 63)
                summary[s, w >> 6] |= one << (w & 63)
                best[s] = max(best[s], x)
            elif old > 0 and qty[i] == 0:
                masks[s, w] &= ~(one << (x & 63))
                if masks[s, w] == 0:
                    summary[s, w >> 6] &= ~(one << (w & 63))
                if x == best[s]:
                    z = w >> 6
                    while z >= 0 and summary[s, z] == 0:
                        z -= 1
                    best[s] = -1
                    if z >= 0:
                        w = (z << 6) | highest_bit(summary[s, z])
                        best[s] = (w << 6) | highest_bit(masks[s, w])
        elif kind[i] == CLEAR:
            for s in range(2):
                for z in range(summary.shape[1]):
                    if summary[s, z] != 0:
                        for w in range(z * 64, z * 64 + 64):
                            if masks[s, w] != 0:
                                for x in range(w * 64, w * 64 + 64):
                                    qty_of[s, x] = 0
                                masks[s, w] = 0
                        summary[s, z] = 0
                best[s] = -1


def flat(events: Events, tick: int) -> Callable[[], list[int]]:
    sets = events[events["kind"] == LEVEL]
    side = sets["side"].astype(np.int64)
    x = sets["price"] * side // tick
    base = np.array([x[side == s].min() for s in (1, -1)])
    width = (max(int(x[side == s].max()) for s in (1, -1)) - int(base.min())) if base[0] == base[1] else 0
    width = max(width, *(int(x[side == s].max() - x[side == s].min()) for s in (1, -1))) // 4096 * 4096 + 4096

    def run() -> list[int]:
        lots, masks = np.zeros((2, width), np.int64), np.zeros((2, width // 64), np.int64)
        best = np.full(2, -1, np.int64)
        fold_flat(events, tick, base, lots, masks, np.zeros((2, width // 4096), np.int64), best)
        return [int((best[0] + base[0]) * tick), int(-(best[1] + base[1]) * tick)]

    return run


def pages(events: Events, tick: int) -> Callable[[], list[int]]:
    def run() -> list[int]:
        ladder = Ladder(tick_e9=tick)
        ladder.advance(events)
        bid, ask = ladder.best_bid, ladder.best_ask
        return [bid.price if bid else 0, ask.price if ask else 0]

    return run


STRUCTURES: dict[str, Callable[[Events, int], Callable[[], list[int]]]] = {
    "sorted arrays, doubling search": run_sorted(halving_from_touch),
    "sorted arrays, linear then branchless": run_sorted(linear_then_branchless),
    f"sorted blocks of {BLOCK}": blocks,
    "flat array with a bitmap": flat,
    "pages of 64 ticks (the ladder)": pages,
    "pages, a tick 1,000 times too fine": lambda events, tick: pages(events, max(tick // 1_000, 1)),
}


def main(folder: Path) -> None:
    for name, file in TAPES.items():
        for _what, tape, instrument in tapes({name: file}, folder):
            events = tiled(level_events(level_rows(tape), tape), EVENTS)
            wanted = pages(events, instrument.tick_e9)()
            for structure, prepare in STRUCTURES.items():
                run = prepare(events, instrument.tick_e9)
                found = run()
                taken = []
                for _ in range(RUNS):
                    start = time.process_time()
                    run()
                    taken.append(time.process_time() - start)
                ns = min(taken) / events.size * 1e9
                print(f"{name:6} {structure:40} {ns:6.1f} ns/event" + ("" if found == wanted else f"  WRONG {found}"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
