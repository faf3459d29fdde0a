"""The house as a whole: file sizes, one-sentence packages, declared public names, quick starts."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tapebook

SOURCE = Path(tapebook.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
LINES_MAX = 400


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_a_file_is_short_or_says_why_not_and_opens_with_what_it_is(path: Path) -> None:
    text = path.read_text()
    doc = ast.get_docstring(ast.parse(text))
    assert doc, "the module docstring is missing"
    if text.count("\n") > LINES_MAX:
        assert "400 lines" in doc, (
            f"over {LINES_MAX} lines: split it, or say why not in the docstring ('… 400 lines …')"
        )


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=lambda p: p.parent.name)
def test_public_names_are_declared(path: Path) -> None:
    """That they are sorted is ruff's business (RUF022), which has constants first."""
    declared = [
        node.value
        for node in ast.parse(path.read_text()).body
        if (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__")
        or (isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "__all__")
    ]
    assert declared, "__all__ is missing"
    assert declared[0] is not None
    ast.literal_eval(declared[0])


def test_nothing_heavy_is_loaded_by_import_or_help() -> None:
    program = (
        "import sys, tapebook\n"
        "heavy = {'numpy', 'numba', 'polars', 'pyarrow', 'matplotlib', 'pandas', 'scipy', 'duckdb', 'rich.progress'}\n"
        "print('import', sorted(heavy & set(sys.modules)))\n"
        "import contextlib, io\n"
        "from tapebook.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): main(['--help'])\n"
        "print('help', sorted(heavy & set(sys.modules)))\n"
    )
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert out.splitlines() == ["import []", "help []"]


def test_no_word_of_this_workplace_stands_in_the_sources() -> None:
    root = SOURCE.parent.parent
    if not (root / ".git").exists():
        pytest.skip("not a checkout")
    files = subprocess.run(["git", "ls-files"], cwd=root, check=True, capture_output=True, text=True).stdout.split("\n")
    words = ["/" + "work/", "/" + "root/", "pypi" + "-more"]
    texts = {
        n: (root / n).read_text(errors="replace") for n in files if Path(n).suffix != ".png" and (root / n).is_file()
    }
    assert not [f"{name}: {word}" for name, text in texts.items() for word in words if word in text]
