"""The cache trap: an edited inner kernel must change the outer one, across processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tapebook.kernels as kernels

INNER = "from tapebook.kernels import kernel\n\n@kernel\ndef inner(x):\n    return x + {add}\n"
OUTER = (
    "from tapebook.kernels import kernel\nfrom tapebook.kernels.inner_probe import inner\n\n"
    "@kernel\ndef outer(x):\n    return inner(x) * 10\n"
)


def run(folder: Path, cache: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(folder), "TAPEBOOK_CACHE_DIR": str(cache), "NUMBA_DISABLE_JIT": "0"}
    program = "from tapebook.kernels.outer_probe import outer\nprint(outer(1))"
    out = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    return out.stdout.strip()


@pytest.mark.slow
def test_an_edited_inner_kernel_changes_the_outer_one(tmp_path: Path) -> None:
    copy = tmp_path / "src" / "tapebook"
    (copy / "kernels").mkdir(parents=True)
    source = Path(kernels.__file__)
    shutil.copy(source.parent.parent / "__init__.py", copy)
    shutil.copy(source, copy / "kernels")
    (copy / "kernels" / "outer_probe.py").write_text(OUTER)
    inner = copy / "kernels" / "inner_probe.py"
    inner.write_text(INNER.format(add=1))
    cache = tmp_path / "cache"
    assert run(tmp_path / "src", cache) == "20"
    assert run(tmp_path / "src", cache) == "20"
    inner.write_text(INNER.format(add=5))
    assert run(tmp_path / "src", cache) == "60"
    assert len(list((cache / "kernels").iterdir())) == 2


def test_any_edit_of_a_kernel_source_changes_the_hash(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    before = kernels.source_hash(tmp_path)
    assert kernels.source_hash(tmp_path) == before
    (tmp_path / "a.py").write_text("x = 2\n")
    assert kernels.source_hash(tmp_path) != before
