"""Who we are to a venue: read from where others cannot look, and never shown.

User name and key come from the environment, from a file that only its owner can read, or from a prompt; never from an
argument, which every process list shows. :class:`Secret` holds what must not appear: its text comes out of
:meth:`Secret.reveal` alone. :func:`masked` takes tokens out of text that was made elsewhere (errors, addresses).
"""

from __future__ import annotations

import logging
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tapebook.market.errors import ConfigurationError

__all__ = ["Credentials", "Masking", "Secret", "find_credentials", "masked", "read_credentials"]

_OTHERS_MAY: Final = stat.S_IRWXG | stat.S_IRWXO
_HIDDEN: Final = (
    re.compile(r"(?i)(access_token=|[?&]id=)[^&\s\"'<>\\]+"),
    re.compile(r"(?i)(bearer )[^\s\"',;\\]+"),
    re.compile(r"()\beyJ[\w-]+\.[\w-]+\.[\w-]*"),  # a JSON web token, wherever it stands
)


class Secret:
    """Text that never shows itself.

    >>> key = Secret("abc")
    >>> key, f"{key}", key.reveal()
    (***, '***', 'abc')
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


class Credentials(NamedTuple):
    """User name and API key; the user name is the platform's, not the e-mail address."""

    user_name: Secret
    api_key: Secret


def masked(text: str) -> str:
    """Return text without the tokens in it.

    >>> masked("GET wss://rtc/hubs/market?id=abc&access_token=eyJh.eyJi.c HTTP/1.1")
    'GET wss://rtc/hubs/market?id=***&access_token=*** HTTP/1.1'
    """
    for pattern in _HIDDEN:
        text = pattern.sub(r"\1***", text)
    return text


class Masking(logging.Filter):
    """Takes tokens out of what a library logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record; never drops it."""
        record.msg, record.args = masked(record.getMessage()), None
        return True


def read_credentials(path: Path) -> Credentials:
    """Read ``user_name`` and ``api_key`` from a TOML file that nobody but its owner can read.

    Raises
    ------
    ConfigurationError
        If it is not there, is no such file, or others may read it.
    """
    try:
        mode = path.stat().st_mode
        if os.name == "posix" and mode & _OTHERS_MAY:
            raise ConfigurationError(
                "others can read the file with the key",
                expected="mode 0600",
                found=f"{stat.S_IMODE(mode):04o}",
                where=str(path),
                remedy=f"chmod 600 {path}, and make a new key if it may have been seen",
            )
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        # The text of a TOML error may quote the line, and the line may be the key: only its type is told.
        found = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise ConfigurationError("the file of credentials cannot be read", found=str(found), where=str(path)) from None
    user, key = content.get("user_name"), content.get("api_key")
    if not (isinstance(user, str) and isinstance(key, str) and user and key):
        raise ConfigurationError(
            "the file of credentials is incomplete", expected="user_name and api_key, both text", where=str(path)
        )
    return Credentials(Secret(user), Secret(key))


def find_credentials(
    prefix: str,
    *,
    environment: Mapping[str, str],
    path: Path | None = None,
    ask: Callable[[str], str] | None = None,
) -> Credentials:
    """Return credentials from ``<prefix>_USER`` and ``<prefix>_API_KEY``, else a file, else by asking.

    Parameters
    ----------
    prefix
        ``TAPEBOOK_PROJECTX``. ``<prefix>_CREDENTIALS`` may name the file.
    environment
        Usually ``os.environ``.
    path
        The file, where the environment names none.
    ask
        Asks a person without showing the answer (``getpass.getpass``); None where nobody is there.

    Examples
    --------
    >>> find_credentials("X", environment={"X_USER": "me", "X_API_KEY": "k"})
    Credentials(user_name=***, api_key=***)
    """
    user, key = environment.get(f"{prefix}_USER", ""), environment.get(f"{prefix}_API_KEY", "")
    if user and key:
        return Credentials(Secret(user), Secret(key))
    if user or key:
        raise ConfigurationError(
            "half of the credentials", expected=f"{prefix}_USER and {prefix}_API_KEY", found="one of them"
        )
    named = environment.get(f"{prefix}_CREDENTIALS", "")
    if named or path is not None:
        return read_credentials(Path(named).expanduser() if named else path or Path())
    if ask is not None:
        answers = [ask(f"{what}: ").strip() for what in ("User name", "API key")]
        if all(answers):
            return Credentials(Secret(answers[0]), Secret(answers[1]))
    raise ConfigurationError(
        "no credentials",
        expected=f"{prefix}_USER and {prefix}_API_KEY in the environment",
        remedy=f"or name a file of mode 0600 in {prefix}_CREDENTIALS",
    )
