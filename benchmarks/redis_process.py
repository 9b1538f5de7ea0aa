"""A redis-server of one's own over TCP: to be frozen, killed, started again, kept loading, put into bad states."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import redis

from tiered_memory.clock import SystemClock
from tiered_memory.errors import ConfigurationError
from tiered_memory.tiers.redis_server import find_redis_server

READY_SECONDS = 10.0
POLL_SECONDS = 0.002
LOADED_KEYS, LOADED_BYTES, LOAD_DELAY_US = 600, 2048, 10_000
"""While loading the server sleeps for a moment after each key, and answers in between."""


class RedisProcess:
    """A server on a free loopback port; `folder` is for what it has to load. Raises ConfigurationError without one."""

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's address."""
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start the server and return when it serves."""
        self._spawn()
        await self._until(lambda: self._answer() == "PONG")

    async def start_loading(self) -> None:
        """Start the server again with much to load; return when it answers, which it does with LOADING."""
        with self.admin() as client:
            client.mset({f"filler {number}": os.urandom(LOADED_BYTES) for number in range(LOADED_KEYS)})
            client.save()
        self.kill()
        self._spawn(key_load_delay=str(LOAD_DELAY_US), loading_process_events_interval_bytes="1024")
        await self._until(lambda: self._answer() == "LOADING")

    async def finish_loading(self) -> None:
        """Let the server load the rest at once; return when it serves."""
        self.configure(key_load_delay="0")
        await self._until(lambda: self._answer() == "PONG")
        (self._folder / "dump.rdb").unlink()

    def kill(self) -> None:
        """Kill the server; without effect when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop the server's process where it stands: it accepts connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    @contextmanager
    def admin(self) -> Iterator[redis.Redis]:
        """Give a client of the server itself, past any proxy."""
        with redis.Redis(port=self.port, protocol=2) as client:
            yield client

    def configure(self, **settings: str) -> None:
        """Change settings of the running server; `_` in a name stands for `-`."""
        with self.admin() as client:
            for name, value in settings.items():
                client.config_set(name.replace("_", "-"), value)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)

    def _spawn(self, **settings: str) -> None:
        binary = find_redis_server()
        if binary is None:
            raise ConfigurationError("no redis-server was found")
        fixed = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "dir": str(self._folder)}
        options = fixed | {name.replace("_", "-"): value for name, value in settings.items()}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL)  # noqa: S603 - ours

    async def _until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(READY_SECONDS):
            while not condition():
                await SystemClock().sleep(POLL_SECONDS)

    def _answer(self) -> str:
        try:
            with self.admin() as client:
                return "PONG" if client.ping() else ""
        except redis.BusyLoadingError:
            return "LOADING"
        except redis.ConnectionError:
            return ""


@asynccontextmanager
async def running() -> AsyncIterator[RedisProcess]:
    """Give a server that is gone afterwards, whatever became of it."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisProcess(Path(folder))
        await server.start()
        try:
            yield server
        finally:
            server.thaw()
            server.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
