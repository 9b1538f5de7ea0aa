"""A daemon as it is run, in a process of its own, on a free port or on a unix socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Self

import httpx2
from support import until

START_SECONDS = 60.0
LOCAL = {"TIERED_MEMORY_REDIS_URL": "local"}


class LiveDaemon:
    """`tiered-memory serve` over `folder / "data"`, its two streams in files beside it. Use it as a context."""

    def __init__(self, folder: Path, *options: str, **environ: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data, self.out, self.err = folder / "data", folder / "out", folder / "err"
        mine = {key: value for key, value in os.environ.items() if not key.startswith("TIERED_MEMORY_")}
        where = options if {"--port", "--socket"} & set(options) else ("--port", "0", *options)
        self._command = [sys.executable, "-m", "tiered_memory", "serve", "--json", "--data", str(self.data)]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*self._command, *where], stdout=out, stderr=err, env={**mine, **LOCAL, **environ}
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    async def listening(self) -> str:
        """Return its address, once it listens: before the memory is open."""
        await until(lambda: self.ended or self.out.read_text().rstrip().endswith("}"), START_SECONDS)
        assert not self.ended, self.log
        return str(json.loads(self.out.read_text())["listening"])

    async def ready(self) -> str:
        """Return its address, once it serves."""
        address = await self.listening()
        await until(lambda: self.ended or '"event": "ready"' in self.log, START_SECONDS)
        assert not self.ended, self.log
        return address

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    @property
    def log(self) -> str:
        """What it wrote to its standard error."""
        return self.err.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log's lines, each of which is JSON."""
        return [json.loads(line) for line in self.log.splitlines()]

    async def status(self, seconds: float = START_SECONDS) -> int:
        """Return the exit status, once it has ended."""
        await until(lambda: self.ended, seconds)
        return int(self.process.returncode)

    async def stop(self, with_signal: int = signal.SIGTERM) -> tuple[int, float]:
        """Tell it to end; return its status and the seconds it took."""
        begun = monotonic()
        self.process.send_signal(with_signal)
        return await self.status(), monotonic() - begun


def client(address: str, **given: Any) -> httpx2.AsyncClient:
    """Return an HTTP client of a daemon's address."""
    if address.startswith("unix:"):
        given["transport"] = httpx2.AsyncHTTPTransport(uds=address.removeprefix("unix:"))
        address = "http://localhost"
    return httpx2.AsyncClient(base_url=address, timeout=30.0, **given)


@contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    """Give a plain connection to a daemon's port."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=20.0) as made:
        yield made


def told(address: str, raw: bytes) -> bytes:
    """Send bytes as they are and return everything that comes back until the daemon closes."""
    with connected(address) as made:
        made.sendall(raw)
        return rest_of(made)


def rest_of(made: socket.socket) -> bytes:
    """Return what still comes until the peer closes; a connection that is reset has told all it had."""
    found = b""
    try:
        while piece := made.recv(65_536):
            found += piece
    except ConnectionResetError:
        pass
    return found
