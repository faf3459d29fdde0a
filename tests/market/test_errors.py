from __future__ import annotations

import re

from tapebook.market import errors


def children(cls: type[BaseException], depth: int = 0) -> list[tuple[int, str]]:
    rows = [(depth, cls.__name__)]
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            rows += children(child, depth + 1)
    return rows


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([│├└─ ]*)(\w+)", line)
        if match:
            drawn.append((len(match[1]) // 4, match[2]))
    assert drawn == children(errors.TickDataError)
