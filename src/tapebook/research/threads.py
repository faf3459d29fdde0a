"""One thread for the linear algebra of small problems.

An optimiser over three parameters calls LAPACK hundreds of times on matrices of a few numbers. OpenBLAS hands each call
to all its threads and waits for them: on a machine with two busy cores a fit whose own work is 0.09 s of processor time
used 1.0 s of it and took 4.3 s. The limit holds inside the ``with`` only, for the whole process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS and LAPACK to one thread while the body runs."""
    import scipy.optimize  # noqa: F401 - only libraries that are loaded can be held
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
