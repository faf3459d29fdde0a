from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.config import Config, config_path, load_config
from tapebook.market.errors import ConfigurationError, TickDataError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TAPEBOOK_CONFIG", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_without_a_file_every_setting_has_its_default(home: Path) -> None:
    assert config_path() == home / ".config" / "tapebook" / "config.toml"
    assert load_config() == Config(catalog=None, lake=None, time_zone="")


def test_settings_are_read_from_the_users_folder_and_paths_start_there(home: Path) -> None:
    text = 'catalog = "mine.toml"\nlake = "~/data"\ntime_zone = "America/Chicago"\n'
    path = write(home / ".config" / "tapebook" / "config.toml", text)
    assert load_config() == Config(catalog=path.parent / "mine.toml", lake=home / "data", time_zone="America/Chicago")


def test_the_environment_names_another_file_or_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / "xdg" / "tapebook" / "config.toml", 'lake = "/by-xdg"')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    assert load_config().lake == Path("/by-xdg")
    write(home / "own.toml", 'lake = "/by-name"')
    monkeypatch.setenv("TAPEBOOK_CONFIG", "~/own.toml")
    assert load_config().lake == Path("/by-name")


def test_a_file_that_somebody_named_must_be_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="not there"):
        load_config(home / "gone.toml")
    monkeypatch.setenv("TAPEBOOK_CONFIG", str(home / "gone.toml"))
    with pytest.raises(ConfigurationError, match=r"not there \(.*gone\.toml\)"):
        load_config()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lakes = '/x'", "unknown setting: expected one of catalog, lake, time_zone, found `lakes`"),
        ("lake = 3", "bad setting: expected text in quotes, found 3"),
        ("catalog = ['a']", "expected text in quotes, found ['a']"),
        ("time_zone = 3", "expected text in quotes, found 3"),
        ("time_zone = 'Chicago'", "the name of a time zone like America/Chicago, found 'Chicago'"),
        ("time_zone = '../../etc/passwd'", "the name of a time zone"),
        ("lake = ", "not TOML"),
        ("lake = " + "[" * 5000, "not TOML"),
        ("[lake]\nx = 1", "expected text in quotes"),
    ],
)
def test_a_mistake_is_told_with_what_was_expected_and_found(home: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_config(write(home / "c.toml", text))
    assert words in str(caught.value)
    assert caught.value.where.startswith(str(home / "c.toml"))


def test_what_is_no_text_file_is_told(home: Path) -> None:
    (home / "c.toml").write_bytes(b"lake = '\xff'")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_config(home / "c.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_config(home)


@pytest.mark.parametrize("key", ["projectx_api_key", "db_password", "access_token", "client_secret", "PRIVATE-KEY"])
def test_a_secret_that_others_can_read_is_refused_with_the_command_to_run(home: Path, key: str) -> None:
    text = f'{key} = "hush"'
    for mode in (0o644, 0o640, 0o604, 0o660):
        with pytest.raises(ConfigurationError, match="others can read a secret: expected mode 0600") as caught:
            load_config(write(home / "it's mine.toml", text, mode))
        assert caught.value.remedy == f"""run: chmod 600 '{home}/it'"'"'s mine.toml'"""
        assert "hush" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="unknown setting") as told:  # no command has such a key yet
        load_config(write(home / "it's mine.toml", text, 0o600))
    assert "hush" not in str(told.value)


@given(text=st.text(max_size=100))
def test_no_text_makes_anything_but_our_own_errors(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "c.toml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    try:
        load_config(path)
    except TickDataError:
        return
