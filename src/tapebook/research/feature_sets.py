"""Which features there are, and which of them a user means: ``ofi,windows:windows_ms=5/50,rsi:length=9``.

Features are found by importing: the modules of ``tapebook.features``, those that other packages offer under the entry
point group ``tapebook.features``, and the files that a user names. What registers itself on the way is a feature.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from tapebook.market.errors import ConfigurationError
from tapebook.market.operators import Column, Registered, registered

__all__ = ["GROUP", "Chosen", "choose_features", "code_digest", "describe", "features", "load_plugin", "needs_of"]

GROUP: Final = "tapebook.features"
"""Entry point group of packages that offer features."""

_PLAIN_DOC: Final = re.compile(r"Return (the feature|.*) as an operator.*\.")
_CLASS: Final = re.compile(r":class:`(\w+)`")
_NUMBER: Final = re.compile(r"[-+]?\.?\d")
_ORDER: Final = ("trades", "quotes", "levels", "orders")


@dataclass(frozen=True)
class Chosen:
    """A feature and the parameters that a user gave it."""

    label: str
    entry: Registered
    parameters: Mapping[str, Any] = field(default_factory=dict)


def features(plugins: Sequence[Path] = ()) -> dict[str, Registered]:
    """Return every feature by name: the program's own, those of installed packages, those of the files in ``plugins``.

    Raises
    ------
    ConfigurationError
        If a file or package cannot be loaded.
    """
    home = import_module(GROUP)
    for module in pkgutil.iter_modules(home.__path__, f"{GROUP}."):
        import_module(module.name)
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:
            raise _unloadable(f"entry point {point.name} = {point.value}", error) from error
    for path in plugins:
        load_plugin(path)
    found = registered()
    return {n: e for n, e in found.items() if e.home.startswith(f"{GROUP}.") or not e.home.startswith("tapebook.")}


def load_plugin(path: Path) -> None:
    """Run a user's file, so that it registers its features; once in a process.

    Raises
    ------
    ConfigurationError
        If there is no such file, it fails, or another one of that name was loaded.
    """
    name = f"tapebook_plugin_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and Path(str(known.__file__)) == path.resolve():
        return
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if known is not None or spec is None or spec.loader is None or not path.is_file():
        raise ConfigurationError(
            "no plugin can be loaded from there",
            expected="a Python file (.py) whose name no other plugin has",
            found=str(known.__file__) if known is not None else "a file" if path.is_file() else "no file",
            where=str(path),
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _unloadable(str(path), error) from error


def _unloadable(where: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        "a plugin cannot be loaded", expected="features", found=f"{type(error).__name__}: {error}", where=where
    )


def choose_features(text: str, known: Mapping[str, Registered]) -> list[Chosen]:
    """Read ``NAME[:PARAMETER=VALUE[,PARAMETER=VALUE…]][,NAME…]``.

    Several numbers of one value stand between slashes, or between commas: a word that begins like a number is no name.

    Raises
    ------
    ConfigurationError
        If a name or parameter is unknown, or a value is none.
    """
    wanted: list[tuple[str, dict[str, str]]] = []
    for word in (w.strip() for w in text.split(",")):
        if _NUMBER.match(word) and wanted and wanted[-1][1]:
            last = list(wanted[-1][1])[-1]
            wanted[-1][1][last] += f",{word}"
            continue
        name, colon, first = word.partition(":")
        given = first if colon else word
        if colon or "=" not in word:
            wanted.append((name.strip(), {}))
            if not colon:
                continue
        key, equals, value = given.partition("=")
        if not equals or not wanted:
            raise ConfigurationError(
                "a parameter is wrong", expected="NAME:PARAMETER=VALUE", found=word, where=f"--set {text}"
            )
        wanted[-1][1][key.strip()] = value.strip()
    chosen: list[Chosen] = []
    for name, told in wanted:
        entry = known.get(name)
        if entry is None:
            raise ConfigurationError(
                "no such feature",
                expected=", ".join(known),
                found=repr(name),
                where="--set",
                remedy="see tapebook features --list",
            )
        n = sum(c.entry.name == name for c in chosen)
        label = f"{name}_{n + 1}" if n else name
        chosen.append(Chosen(label, entry, _values(entry, told)))
    return chosen


def _values(entry: Registered, told: Mapping[str, str]) -> dict[str, Any]:
    known = _parameters(entry)
    values = {}
    for key, text in told.items():
        if key not in known:
            raise ConfigurationError(
                f"{entry.name} has no such parameter", expected=", ".join(known) or "none", found=key, where="--set"
            )
        try:
            values[key] = _value(text, known[key].annotation)
        except (ValueError, TypeError):
            raise ConfigurationError(
                f"a bad value of {entry.name}'s {key}",
                expected=_type_name(known[key].annotation),
                found=repr(text),
                where="--set",
            ) from None
    return values


def _parameters(entry: Registered) -> dict[str, inspect.Parameter]:
    """Return the keyword parameters of a feature's factory, with types as objects."""
    try:
        signature = inspect.signature(entry.make, eval_str=True)
    except (NameError, TypeError):  # an annotation that stands for type checkers only
        signature = inspect.signature(entry.make)
    found = {}
    for name, p in signature.parameters.items():
        if p.kind is inspect.Parameter.KEYWORD_ONLY:
            known = not isinstance(p.annotation, str) and p.annotation is not inspect.Parameter.empty
            found[name] = p if known else p.replace(annotation=type(p.default))
    return found


