"""The cache trap: an edited inner kernel must change the outer one, across processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import import_module
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
    (copy / "market").mkdir()
    (copy / "market" / "__init__.py").touch()
    shutil.copy(source.parent.parent / "market" / "cache.py", copy / "market")
    (copy / "kernels" / "outer_probe.py").write_text(OUTER)
    inner = copy / "kernels" / "inner_probe.py"
    inner.write_text(INNER.format(add=1))
    cache = tmp_path / "cache"
    assert run(tmp_path / "src", cache) == "20"
    assert run(tmp_path / "src", cache) == "20"
    inner.write_text(INNER.format(add=5))
    assert run(tmp_path / "src", cache) == "60"
    names = sorted(folder.name.partition("-")[0] for folder in (cache / "kernels").iterdir())
    assert names == ["inner_probe", "inner_probe", "outer_probe", "outer_probe"]


def test_an_edit_changes_the_hash_of_what_it_reaches_and_of_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {"word": "X = 1\n", "low": "from probe_word import X\n", "high": "import probe_low\n", "apart": "\n"}
    for name, text in sources.items():
        (tmp_path / f"tapebook_probe_{name}.py").write_text(text.replace("probe_", "tapebook_probe_"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(kernels, "_is_ours", lambda name, _: name.startswith("tapebook_probe_"))

    def hashes() -> dict[str, str]:
        kernels.source_hash.cache_clear()
        kernels._imports.cache_clear()
        return {name: kernels.source_hash(f"tapebook_probe_{name}") for name in sources}

    for name in sources:
        import_module(f"tapebook_probe_{name}")
    before = hashes()
    assert len(set(before.values())) == 4
    assert hashes() == before
    (tmp_path / "tapebook_probe_word.py").write_text("X = 2\n")
    after = hashes()
    assert {name for name in sources if after[name] != before[name]} == {"word", "low", "high"}
