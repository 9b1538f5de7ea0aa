"""What must not be opened is refused with the way out, and nothing is changed by trying."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout
from support import consenting, contents, files_of, opened, parts_of, state_of

from tiered_memory import TieredMemory
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.errors import (
    ClosedError,
    ConfigurationError,
    DataDirectoryInUseError,
    EmbedderMismatchError,
    PolicyError,
    RootKeyError,
    StateStoreError,
)
from tiered_memory.ownership import LOCK_NAME, OWNER_NAME, Ownership

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(data: Path) -> Path:
    """A store with one memory in cold and one session."""
    async with opened(data) as memory:
        await (await consenting(memory)).add("I live here", session="s1", importance=0.9)
    return data


def _state(data: Path) -> dict[str, str]:
    kept = [file for file in files_of(data) if not file.name.startswith(("owner.", "state.db-", "analytics"))]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in kept}


async def _opens(data: Path, **settings: Any) -> list[str]:
    async with opened(data, settings=settings) as memory:
        return await contents(memory.user("alice", tenant="acme"))


async def _refused(data: Path, error: type[Exception], match: str, **settings: Any) -> None:
    before = _state(data)
    with pytest.raises(error, match=match):
        await _opens(data, **settings)
    assert _state(data) == before


class _OtherEmbedder:
    name = "other-256"
    dimensions = 256

    def __init__(self) -> None:
        self._inner = StaticEmbedder()

    async def embed(self, texts: Sequence[str], kind: Any) -> Any:
        return await self._inner.embed(texts, kind)


async def test_another_embedder(store: Path) -> None:
    before = _state(store)
    async with opened(store, embedder=_OtherEmbedder()) as memory:
        user = memory.user("alice", tenant="acme")
        for call in (user.search("x"), user.list(), user.add("y", importance=0.9), user.context("z")):
            with pytest.raises(
                EmbedderMismatchError, match="open the store with that embedder, or re-embed it"
            ):
                await call
        assert (await memory.user("new").add("others are served")).id
    assert _state(store) == before
    assert await _opens(store) == ["I live here"]


async def test_another_embedder_does_not_stand_in_the_way_of_rights(store: Path) -> None:
    async with opened(store, embedder=_OtherEmbedder()) as memory:
        assert (await memory.user("alice", tenant="acme").erase(reason="request")).verified
    assert await _opens(store) == []


async def test_a_wrong_root_key(store: Path) -> None:
    await _refused(store, RootKeyError, "does not open this store", root_key="00" * 32)
    assert await _opens(store) == ["I live here"]


@pytest.mark.parametrize("bad", ["", "zz" * 32, "00" * 31, "00" * 33, "not hex at all"])
async def test_a_root_key_that_is_none(store: Path, bad: str) -> None:
    await _refused(store, RootKeyError, "64 hex digits", root_key=bad)


async def test_a_missing_key_file(store: Path) -> None:
    key = store / "keys" / "root.key"
    secret = key.read_text()
    key.unlink()
    await _refused(store, RootKeyError, "restore it from your backup")
    assert not key.exists()
    assert await _opens(store, root_key=secret) == ["I live here"]


async def test_a_key_file_others_may_read(store: Path) -> None:
    key = store / "keys" / "root.key"
    for mode in (0o404, 0o440, 0o644):
        key.chmod(mode)
        await _refused(store, RootKeyError, "0400")
    key.chmod(0o400)
    assert await _opens(store) == ["I live here"]


async def test_a_key_file_that_is_a_directory(store: Path) -> None:
    key = store / "keys" / "root.key"
    key.unlink()
    key.mkdir(mode=0o700)
    await _refused(store, RootKeyError, "root key")


async def test_the_key_file_is_made_for_its_owner_only(store: Path) -> None:
    assert oct((store / "keys" / "root.key").stat().st_mode & 0o777) == "0o400"
    assert oct((store / "state.db").stat().st_mode & 0o777) == "0o600"
    assert oct(store.stat().st_mode & 0o777) == "0o700"


HOLDER = """
import asyncio, sys
from support import opened
from pathlib import Path
async def main():
    async with opened(Path(sys.argv[1]), settings={"redis_url": "local"}):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


