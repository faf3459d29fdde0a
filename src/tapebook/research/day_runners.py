"""Where tasks run: in this process, in processes of this machine, on the workers of a Dask cluster.

Each runner yields every task with what it returned, or with the words of what kept it from returning (its process
died, its worker was lost); in the order in which they end.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import Any, TypeVar

from tapebook.market.errors import ConfigurationError

__all__ = ["in_processes", "in_this_process", "on_a_cluster"]

T = TypeVar("T")
R = TypeVar("R")
_DIED = "the process that ran it died (out of memory?)"


def in_this_process(run: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[T, R | str]]:
    """Run one task after the other."""
    for task in tasks:
        yield task, run(task)


def in_processes(run: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[tuple[T, R | str]]:
    """Run tasks in so many processes.

    When a process dies, nobody can say which of the tasks under way killed it: each of those then runs alone, and only
    the one that kills its process again is bad.
    """
    todo = deque(tasks)
    while todo:
        under_way: dict[Future[R], T] = {}
        with _pool(min(workers, len(todo))) as pool:
            try:
                while todo or under_way:
                    while todo and len(under_way) < workers:
                        under_way[pool.submit(run, todo[0])] = todo[0]
                        todo.popleft()
                    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        yield under_way.pop(future), result
            except BrokenProcessPool:
                pass
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        for task in under_way.values():
            yield task, _alone(run, task)


def _alone(run: Callable[[T], R], task: T) -> R | str:
    with _pool(1) as pool:
        try:
            return pool.submit(run, task).result()
        except BrokenProcessPool:
            return _DIED


def _pool(workers: int) -> ProcessPoolExecutor:
    # Not forked: threads of numpy, Arrow and numba do not survive a fork.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, even if it was killed."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def on_a_cluster(run: Callable[[T], R], tasks: Sequence[T], scheduler: str) -> Iterator[tuple[T, R | str]]:
    """Run tasks on the workers of the Dask cluster at ``scheduler`` (``tcp://…``).

    The workers need this program, and the lake and the folder of results under the same paths.

    Raises
    ------
    ConfigurationError
        If Dask is not installed, or nobody answers there.
    """
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "a cluster needs Dask",
            expected="the extra distributed",
            found="none",
            remedy="pip install dask distributed",
        ) from error
    try:
        client: Any = distributed.Client(scheduler, timeout="20s", set_as_default=False)  # type: ignore[no-untyped-call] # Dask is untyped
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            "no cluster answers",
            expected="a Dask scheduler",
            found=str(error),
            where=scheduler,
            remedy="start one: dask scheduler, and dask worker tcp://… on each machine",
        ) from error
    with client:
        futures: dict[Any, T] = {client.submit(run, task, pure=False): task for task in tasks}
        ended: Any = distributed.as_completed(list(futures), loop=client.loop)  # type: ignore[no-untyped-call] # as above
        for future in ended:
            lost = future.exception()
            yield futures[future], future.result() if lost is None else f"{type(lost).__name__}: {lost}"
            future.release()
