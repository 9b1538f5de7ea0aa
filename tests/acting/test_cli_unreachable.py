"""Files and directories that the operating system refuses end in a message, never in a stack."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from cli_shell import Shell, shell_in
from typer.testing import CliRunner

from tiered_memory.cli.app import build
from tiered_memory.errors import ConfigurationError
from tiered_memory.ownership import LOCK_NAME, Ownership
from tiered_memory.unix_sockets import unix_socket

TOO_LONG = "x" * 300
TEMPLATES = Path(__file__).parents[2] / "tiered_memory" / "inspector" / "templates"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    made = shell_in(tmp_path, monkeypatch)
    monkeypatch.setenv("TIERED_MEMORY_REDIS_URL", "local")
    return made


@pytest.mark.parametrize(
    "arguments",
    [("verify-erased", "-u", "ann", "--config", TOO_LONG), ("list", "-u", "ann", "--config", TOO_LONG)],
    ids=["without a store", "with one"],
)
def test_a_path_that_cannot_be_asked_about_is_a_refusal(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert shell.on_store("add", "hello", "-u", "ann").exit_code == 0
    refusal = shell.refusal(*arguments)
    assert refusal["error"] == "StorageError"
    assert "File name too long" in refusal["message"]


def test_a_directory_that_is_not_this_user_s_is_refused_in_words(shell: Shell) -> None:
    assert shell.on_store("add", "hello", "-u", "ann").exit_code == 0
    (shell.data / LOCK_NAME).unlink(missing_ok=True)
    (shell.data / LOCK_NAME).mkdir()
    refusal = shell.refusal("list", "-u", "ann")
    assert refusal["error"] == "ConfigurationError"
    assert refusal["message"].startswith("the data directory cannot be owned (IsADirectoryError)")
    with pytest.raises(ConfigurationError, match="cannot be owned"):
        Ownership(shell.data).acquire()


def test_a_reader_that_leaves_is_no_error_of_a_file() -> None:
    from tiered_memory.cli.entry import command

    app = typer.Typer()

    @command(app, "tell")
    def tell() -> None:
        raise BrokenPipeError

    result = CliRunner().invoke(app, [])
    assert isinstance(result.exception, BrokenPipeError)


def test_a_socket_that_cannot_be_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot listen on the socket: .*too long"):
        unix_socket(tmp_path / TOO_LONG)


def test_every_command_that_a_page_of_the_inspector_names_is_there() -> None:
    text = "".join(page.read_text() for page in TEMPLATES.glob("*.html"))
    named = re.findall(r"<code>tiered-memory ([a-z -]+?)(?: [A-Z].*?)?</code>", text)
    assert named
    for command in named:
        assert CliRunner().invoke(build(), [*command.split(), "--help"]).exit_code == 0, command