async def test_a_second_process(store: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", HOLDER, str(store)]
    pipe = asyncio.subprocess.PIPE
    holder = await asyncio.create_subprocess_exec(*command, env=environment, stdin=pipe, stdout=pipe)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"ready\n"
    await _refused(store, DataDirectoryInUseError, f"process {holder.pid} owns")
    holder.kill()
    await holder.wait()
    assert await _opens(store) == ["I live here"]


HEIR = """
import os, subprocess, sys
from pathlib import Path
from tiered_memory.ownership import LOCK_NAME, Ownership
ownership = Ownership(Path(sys.argv[1]))
ownership.acquire()
held = [int(fd) for fd in os.listdir("/dev/fd") if os.path.realpath(f"/dev/fd/{fd}").endswith(LOCK_NAME)]
subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], pass_fds=held, stdout=subprocess.DEVNULL)
print("ready", flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_a_dead_owner_was_just_starting_is_waited_for(data: Path) -> None:
    """A child that has not begun yet has its parent's lock for a moment, and keeps it when the parent is killed."""
    data.mkdir()
    command = [sys.executable, "-c", HEIR, str(data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as dead:
        assert dead.stdin is not None
        assert dead.stdout is not None
        assert dead.stdout.readline() == b"ready\n"
        assert dead.wait() == -signal.SIGKILL
        with pytest.raises(Timeout):
            FileLock(data / LOCK_NAME).acquire(timeout=0)
        ownership = Ownership(data)
        with ThreadPoolExecutor(1) as threads:
            taking = threads.submit(ownership.acquire)
            dead.stdin.close()
            taking.result()
    assert (data / OWNER_NAME).read_text() == f"{os.getpid()}\n"
    ownership.release()


async def test_twice_in_one_process(store: Path) -> None:
    async with opened(store) as memory:
        with pytest.raises(DataDirectoryInUseError, match=str(os.getpid())):
            await _opens(store)
        assert len(await memory.user("alice", tenant="acme").list()) == 1


async def test_a_closed_memory(store: Path) -> None:
    async with opened(store) as memory:
        alice = memory.user("alice", tenant="acme")
        parts_of(memory)
    calls = (
        alice.add("x"), alice.add_many([]), alice.search("x"), alice.context("x"), alice.list(), alice.get("0" * 32),
        alice.delete("0" * 32), alice.erase(reason="r"), alice.consent.grant("p", notice="n"), alice.consent.current(),
        alice.forgotten(), alice.forget(), memory.forget(), memory.stats(), memory.drain(),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(ClosedError):
            await call
    await memory.close()


async def test_never_opened() -> None:
    with pytest.raises(ClosedError):
        await TieredMemory.open("./never").user("alice").search("x")
    assert not Path("./never").exists()


async def test_a_state_store_that_is_none(store: Path) -> None:
    for leftover in store.glob("state.db-*"):
        leftover.unlink()
    (store / "state.db").write_bytes(b"this is no database" * 500)
    await _refused(store, StateStoreError, "cannot be opened")


async def test_a_data_directory_that_is_a_file(data: Path) -> None:
    data.write_text("in the way")
    with pytest.raises(ConfigurationError, match="data directory"):
        await _opens(data)


async def test_a_policy_that_is_wrong(store: Path, tmp_path: Path) -> None:
    policy = tmp_path / "wrong.toml"
    policy.write_text("schema = 1\n[decay]\ndaily_rat = 0.1\n")
    await _refused(store, PolicyError, "wrong.toml.*daily_rat", policy=str(policy))
    await _refused(store, PolicyError, "no policy of that name", policy="nonsense")
    policy.write_text(
        'schema = 1\ndefault_purpose = "_subject"\n[purposes._subject]\nlawful_basis = "consent"\n'
    )
    await _refused(store, PolicyError, "_subject.*reserved", policy=str(policy))


async def test_what_was_refused_leaves_no_server_and_no_lock(store: Path) -> None:
    for _ in range(3):
        with pytest.raises(RootKeyError):
            await _opens(store, root_key="00" * 32)
    assert await _opens(store) == ["I live here"]


async def test_a_store_that_cannot_be_recovered_is_let_go_of(store: Path) -> None:
    """Opening fails after the engines came up: they are stopped, and the directory is free again."""
    with contextlib.closing(state_of(store)) as db:
        db.execute("ALTER TABLE journal RENAME COLUMN sealed TO elsewhere")
    for _ in range(2):
        with pytest.raises(StateStoreError):
            await _opens(store)
    with contextlib.closing(state_of(store)) as db:
        db.execute("ALTER TABLE journal RENAME COLUMN elsewhere TO sealed")
    assert await _opens(store) == ["I live here"]
