"""Keys that are lost keep the store shut and say so; escrow brings them back; another keeper may have the root."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import vault_server
from cli_shell import Shell, shell_in
from support import consenting, contents, opened, sqlite_rows

from tiered_memory.clock import SeededEntropy, SystemEntropy
from tiered_memory.config import Settings, load_settings
from tiered_memory.crypto.kms import read_root_key
from tiered_memory.errors import ConfigurationError, CorruptionError, InvalidInputError, RootKeyError
from tiered_memory.key_keeping import escrow_keys, move_root, recover_keys

pytestmark = pytest.mark.anyio

LOCAL = {"redis_url": "local"}
WORDS = "correct horse battery staple"
N = 2**10
ASKED_IN = "TIERED_MEMORY_ESCROW_PASSPHRASE"


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    async with opened(tmp_path / "store", settings=LOCAL) as memory:
        await (await consenting(memory)).add("we chose the blue plan", importance=0.9)
    return tmp_path / "store"


@pytest.fixture
def settings(store: Path) -> Settings:
    return load_settings(data_dir=store, **LOCAL)


@pytest.fixture
def shell(store: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    found = shell_in(store.parent, monkeypatch)
    monkeypatch.setenv("TIERED_MEMORY_REDIS_URL", "local")
    monkeypatch.setenv(ASKED_IN, WORDS)
    return found


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("hvac")
    with vault_server.running() as address:
        monkeypatch.setenv("VAULT_ADDR", address)
        monkeypatch.setenv("VAULT_TOKEN", vault_server.TOKEN)
        monkeypatch.setenv("NO_PROXY", "*")
        yield "transit/memory"


async def aside(call: Callable[..., Any], *arguments: str) -> Any:
    """Run a command in a thread: it has an event loop of its own."""
    return await anyio.to_thread.run_sync(lambda: call(*arguments))


async def readable(store: Path, **more: object) -> list[str]:
    async with opened(store, settings={**LOCAL, **more}) as memory:
        return await contents(memory.user("alice", tenant="acme"))


async def test_without_its_keys_a_store_stays_shut_and_escrow_opens_it(
    store: Path, settings: Settings, tmp_path: Path
) -> None:
    escrow = tmp_path / "escrow"
    assert escrow_keys(settings, escrow, WORDS, n=N).guards == 1
    assert oct(escrow.stat().st_mode & 0o777) == "0o400"
    root = read_root_key(store / "keys" / "root.key")
    data = escrow.read_bytes()
    assert root.hex().encode() not in data
    shutil.rmtree(store / "keys")
    with pytest.raises(RootKeyError, match="keys recover"):
        await readable(store)
    report = recover_keys(settings, escrow, WORDS)
    assert (report.root, report.guards) == (True, 1)
    assert await readable(store) == ["we chose the blue plan"]
    report = recover_keys(settings, escrow, WORDS)
    assert (report.root, report.guards) == (False, 0)


async def test_lost_guards_alone_come_back_too(store: Path, settings: Settings, tmp_path: Path) -> None:
    escrow_keys(settings, tmp_path / "escrow", WORDS, n=N)
    shutil.rmtree(store / "keys" / "epochs")
    with pytest.raises(RootKeyError, match="guards of key epochs are missing"):
        await readable(store)
    assert not recover_keys(settings, tmp_path / "escrow", WORDS).root
    assert await readable(store) == ["we chose the blue plan"]


async def test_an_archive_the_root_and_escrowed_guards_open_on_an_empty_machine(
    store: Path, settings: Settings, shell: Shell, tmp_path: Path
) -> None:
    assert (await aside(shell.document, "backup", str(tmp_path / "archive")))["users"] == 1
    escrow_keys(settings, tmp_path / "escrow", WORDS, n=N)
    fresh = tmp_path / "fresh"
    recover_keys(load_settings(data_dir=fresh, **LOCAL), tmp_path / "escrow", WORDS)
    result = await aside(shell.run, "restore", str(tmp_path / "archive"), "--data", str(fresh))
    assert result.exit_code == 0, result.stderr
    assert "restored 1 memory of 1 user" in result.stdout
    assert "could not be known" in result.stderr
    assert "unreadable" not in result.stderr
    assert await readable(fresh) == ["we chose the blue plan"]


async def test_the_same_archive_without_guards_is_unreadable_and_that_is_said(
    store: Path, shell: Shell, tmp_path: Path
) -> None:
    await aside(shell.document, "backup", str(tmp_path / "archive"))
    fresh = tmp_path / "fresh"
    (fresh / "keys").mkdir(parents=True)
    shutil.copy(store / "keys" / "root.key", fresh / "keys")
    result = await aside(shell.run, "restore", str(tmp_path / "archive"), "--data", str(fresh))
    assert result.exit_code == 0, result.stderr
    assert "1 user of ended key epochs: unreadable" in result.stderr
    result = await aside(shell.run, "list", "--user", "alice", "--tenant", "acme", "--data", str(fresh))
    assert result.exit_code == 1
    assert "has ended" in result.stderr


async def test_an_escrow_of_before_a_rotation_revives_nothing(
    store: Path, settings: Settings, tmp_path: Path
) -> None:
    escrow_keys(settings, tmp_path / "old", WORDS, n=N)
    async with opened(store, settings=LOCAL) as memory:
        await memory.keys.rotate()
    assert recover_keys(settings, tmp_path / "old", WORDS).guards == 1
    assert len(list((store / "keys" / "epochs").iterdir())) == 2
    assert await readable(store) == ["we chose the blue plan"]
    assert len(list((store / "keys" / "epochs").iterdir())) == 1


async def test_what_an_escrow_refuses(store: Path, settings: Settings, tmp_path: Path) -> None:
    escrow = tmp_path / "escrow"
    with pytest.raises(InvalidInputError, match="at least 12"):
        escrow_keys(settings, escrow, "too short", n=N)
    assert not escrow.exists()
    escrow_keys(settings, escrow, WORDS, n=N)
    with pytest.raises(InvalidInputError, match="exists already"):
        escrow_keys(settings, escrow, WORDS, n=N)
    with pytest.raises(CorruptionError, match="another passphrase"):
        recover_keys(settings, escrow, WORDS + "!")
    altered = escrow.read_bytes().replace(b'"n": 1024', b'"n": 2048')
    (tmp_path / "altered").write_bytes(altered)
    with pytest.raises(CorruptionError, match="was altered"):
        recover_keys(settings, tmp_path / "altered", WORDS)
    (tmp_path / "none").write_bytes(b"{}")
    with pytest.raises(CorruptionError, match="no escrow file"):
        recover_keys(settings, tmp_path / "none", WORDS)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        recover_keys(settings, tmp_path / "absent", WORDS)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        escrow_keys(settings, tmp_path / "nowhere" / "escrow", WORDS, n=N)
    (store / "keys" / "root.key").unlink()
    (store / "keys" / "root.key").write_text(SystemEntropy().token(32).hex())
    (store / "keys" / "root.key").chmod(0o400)
    with pytest.raises(RootKeyError, match="another one"):
        recover_keys(settings, escrow, WORDS)


async def test_the_commands(store: Path, shell: Shell, tmp_path: Path) -> None:
    assert await aside(shell.document, "keys", "status") == {
        "root_key_provider": "file",
        "epochs": {"current": 1, "leaving": 0, "unreadable": 0, "ending": 0, "ended": 0},
    }
    report = await aside(shell.document, "keys", "rotate", "--tenant", "acme")
    assert (report["epochs_ended"], report["subjects"], report["left"]) == (1, 1, 0)
    assert "1 epoch of 1 tenant ended" in await aside(shell.words, "keys", "rotate")
    epochs = (await aside(shell.document, "keys", "list"))["epochs"]
    assert [(one["epoch"], one["state"]) for one in epochs] == [(1, "ended"), (2, "ended"), (3, "current")]
    assert "epoch 3    current" in await aside(shell.words, "keys", "list")
    assert "root key: file; 1 current, 2 ended" in await aside(shell.words, "keys", "status")
    report = await aside(shell.document, "keys", "rotate-root")
    assert report == {"stores": 1, "epochs": 1, "guarded": 0, "left": 0}
    assert "1 key epoch of 1 store" in await aside(shell.words, "keys", "rotate-root")
    assert await aside(shell.document, "keys", "escrow", str(tmp_path / "escrow")) == {
        "guards": 1,
        "root": True,
    }
    shutil.rmtree(store / "keys")
    assert "keys recover" in (await aside(shell.refusal, "keys", "status"))["message"]
    assert await aside(shell.document, "keys", "recover", str(tmp_path / "escrow")) == {
        "guards": 1,
        "root": True,
    }
    assert (await aside(shell.refusal, "keys", "rotate", "--tenant", "nobody"))["error"] == "NotFoundError"


async def test_a_passphrase_is_asked_for(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(ASKED_IN)
    assert ASKED_IN in (await aside(shell.refusal, "keys", "escrow", str(tmp_path / "escrow")))["message"]


# --- another keeper of the root key --------------------------------------------------------------------------


async def test_the_root_key_moves_to_vault_and_back(store: Path, settings: Settings, vault: str) -> None:
    name = f"vault:{vault}"
    root, rows = read_root_key(store / "keys" / "root.key"), sqlite_rows(store, "epoch_keys")
    move_root(settings, name)
    keys = store / "keys"
    assert sorted(path.name for path in keys.iterdir()) == ["epochs", "root.wrapped"]
    assert root.hex().encode() not in (keys / "root.wrapped").read_bytes()
    with pytest.raises(RootKeyError, match=r"there is a root\.wrapped"):
        await readable(store)
    assert await readable(store, root_key_provider=name) == ["we chose the blue plan"]
    there = load_settings(data_dir=store, root_key_provider=name, **LOCAL)
    with pytest.raises(InvalidInputError, match="already"):
        move_root(there, name)
    move_root(there, "file")
    assert (read_root_key(keys / "root.key"), sqlite_rows(store, "epoch_keys")) == (root, rows)
    assert await readable(store) == ["we chose the blue plan"]


async def test_a_store_is_made_under_a_provider(tmp_path: Path, vault: str) -> None:
    given = {**LOCAL, "root_key_provider": f"vault:{vault}"}
    async with opened(tmp_path / "new", settings=given) as memory:
        await (await consenting(memory)).add("never in clear", importance=0.9)
    assert not (tmp_path / "new" / "keys" / "root.key").exists()
    assert await readable(tmp_path / "new", root_key_provider=f"vault:{vault}") == ["never in clear"]


async def test_a_refused_move_leaves_the_key_where_it_was(store: Path, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="root_key_provider"):
        move_root(settings, "nobody:key")
    with pytest.raises(RootKeyError, match="environment"):
        move_root(settings, "env")
    async with opened(store, settings=LOCAL):
        with pytest.raises(ConfigurationError, match="owns this data directory"):
            move_root(settings, "vault:transit/memory")
    with pytest.raises(ConfigurationError, match="no memory"):
        move_root(load_settings(data_dir=store / "nothing"), "vault:transit/memory")
    assert await readable(store) == ["we chose the blue plan"]


async def test_a_root_key_out_of_the_environment(tmp_path: Path) -> None:
    given = {**LOCAL, "root_key_provider": "env", "root_key": SeededEntropy(3).token(32).hex()}
    async with opened(tmp_path / "new", settings=given) as memory:
        await (await consenting(memory)).add("given from outside", importance=0.9)
    assert not (tmp_path / "new" / "keys" / "root.key").exists()
    assert await readable(tmp_path / "new", root_key=given["root_key"]) == ["given from outside"]
    with pytest.raises(RootKeyError, match="TIERED_MEMORY_ROOT_KEY"):
        await readable(tmp_path / "new", root_key_provider="env")
