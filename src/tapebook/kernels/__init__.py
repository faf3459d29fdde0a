"""Compiled loops on plain arrays, and the one jit policy they share. The only folder that imports numba.

A kernel takes arrays and scalars, writes only to the arrays it was given for that, raises nothing, and has a face of
the same file name in a folder above that gives it names, units and documentation. Event blocks arrive as structured
arrays; a kernel takes the columns it needs by ``events["price"]`` at its top.

The cache. numba keeps compiled code on disk by source file, but does not notice that a kernel *called by* another one
changed: the outer kernel would keep its old copy of the inner one. So the cache folder's name holds a hash of every
kernel source together with the versions of numba, llvmlite, numpy and Python and the processor: any edit starts a new
folder (``tests/kernels/test_cache.py`` edits an inner kernel and sees the outer one change). Folders of other hashes
that have not been used for a month are removed.

No fastmath and no ``parallel``: they would break the chunk law.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import llvmlite
import numba
import numpy as np
from numba.core.cpu import CPUTargetOptions

__all__ = ["cache_folder", "compiled", "kernel", "lean_helper", "lean_kernel", "lean_step", "source_hash"]

P = ParamSpec("P")
R = TypeVar("R")

_HERE = Path(__file__).parent
_UNUSED_DAYS_MAX = 30


def source_hash(folder: Path = _HERE) -> str:
    """Return a hash of all kernel sources, the compilers and the processor."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    versions = (numba.__version__, llvmlite.__version__, np.__version__, platform.python_version())
    digest.update(repr((versions, _processor())).encode())
    return digest.hexdigest()[:16]


def _processor() -> tuple[str, str]:
    import llvmlite.binding as llvm

    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@cache
def cache_folder() -> Path:
    """Return ``kernels/<hash>`` below ``$TAPEBOOK_CACHE_DIR`` or ``~/.cache/tapebook``: the compiled kernels."""
    root = os.environ.get("TAPEBOOK_CACHE_DIR")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tapebook"
    return (Path(root) if root else home) / "kernels" / source_hash()


def compiled() -> bool:
    """Return whether kernels run compiled (``NUMBA_DISABLE_JIT=1`` runs them as plain Python, for coverage)."""
    return not numba.config.DISABLE_JIT


def _open_cache() -> bool:
    """Point numba at the cache folder; return whether it can be used."""
    folder = cache_folder()
    try:
        first = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    except OSError:
        return False  # a read-only home: kernels compile anew in each process
    if first and compiled():
        print("tapebook: compiling kernels (once for this version; later starts load them)", file=sys.stderr)  # noqa: T201 - said before any logging exists
        _drop_unused(folder)
    numba.config.CACHE_DIR = str(folder)
    return True


def _drop_unused(current: Path) -> None:
    """Remove cache folders of other hashes that nobody used for a month."""
    newest = current.stat().st_mtime
    for other in current.parent.iterdir():
        if other != current and newest - other.stat().st_mtime > _UNUSED_DAYS_MAX * 86400:
            shutil.rmtree(other, ignore_errors=True)


_CACHE_USABLE = _open_cache()


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` in nopython mode, without the GIL, cached on disk."""
    jitted: Callable[P, R] = numba.njit(cache=_CACHE_USABLE, nogil=True, boundscheck=False, error_model="numpy")(
        function
    )
    return jitted


# Without numba's own memory management ("_nrt", an option that it does not document) and always inlined: an option that
# a future numba no longer knows is left out, which costs speed and nothing else.
_LEAN: Final = {
    name: value for name, value in (("_nrt", False), ("forceinline", True)) if hasattr(CPUTargetOptions, name)
}
_NO_NRT: Final = {name: value for name, value in _LEAN.items() if name == "_nrt"}


def lean_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`kernel`, for code that makes no arrays and hands those it was given on to helpers.

    numba counts references to every array that is passed from one compiled function to another, atomically; without
    that the book, which passes seven arrays to each of its helpers, folds events 8-10 times faster. Code that makes an
    array does not compile this way.
    """
    jitted: Callable[P, R] = numba.njit(
        cache=_CACHE_USABLE, nogil=True, boundscheck=False, error_model="numpy", **_NO_NRT
    )(function)
    return jitted


def lean_helper(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`lean_kernel`, and always inlined: for small steps inside a lean kernel's loop.

    A call that is not inlined pushes some fifty words for seven arrays.
    """
    jitted: Callable[P, R] = numba.njit(
        cache=_CACHE_USABLE, nogil=True, boundscheck=False, error_model="numpy", **_LEAN
    )(function)
    return jitted


def lean_step(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`lean_kernel`, for code that only other kernels call: it has no entry from Python.

    The entry takes every array of a bundle apart; leaving it out saves a third of the compile time of a kernel that is
    made of many steps.
    """
    jitted: Callable[P, R] = numba.njit(
        cache=_CACHE_USABLE,
        nogil=True,
        boundscheck=False,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        **_NO_NRT,
    )(function)
    return jitted
