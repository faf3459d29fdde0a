"""Small pieces of HTML: escaped text, tables with numbers to the right, sections with a picture and its sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

__all__ = ["Column", "Html", "absent", "definitions", "mark", "section", "table", "text"]


class Html(str):
    """Markup that is ready to stand in the page; any other string is escaped first."""

    __slots__ = ()


class Column(NamedTuple):
    """Heading of a table's column; ``number`` ones stand to the right."""

    title: str
    number: bool = False
    wide: bool = False


def text(value: object) -> Html:
    """Return a value as markup.

    >>> text("a < b"), text(Html("<b>b</b>"))
    ('a &lt; b', '<b>b</b>')
    """
    return value if isinstance(value, Html) else Html(escape(str(value)))


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> Html:
    """Return a table that scrolls sideways on a narrow screen."""

    def sort(column: Column) -> str:
        return ' class="n"' if column.number else ' class="wide"' if column.wide else ""

    head = "".join(f'<th scope="col"{sort(c)}>{text(c.title)}</th>' for c in columns)
    body = "".join(
        "<tr>" + "".join(f"<td{sort(c)}>{text(v)}</td>" for c, v in zip(columns, row, strict=True)) + "</tr>"
        for row in rows
    )
    return Html(f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')


def section(key: str, title: str, *parts: object, picture: str = "", caption: str = "") -> Html:
    """Return a section: heading, picture, its sentence, then whatever else."""
    figure = f"<figure>{picture}</figure>" if picture else ""
    said = f'<p class="caption">{text(caption)}</p>' if caption else ""
    rest = "".join(text(p) for p in parts)
    return Html(f'<section id="{key}"><h2>{text(title)}</h2>{figure}{said}{rest}</section>')


def absent(key: str, title: str, reason: str) -> Html:
    """Return a section that says why it is not there."""
    return Html(f'<section id="{key}" class="absent"><h2>{text(title)}</h2><p>Not shown: {text(reason)}.</p></section>')


def definitions(pairs: Iterable[tuple[str, object]]) -> Html:
    """Return pairs of a word and what it stands for."""
    return Html("<dl>" + "".join(f"<dt>{text(k)}</dt><dd>{text(v)}</dd>" for k, v in pairs) + "</dl>")


def mark(word: str, kind: str) -> Html:
    """Return a word in a small frame (``error``, ``warning``, ``info``, ``sound``)."""
    return Html(f'<span class="mark {kind}">{text(word)}</span>')
