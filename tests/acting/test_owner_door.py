"""The owner's door: the command line works, and says the same, while an agent or a daemon owns the directory."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from cli_shell import Shell, shell_in
from support import consenting, opened, until

pytest.importorskip("uvicorn", reason="needs the extra server")
pytest.importorskip("httpx2", reason="needs the extra client")

from live_daemon import LiveDaemon

from tiered_memory import TieredMemory
from tiered_memory.errors import ClosedError, OutcomeUnknownError, StorageError
from tiered_memory.unix_sockets import OWNER_SOCKET, answers

LOCAL = {"redis_url": "local"}
SEED = (
    ("consent", "grant", "personalization", "--notice", "n1"),
    ("add", "My sister Hannah moved to Lisbon", "--session", "s1"),
    ("add", "I prefer rooibos over black tea", "--session", "s1"),
)
ME = ("--user", "me")
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("consent", "show"),
    ("add", "We decided on the blue paint"),
    ("search", "where is Hannah?"),
    ("context", "which tea?"),
    ("list",),
    ("stats",),
    ("forecast",),
    ("explain", "{first}"),
    ("history", "{first}"),
    ("update", "{first}", "My sister Hannah moved to Porto", "--reason", "corrected"),
    ("about", *ME),
    ("export", *ME, "--output", "{name}.zip"),
    ("requests", "open", "access", *ME),
    ("requests", "list", *ME),
    (
        "hold",
        "place",
        "case-7",
        "--covers",
        "user=me",
        "--owner",
        "counsel",
        "--reason",
        "claim",
        "--review",
        "2199-01-01",
    ),
    ("hold", "list"),
    ("hold", "release", "case-7", "--reason", "settled"),
    ("quarantine", "list"),
    ("access", "show"),
    ("forget",),
    ("purges",),
    ("jobs", "list"),
    ("jobs", "run", "checkpoint"),
    ("keys", "rotate"),
    ("api-keys", "list"),
    ("report", "ropa"),
    ("backup", "{name}.tar"),
    ("ledger", "checkpoint"),
    ("ledger", "verify"),
    ("delete", "{first}"),
    ("erase", *ME, "--yes"),
    ("list",),
    ("tenants", "list"),
)
COUNTING = ("about", "export", "ledger checkpoint", "ledger verify", "erase", "jobs")
"""A directory that is opened for every command has more checkpoints, and no job that is due: the same is said of it,
in other figures."""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    found = shell_in(tmp_path, monkeypatch)
    monkeypatch.setenv("TIERED_MEMORY_REDIS_URL", "local")
    return found


@contextlib.contextmanager
def agent(data: Path) -> Iterator[None]:
    """An agent that has the memory open, in an event loop of another thread."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(opened(data, settings=LOCAL)):
        yield


@contextlib.contextmanager
def daemon(data: Path) -> Iterator[None]:
    """A daemon that serves the memory."""
    folder = data.parent / "daemon"
    folder.mkdir()
    (folder / "data").symlink_to(data, target_is_directory=True)
    with LiveDaemon(folder) as live:
        anyio.run(live.ready)
        yield
        assert anyio.run(live.stop)[0] == 0


def plain(value: Any) -> Any:
    """Return an answer without what no two runs share: ids, times, sizes, signatures."""
    if isinstance(value, dict):
        return {plain(name): plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str):
        return re.sub(
            r"[0-9a-f]{8,}|\d{4}-\d\d-\d\d(T[0-9:.]+(Z|[+-]\d\d:\d\d)?)?|[\w+/-]{22,}={0,2}|one|two",
            "~",
            value,
        )
    return "number" if isinstance(value, float) or (isinstance(value, int) and value > 1000) else value


