"""A bounded queue whose reader takes all that is there at once: what stands between a socket and a journal.

Under load a reader gets frames by the hundred, so that what costs once a batch (a write, a decode, a switch of tasks)
is shared; when little comes it gets each at once. One reader; writers wait where the box is full: nothing is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterable
from typing import Generic, TypeVar

__all__ = ["Mailbox", "collected", "ended"]

T = TypeVar("T")


class Mailbox(Generic[T]):
    """See the module.

    >>> async def example():
    ...     box = Mailbox(2)
    ...     await box.put(1)
    ...     await box.put(2)
    ...     return await box.take()
    >>> asyncio.run(example())
    [1, 2]
    """

    def __init__(self, n_max: int) -> None:
        self.n_max = max(n_max, 1)
        self._items: list[T] = []
        self._some = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, item: T) -> None:
        """Put one item in, when there is room."""
        while len(self._items) >= self.n_max:
            self._room.clear()
            await self._room.wait()
        if not self._items:
            self._some.set()
        self._items.append(item)

    async def take(self) -> list[T]:
        """Return everything that is there, in order, as soon as there is something."""
        await self._some.wait()
        items, self._items = self._items, []
        self._some.clear()
        self._room.set()
        return items


async def collected(box: Mailbox[T | BaseException], works: Iterable[Awaitable[None]]) -> AsyncGenerator[list[T], None]:
    """Do several works at once and yield what they put into the box, in batches, until the iterator is closed.

    What a work raises is raised here, after what came before it. Closing the iterator cancels the works.
    """

    async def guarded(work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whoever reads the box gets it, whatever it is
            await box.put(error)

    tasks = [asyncio.create_task(guarded(work)) for work in works]
    try:
        while True:
            batch: list[T] = []
            for item in await box.take():
                if isinstance(item, BaseException):
                    if batch:
                        yield batch
                    raise item
                batch.append(item)
            yield batch
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ended(task: asyncio.Task[None], *expected: type[Exception]) -> None:
    """Cancel a task and wait until it has ended; what it raises is raised here, unless it was expected.

    It is not awaited itself: where we are cancelled meanwhile, that must not be taken for its end.
    """
    task.cancel()
    (end,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(end, Exception) and not isinstance(end, expected):
        raise end
