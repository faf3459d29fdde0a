"""Who we are is found where only we can look, and is shown nowhere."""

from __future__ import annotations

import copy
import logging
import os
import pickle
from pathlib import Path

import pytest

from tapebook.market.errors import ConfigurationError
from tapebook.venues.credentials import Credentials, Masking, Secret, find_credentials, masked, read_credentials

KEY = "k3y/with+signs="
JWT = "eyJhbGciOi.eyJleHAiOjE3.c2ln-bm_F0"


def revealed(who: Credentials) -> tuple[str, str]:
    return who.user_name.reveal(), who.api_key.reveal()


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret(KEY)
    for text in (
        repr(secret),
        str(secret),
        f"{secret}",
        repr([secret]),
        repr(Credentials(secret, secret)),
    ):
        assert KEY not in text
    for write in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            write(secret)
    assert secret == Secret(KEY)
    assert secret != Secret("other")
    assert not Secret("")


@pytest.mark.parametrize(
    "text",
    [
        f"wss://rtc/hubs/market?access_token={KEY}",
        f"GET /hubs/market?id=a&access_token={JWT} HTTP/1.1",
        f"Authorization: Bearer {JWT}",
        f"b'authorization', b'bearer {JWT}'",
        f"token {JWT} is not valid",
        f"https://rtc/h?id={KEY}&x=1",
    ],
)
def test_tokens_are_taken_out_of_texts(text: str) -> None:
    hidden = masked(text)
    assert KEY not in hidden
    assert JWT not in hidden
    assert "***" in hidden
    record = logging.LogRecord("x", logging.INFO, "f", 1, "said %s", (text,), None)
    assert Masking().filter(record)
    assert record.getMessage() == f"said {hidden}"


def test_the_environment_comes_first_then_a_file_then_a_person(tmp_path: Path) -> None:
    path = written(tmp_path / "c.toml", f'user_name = "u"\napi_key = "{KEY}"\n')
    both = {"P_USER": "me", "P_API_KEY": "k"}
    assert revealed(find_credentials("P", environment=both, path=path)) == ("me", "k")
    assert revealed(find_credentials("P", environment={}, path=path)) == ("u", KEY)
    assert revealed(find_credentials("P", environment={"P_CREDENTIALS": str(path)})) == ("u", KEY)
    answers = iter([" me ", KEY])
    assert revealed(find_credentials("P", environment={}, ask=lambda _: next(answers))) == ("me", KEY)
    for environment in ({}, {"P_USER": "me"}, {"P_API_KEY": KEY}):
        with pytest.raises(ConfigurationError) as error:
            find_credentials("P", environment=environment)
        assert KEY not in str(error.value)
    with pytest.raises(ConfigurationError):
        find_credentials("P", environment={}, ask=lambda _: "")


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "c.toml", 'user_name = "u"\napi_key = "k"\n', 0o640)
    with pytest.raises(ConfigurationError) as error:
        read_credentials(path)
    assert "0640" in str(error.value)
    assert "chmod 600" in str(error.value)


@pytest.mark.parametrize(
    "text", [f"api_key = {KEY}", f'user_name = "u"\napi_key = ["{KEY}"]', f'api_key = "{KEY}"', "\0"]
)
def test_a_bad_file_is_told_without_its_words(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read_credentials(written(tmp_path / "c.toml", text))
    assert KEY not in str(error.value)
    assert KEY not in repr(error.value)
    assert error.value.__cause__ is None
    with pytest.raises(ConfigurationError):
        read_credentials(tmp_path / "none.toml")