def shape(value: Any) -> Any:
    """Return what an answer is made of: its names, and the names within."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    return type(value).__name__ if isinstance(value, list | bool) else ""


def played(shell: Shell, name: str) -> list[tuple[str, int, Any]]:
    """Run every command on the directory called so; return what each one answered."""
    shell.data = Path(name)
    first = shell.document("list")["memories"][-1]["id"]
    found = []
    for command in COMMANDS:
        words = [one.format(first=first, name=name) for one in command]
        result = shell.on_store(*words, "--json")
        if command == ("add", COMMANDS[1][1]):
            assert result.exit_code == 0, result.stderr
        said = result.stdout if result.exit_code == 0 else result.stderr.splitlines()[-1]
        answer = json.loads(said) if said.strip() else ""
        found.append((" ".join(command), result.exit_code, plain(answer)))
    return found


@pytest.mark.parametrize("owner", [agent, daemon])
def test_every_command_says_the_same_whoever_owns_the_directory(
    shell: Shell, owner: Callable[..., Any]
) -> None:
    shell.data = Path("one")
    for command in SEED:
        shell.document(*command)
    shutil.copytree("one", "two", ignore=shutil.ignore_patterns("owner.*"))
    closed = played(shell, "one")
    assert [one for one in closed if one[1] != 0] == []
    with owner(Path("two").absolute()):
        owned = played(shell, "two")
    for (command, *there), (_, *here) in zip(closed, owned, strict=True):
        same = shape if command.startswith(COUNTING) else plain
        assert (here[0], same(here[1])) == (there[0], same(there[1])), command
    # What names a path means the caller's directory, not the owner's.
    assert Path("two.zip").stat().st_size > 0
    assert not [one for one in Path("two.tar").rglob("*") if one.name.startswith("owner.")]


# --- what needs the directory itself -------------------------------------------------------------------------


def test_what_needs_the_directory_itself_says_who_has_it(shell: Shell) -> None:
    for command in SEED:
        shell.document(*command)
    shell.document("backup", "kept.tar")
    with agent(shell.data.absolute()):
        told = shell.refusal("reembed", "--to", "static")
        assert told["error"] == "DataDirectoryInUseError"
        assert str(os.getpid()) in told["message"]
        shell.refusal("restore", "kept.tar")
    assert shell.document("list")["memories"]


# --- the socket itself ---------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_it_is_there_while_the_memory_is_open_for_its_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    door = data / OWNER_SOCKET
    async with opened(data, settings=LOCAL):
        assert stat.S_ISSOCK(door.stat().st_mode)
        assert stat.S_IMODE(door.stat().st_mode) == 0o600
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert answers(door)
    assert not door.exists()
    async with opened(data, settings={**LOCAL, "owner_socket": False}):
        assert not door.exists()


@pytest.mark.anyio
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
async def test_another_user_of_the_machine_cannot_connect(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    knock = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
        "except PermissionError: sys.exit(7)\n"
    )
    async with opened(tmp_path / "data", settings=LOCAL):
        door = tmp_path / "data" / OWNER_SOCKET
        for mode in (0o700, 0o755):
            (tmp_path / "data").chmod(mode)
            done = await anyio.run_process([sys.executable, "-c", knock, str(door)], check=False)
            assert done.returncode == 7


@pytest.mark.anyio
async def test_one_that_a_dead_owner_left_is_replaced(tmp_path: Path) -> None:
    with LiveDaemon(tmp_path) as dead:
        await dead.ready()
        dead.process.kill()
        await dead.status()
    door = tmp_path / "data" / OWNER_SOCKET
    assert door.exists()
    assert not answers(door)
    async with opened(tmp_path / "data", settings=LOCAL), TieredMemory.open(f"unix:{door}") as through:
        assert (await through.health()).ready
    assert not door.exists()


@pytest.mark.anyio
async def test_a_path_longer_than_a_sockets_name_may_be(tmp_path: Path) -> None:
    data = tmp_path / ("long " * 30).strip() / "data"
    data.parent.mkdir()
    async with opened(data, settings=LOCAL) as memory:
        await consenting(memory)
        async with TieredMemory.open(f"unix:{data / OWNER_SOCKET}") as through:
            receipt = await through.user("alice", tenant="acme").add("I moved to Lisbon", importance=0.9)
        assert (await memory.user("alice", tenant="acme").get(receipt.id)).content == "I moved to Lisbon"


@pytest.mark.anyio
async def test_what_is_taken_by_a_file_is_left_alone_and_the_memory_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    async with opened(data, settings=LOCAL):
        pass
    (data / OWNER_SOCKET).write_text("mine")
    async with opened(data, settings=LOCAL) as memory:
        assert (await memory.health()).ready
    assert (data / OWNER_SOCKET).read_text() == "mine"
    assert "cannot reach this memory's owner" in caplog.text


@pytest.mark.anyio
async def test_an_owner_that_leaves_ends_what_was_begun_and_refuses_the_rest(tmp_path: Path) -> None:
    """Calls in flight while the memory closes get their answer, or an error that says what is known of it."""
    data, asked = tmp_path / "data", 0
    kept: list[str] = []

    async def adds(memory: TieredMemory) -> None:
        nonlocal asked
        alice = memory.user("alice", tenant="acme")
        while True:
            asked += 1
            try:
                kept.append((await alice.add(f"thing {asked} happened", importance=0.9)).id)
            except (StorageError, ClosedError, OutcomeUnknownError):
                return

    async with anyio.create_task_group() as tasks, opened(data, settings=LOCAL) as memory:
        await consenting(memory)
        through = TieredMemory.open(f"unix:{data / OWNER_SOCKET}")
        await through.__aenter__()
        tasks.start_soon(adds, through)
        await until(lambda: len(kept) >= 5)
    await through.close()
    async with opened(data, settings=LOCAL) as memory:
        found = {one.id for one in await memory.user("alice", tenant="acme").list(limit=10_000)}
    assert set(kept) <= found
    assert len(found) <= asked


def test_a_program_that_only_opens_loads_no_server(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from tiered_memory import TieredMemory\n"
        "async def main():\n"
        "    async with TieredMemory.open(sys.argv[1]): pass\n"
        "asyncio.run(main())\n"
        "print(sorted({'uvicorn', 'starlette', 'httpx2', 'mcp'} & set(sys.modules)))\n"
    )
    environ = {**os.environ, "TIERED_MEMORY_REDIS_URL": "local"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        env=environ,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_the_ledger_is_verified_through_the_door_under_the_key_of_its_checkpoint(shell: Shell) -> None:
    for command in SEED:
        shell.words(*command)
    with agent(shell.data):
        shell.words("jobs", "run", "checkpoint")
        told = shell.document("ledger", "checkpoint")
        assert shell.document("ledger", "verify", "--key", told["public_key"])["problems"] == []
        assert shell.refusal("ledger", "verify", "--key", "00" * 32)["error"]