def _value(text: str, kind: Any) -> Any:
    """Read a value as its type has it."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if type(None) in inner and text.lower() == "none":
            return None
        for one in inner:
            try:
                return _value(text, one)
            except (ValueError, TypeError):
                continue
        raise ValueError(text)
    if origin is typing.Literal:
        return {str(x): x for x in inner}[text] if text in map(str, inner) else int("no such word")
    if origin is not None and inner:  # a sequence
        return tuple(_value(part, inner[0]) for part in re.split("[/,]", text))
    if kind is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
    if kind in (int, float, str):
        return kind(text)
    raise TypeError(kind)


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind).replace("typing.", "")


def needs_of(entry: Registered) -> str:
    """Return what a tape must hold, in words.

    >>> needs_of(Registered("x", make=print, columns=(), needs=frozenset({"orders", "quotes"})))
    'quotes or orders'
    """
    said = []
    for wanted in (entry.needs, entry.also_needs):
        words = [w for w in _ORDER if w in wanted] + sorted(wanted - set(_ORDER))
        if words:
            said.append(words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}")
    return "; and ".join(said) or "anything"


def describe(entry: Registered) -> dict[str, Any]:
    """Return what a feature is: summary, needs, parameters with defaults, columns with unit and meaning."""
    parameters = [
        {"name": name, "type": _type_name(p.annotation), "default": _shown(p.default)}
        for name, p in _parameters(entry).items()
    ]
    columns = [{"name": c.name, "unit": c.unit, "meaning": c.meaning, "flow": c.flow} for c in entry.columns]
    return {
        "name": entry.name,
        "summary": _summary(entry),
        "needs": needs_of(entry),
        "parameters": parameters,
        "columns": columns,
        "home": entry.home,
    }


def _summary(entry: Registered) -> str:
    """Return what a feature is in a sentence: its factory's, else its class's, else its module's."""
    own = _first_paragraph(entry.make)
    plain = _PLAIN_DOC.fullmatch(own)
    if own and plain is None:
        return own
    home = sys.modules.get(entry.home)
    named = _CLASS.search(own)
    told = getattr(home, named[1] if named else entry.name.title().replace("_", ""), None)
    if isinstance(told, type) and told.__doc__:
        return _first_paragraph(told)
    if plain is not None and plain[1] != "the feature":
        return f"{plain[1][0].upper()}{plain[1][1:]}."
    return _first_paragraph(home)


def _first_paragraph(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split()).replace("``", "`")


def _shown(default: Any) -> str:
    if isinstance(default, tuple | list):
        return "/".join(_shown(x) for x in default)
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def markdown(known: Mapping[str, Registered]) -> str:
    """Return the features as a page of Markdown: what ``tapebook features --list --markdown`` prints."""
    lines = [
        "# Features",
        "",
        "Made by `tapebook features --list --markdown > docs/features.md`; a test compares it with the program.",
        "",
        "`tapebook features FILE --set NAME[:PARAMETER=VALUE,…][,NAME…] --every event|trade|100ms|bar=RULE --to FILE`",
        "makes a table of them. Undefined is null, never 0. Columns marked + are flows: sampled, they add up what",
        "happened since the row before; all others say how things stand. Your own:",
        "[add-a-feature.md](add-a-feature.md).",
        "",
    ]
    for entry in known.values():
        told = describe(entry)
        lines += [f"## {entry.name}", "", told["summary"], "", f"Needs {told['needs']}.", ""]
        if told["parameters"]:
            lines += ["| parameter | default |", "|---|---|"]
            lines += [f"| `{p['name']}` | {_cell(p['default'])} |" for p in told["parameters"]]
            lines.append("")
        lines += ["| column | unit | meaning |", "|---|---|---|"]
        lines += [_row(column) for column in entry.columns]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _row(column: Column) -> str:
    return f"| `{column.name}`{' +' if column.flow else ''} | {_cell(column.unit)} | {_cell(column.meaning)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def code_digest(plugins: Sequence[Path] = ()) -> str:
    """Return a hash of what makes a feature's numbers: the sources from the words up to here, and plugins."""
    root = Path(sys.modules["tapebook"].__file__ or "").parent
    floors = ("market", "kernels", "book", "store", "features", "bars", "models")
    paths = [p for floor in floors for p in sorted((root / floor).rglob("*.py"))]
    paths += sorted((root / "research").glob("feature*.py"))
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    for path in plugins:
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
