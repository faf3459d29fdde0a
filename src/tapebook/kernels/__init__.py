"""Compiled loops on plain arrays, and the one jit policy they share. The only folder that imports numba.

A kernel takes arrays and scalars, writes only to the arrays it was given for that, raises nothing, and has a face of
the same file name in a folder above that gives it names, units and documentation. Event blocks arrive as structured
arrays; a kernel takes the columns it needs by ``events["price"]`` at its top.

The cache. numba keeps compiled code on disk by source file, but does not notice that a kernel *called by* another one
changed: the outer kernel would keep its old copy of the inner one. So each module of kernels has a cache folder whose
name holds a hash of its source and of every module of ours that it imports, directly or through others (constants of
the market's words are compiled in as well), together with the versions of numba, llvmlite, numpy and Python and the
processor: an edit starts new folders for what it can reach, and for nothing else (``tests/kernels/test_cache.py`` edits
an inner kernel and sees the outer one change). Folders that have not been used for a month are removed.

No fastmath and no ``parallel``: they would break the chunk law.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
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

from tapebook.market.cache import cache_home

__all__ = ["cache_folder", "compiled", "kernel", "lean_helper", "lean_kernel", "lean_step", "source_hash"]

P = ParamSpec("P")
R = TypeVar("R")

_UNUSED_DAYS_MAX: Final = 30
_IMPORT: Final = re.compile(rb"^(?:from ([\w.]+) import (\([^)]*\)|[^\n]*)|import ([\w.]+))", re.MULTILINE)
_NAME: Final = re.compile(rb"\w+")


@cache
def _imports(module: str) -> tuple[bytes, frozenset[str]]:
    """Return a module's source and the modules of its own top-level package, and of ours, that it imports."""
    path = getattr(sys.modules.get(module), "__file__", None)
    source = Path(path).read_bytes() if path else b""
    found: set[str] = set()
    for package, names, plain in _IMPORT.findall(source):
        base = (package or plain).decode()
        found.add(base)
        found.update(f"{base}.{name.decode()}" for name in _NAME.findall(names))
    return source, frozenset(name for name in found if name in sys.modules and _is_ours(name, module))


def _is_ours(name: str, importer: str) -> bool:
    return name.split(".", maxsplit=1)[0] in ("tapebook", importer.split(".", maxsplit=1)[0])


@cache
def source_hash(module: str) -> str:
    """Return a hash of a module's source and of all of ours that it imports, of the compilers and the processor."""
    todo, seen = [module], set[str]()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += _imports(name)[1]
    digest = hashlib.sha256(_surroundings().encode())
    for name in sorted(seen):
        digest.update(name.encode() + b"\0" + _imports(name)[0] + b"\0")
    return digest.hexdigest()[:16]


@cache
def _surroundings() -> str:
    import llvmlite.binding as llvm

    versions = (numba.__version__, llvmlite.__version__, np.__version__, platform.python_version())
    return repr((versions, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()))


def cache_folder(module: str) -> Path:
    """Return where the compiled kernels of a module are kept, below :func:`~tapebook.market.cache.cache_home`."""
    return cache_home() / "kernels" / f"{module.rpartition('.')[2]}-{source_hash(module)}"


def compiled() -> bool:
    """Return whether kernels run compiled (``NUMBA_DISABLE_JIT=1`` runs them as plain Python, for coverage)."""
    return not numba.config.DISABLE_JIT


@cache
def _open_cache(module: str) -> str:
    """Make the cache folder of a module; return it, or nothing where none can be had."""
    if not compiled():
        return ""
    folder = cache_folder(module)
    try:
        first = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    except OSError:
        return ""  # a read-only home: kernels compile anew in each process
    if first:
        _announce()
        _drop_unused(folder)
    return str(folder)


@cache
def _announce() -> None:
    print("tapebook: compiling kernels (once for this version; later starts load them)", file=sys.stderr)  # noqa: T201 - said before any logging exists


def _drop_unused(current: Path) -> None:
    """Remove cache folders that nobody used for a month."""
    newest = current.stat().st_mtime
    for other in current.parent.iterdir():
        with contextlib.suppress(OSError):  # another process may be removing it
            if other != current and newest - other.stat().st_mtime > _UNUSED_DAYS_MAX * 86400:
                shutil.rmtree(other, ignore_errors=True)


def _jit(function: Callable[P, R], **options: bool) -> Callable[P, R]:
    folder = _open_cache(function.__module__)
    if folder:
        numba.config.CACHE_DIR = folder  # read when a function is decorated
    jitted: Callable[P, R] = numba.njit(
        cache=bool(folder), nogil=True, boundscheck=False, error_model="numpy", **options
    )(function)
    return jitted


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` in nopython mode, without the GIL, cached on disk."""
    return _jit(function)


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
    return _jit(function, **_NO_NRT)


def lean_helper(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`lean_kernel`, and always inlined: for small steps inside a lean kernel's loop.

    A call that is not inlined pushes some fifty words for seven arrays.
    """
    return _jit(function, **_LEAN)


def lean_step(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`lean_kernel`, for code that only other kernels call: it has no entry from Python.

    The entry takes every array of a bundle apart; leaving it out saves a third of the compile time of a kernel that is
    made of many steps.
    """
    return _jit(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_NO_NRT)
