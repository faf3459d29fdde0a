"""Linear algebra of small problems stays on one thread, and only there."""

from __future__ import annotations

from threadpoolctl import threadpool_info

from tapebook.research.threads import one_thread


def threads() -> list[int]:
    return [int(pool["num_threads"]) for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_blas_has_one_thread_inside_and_what_it_had_afterwards() -> None:
    with one_thread():
        pass  # loads the libraries
    before = threads()
    with one_thread():
        assert threads() == [1] * len(before)
        assert before
    assert threads() == before
