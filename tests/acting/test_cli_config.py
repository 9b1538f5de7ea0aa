"""`config check` says what would not work and what is risked; `config show` shows no secret."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cli_shell import Shell, shell_in
from hypothesis import given
from hypothesis import strategies as st
from self_signed import self_signed

from tiered_memory.cli.config_rules import judged, without_password
from tiered_memory.config import Settings

SECRET = "s3cr3t-word"
TOKENS = {"issuer": "https://idp.example", "audience": "memory", "jwks": "https://idp.example/keys"}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return shell_in(tmp_path, monkeypatch)


def rules(**given: Any) -> dict[str, str]:
    return {one.key: one.level for one in judged(Settings(**given))}


# --- what is judged from the settings alone ------------------------------------------------------------------

SAFE: dict[str, Any] = {"require_credentials": True}


@pytest.mark.parametrize(
    ("given", "key", "level"),
    [
        ({"daemon": {"host": "0.0.0.0"}}, "daemon.host", "warning"),
        ({"daemon": {"host": "0.0.0.0"}}, "daemon.tls_certificate", "warning"),
        ({"daemon": {"host": "memory.example"}}, "daemon.tls_certificate", "warning"),
        ({}, "daemon.require_credentials", "warning"),
        ({"daemon": {"log_level": "debug"}}, "daemon.log_level", "warning"),
        ({"daemon": {"allowed_hosts": ["*.example"]}}, "daemon.allowed_hosts", "error"),
        ({"daemon": {"drain_seconds": 30}}, "daemon.drain_seconds", "warning"),
        ({"daemon": {"tls_key": "key.pem"}}, "daemon.tls_certificate", "error"),
        ({"daemon": {"tokens": TOKENS | {"algorithms": ["HS256"]}}}, "daemon.tokens.algorithms", "error"),
        ({"daemon": {"tokens": TOKENS | {"jwks": "http://idp.example/k"}}}, "daemon.tokens.jwks", "error"),
        ({"redis_url": "redis://redis.example:6379/0"}, "redis_url", "warning"),
        ({"redis_url": "redis//typo"}, "redis_url", "error"),
        ({"redis_url": "http://redis"}, "redis_url", "error"),
        ({"accept_rollback": True}, "accept_rollback", "warning"),
        ({"background": False}, "background", "warning"),
        ({"ballast_mib": 0}, "ballast_mib", "warning"),
        ({"backup_dir": "data/backups"}, "backup_dir", "warning"),
        ({}, "backup_dir", "note"),
        ({}, "root_key_file", "note"),
        ({"backup_dir": "b", "key_epoch_days": 3}, "key_epoch_days", "warning"),
    ],
)
def test_what_gives_pause_is_found(given: dict[str, Any], key: str, level: str) -> None:
    assert rules(**given)[key] == level


@pytest.mark.parametrize(
    "given",
    [
        {"daemon": SAFE},
        {"daemon": {"socket": "/run/memory.sock"}},
        {"daemon": SAFE | {"tokens": TOKENS}},
        {"daemon": {"host": "0.0.0.0", "tls_certificate": "c.pem", "tls_key": "k.pem", "tokens": TOKENS}},
        {"daemon": SAFE | {"tokens": TOKENS | {"jwks": "http://127.0.0.1:9/keys"}}},
        {"daemon": SAFE, "redis_url": "rediss://redis.example:6379/0"},
        {"daemon": SAFE, "redis_url": "redis://127.0.0.1:6379/0"},
        {"daemon": SAFE, "redis_url": "local"},
        {"daemon": SAFE, "backup_dir": "b", "key_epoch_days": 30},
        {"daemon": SAFE, "root_key_provider": "vault:transit/memory"},
    ],
)
def test_what_is_well_passes(given: dict[str, Any]) -> None:
    assert set(rules(**given).values()) <= {"note"}


@given(
    st.text(st.characters(codec="ascii", exclude_characters="/@?#[]\\"), min_size=4).map(lambda s: f"<{s}>")
)
def test_no_part_of_an_address_that_may_be_a_secret_is_shown(secret: str) -> None:
    for url in (
        f"redis://u:{secret}@h/0",
        f"redis://{secret}@h",
        f"redis://h/0?password={secret}",
        f"redis{secret}",
    ):
        assert secret not in without_password(url)
    assert without_password("redis://[broken") == "***"
    assert without_password("redis://host:6379/0") == "redis://host:6379/0"


# --- what is looked at ---------------------------------------------------------------------------------------


def checked(shell: Shell, *arguments: str, well: bool = True) -> dict[str, str]:
    result = shell.on_store("config", "check", "--json", *arguments)
    assert result.exit_code == (0 if well else 1), result.output
    told = json.loads(result.stdout)
    assert told["ok"] is well
    return {one["key"]: one["message"] for one in told["findings"] if well or one["level"] != "note"}


def file_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_defaults_are_well_and_nothing_is_written(shell: Shell, tmp_path: Path) -> None:
    found = checked(shell)
    assert "daemon.require_credentials" in found
    assert list(tmp_path.iterdir()) == []


def test_warnings_fail_when_asked_to(shell: Shell) -> None:
    assert "daemon.require_credentials" in checked(shell, "--strict", well=False)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ('policy = "nosuch"', "policy", "no policy of that name"),
        ('policy = "./nosuch.toml"', "policy", "cannot be read"),
        ('embedder = "./nosuch"', "embedder", "no directory"),
        ('redis_binary = "/nosuch"', "redis_binary", "does not exist"),
        ('root_key_provider = "nosuch"', "root_key_provider", "must be file, env"),
        ('root_key_provider = "env"', "root_key_provider", "TIERED_MEMORY_ROOT_KEY"),
        ("nosuch = 1", "settings", "nosuch"),
        ("[daemon]\nport = 70000", "settings", "daemon.port"),
        ('[daemon]\ntls_certificate = "/nosuch"', "daemon.tls_certificate", "cannot be read"),
        (
            '[daemon.tokens]\nissuer = "i"\naudience = "a"\njwks = "/nosuch"',
            "daemon.tokens.jwks",
            "no such file",
        ),
    ],
)
def test_what_would_not_work_is_an_error(
    shell: Shell, tmp_path: Path, text: str, key: str, words: str
) -> None:
    assert words in checked(shell, "--config", file_of(tmp_path, text), well=False)[key]


def test_a_file_in_a_directory_s_place_is_an_error(shell: Shell, tmp_path: Path) -> None:
    shell.data.write_text("no directory")
    assert "no directory" in checked(shell, well=False)["data_dir"]
    text = f'backup_dir = "{shell.data}"'
    assert "backup_dir" in checked(shell, "--config", file_of(tmp_path, text), well=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_directory_that_cannot_be_written_is_an_error(shell: Shell, tmp_path: Path) -> None:
    shell.data = tmp_path / "closed" / "store"
    shell.data.parent.mkdir(mode=0o500)
    assert "cannot be written" in checked(shell, well=False)["data_dir"]


def test_the_root_key_s_file_is_looked_at(shell: Shell) -> None:
    assert "is made with the store" in checked(shell)["root_key_file"]
    shell.document("add", "hello")
    key = shell.data / "keys" / "root.key"
    assert "root_key_provider" not in checked(shell)
    key.chmod(0o444)
    assert "others may read" in checked(shell, well=False)["root_key_provider"]
    key.chmod(0o600)
    key.write_text("damaged")
    assert "root_key_provider" in checked(shell, well=False)
    key.unlink()
    assert "keys recover" in checked(shell, well=False)["root_key_file"]


def test_a_certificate_and_its_key_have_to_be_a_pair(shell: Shell, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path / "one")
    _, another = self_signed(tmp_path / "two")
    text = '[daemon]\ntls_certificate = "{}"\ntls_key = "{}"'
    assert "daemon.tls_key" not in checked(
        shell, "--config", file_of(tmp_path, text.format(certificate, key))
    )
    key.chmod(0o644)
    assert "daemon.tls_key" in checked(shell, "--config", file_of(tmp_path, text.format(certificate, key)))
    wrong = file_of(tmp_path, text.format(certificate, another))
    assert "with its key" in checked(shell, "--config", wrong, well=False)["daemon.tls_certificate"]


# --- what is shown -------------------------------------------------------------------------------------------


def test_no_secret_is_shown(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = "ab" * 32
    monkeypatch.setenv("TIERED_MEMORY_ROOT_KEY", root)
    monkeypatch.setenv("TIERED_MEMORY_REDIS_URL", f"redis://user:{SECRET}@127.0.0.1:6379/0")
    text = f'[daemon.tokens]\nissuer="i"\naudience="a"\njwks="https://me:{SECRET}@idp.example/k"'
    path = file_of(tmp_path, text)
    for arguments in (("config", "show"), ("config", "show", "--json"), ("config", "check", "--json")):
        result = shell.on_store(*arguments, "--config", path)
        assert result.exit_code == 0, result.output
        assert SECRET not in result.output
        assert root not in result.output


def test_where_a_setting_comes_from_is_shown(shell: Shell, tmp_path: Path) -> None:
    told = shell.document("config", "show", "--config", file_of(tmp_path, "[daemon]\nport = 0\n"))
    assert told["given"] == ["daemon.port", "data_dir"]
    assert told["settings"]["daemon"]["port"] == 0
    assert told["settings"]["daemon"]["host"] == "127.0.0.1"
    rows = [line.split() for line in shell.words("config", "show").splitlines()]
    assert ["daemon.host", "127.0.0.1", "default"] in rows
    assert ["policy", "default", "default"] in rows
