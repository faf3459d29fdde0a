"""A bounded queue whose reader takes all that is there."""

from __future__ import annotations

import asyncio
import random

import pytest

from tapebook.venues.mailbox import Mailbox


@pytest.mark.parametrize("n_max", [1, 2, 7, 1000])
def test_everything_comes_once_in_each_writers_order_and_the_box_is_never_overfull(n_max: int) -> None:
    async def main() -> list[tuple[int, int]]:
        box: Mailbox[tuple[int, int]] = Mailbox(n_max)
        rng = random.Random(n_max)

        async def write(who: int) -> None:
            for n in range(300):
                await box.put((who, n))
                if rng.random() < 0.2:
                    await asyncio.sleep(0)

        writers = [asyncio.create_task(write(who)) for who in range(3)]
        got: list[tuple[int, int]] = []
        while len(got) < 900:
            batch = await asyncio.wait_for(box.take(), 5)
            assert 1 <= len(batch) <= n_max
            got += batch
            if rng.random() < 0.3:
                await asyncio.sleep(0)
        await asyncio.gather(*writers)
        return got

    got = asyncio.run(main())
    for who in range(3):
        assert [n for w, n in got if w == who] == list(range(300))


def test_a_writer_that_is_cancelled_leaves_the_box_as_it_was() -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox(1)
        await box.put(1)
        waiting = asyncio.create_task(box.put(2))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await box.take() == [1]
        await box.put(3)
        assert await box.take() == [3]

    asyncio.run(main())
