"""A Prometheus of one's own: Debian's binary on a free port, scraping one target into a directory of its own."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from socket import create_server
from typing import Any

import anyio
import httpx2

from tiered_memory.clock import SystemClock

READY_SECONDS = 30.0
SCRAPE_SECONDS = 0.25
POLL_SECONDS = 0.05
JOB = "tiered-memory"


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer, as it is now."""

    labels: dict[str, str]
    value: float

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.value)


class Prometheus:
    """A running server's API."""

    def __init__(self, port: int, client: httpx2.AsyncClient) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self._client = client

    async def is_ready(self) -> bool:
        try:
            return (await self._client.get(f"{self.address}/-/ready")).status_code == 200
        except httpx2.TransportError:
            return False

    async def query(self, expr: str) -> list[Sample]:
        """Return the answer to an instant query."""
        data = await self._get("query", query=expr)
        assert data["resultType"] == "vector", expr
        return [Sample(one["metric"], float(one["value"][1])) for one in data["result"]]

    async def drawn(self, expr: str, since: datetime, until: datetime) -> list[float]:
        """Return every finite value that a graph of an expression shows between two moments."""
        span = {"start": since.isoformat(), "end": until.isoformat(), "step": str(SCRAPE_SECONDS)}
        data = await self._get("query_range", query=expr, **span)
        values = [float(value) for one in data["result"] for _, value in one["values"]]
        return [value for value in values if math.isfinite(value)]

    async def rules(self) -> list[dict[str, Any]]:
        data = await self._get("rules")
        return [rule for group in data["groups"] for rule in group["rules"]]

    async def targets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._get("targets"))["activeTargets"]
        return found

    async def _get(self, what: str, **asked: str) -> Any:
        answer = await self._client.get(f"{self.address}/api/v1/{what}", params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


@asynccontextmanager
async def prometheus_over(
    binary: str, folder: Path, target: int, token: Path, rules: Path
) -> AsyncIterator[Prometheus]:
    """Run Prometheus over the metrics at port `target`; it is gone afterwards, whatever became of it."""
    config, port = _configured(folder, target, token, rules), _free_port()
    command = [
        binary,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            async with httpx2.AsyncClient() as client:
                found = Prometheus(port, client)
                await _until_ready(found, process, folder)
                yield found
        finally:
            process.kill()
            process.wait()


async def _until_ready(found: Prometheus, process: subprocess.Popen[bytes], folder: Path) -> None:
    with anyio.fail_after(READY_SECONDS):
        while not await found.is_ready():
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            await SystemClock().sleep(POLL_SECONDS)


def _configured(folder: Path, target: int, token: Path, rules: Path) -> Path:
    """The provisioned configuration's form, with other numbers; JSON is YAML."""
    every = f"{int(SCRAPE_SECONDS * 1000)}ms"
    scrape = {
        "job_name": JOB,
        "authorization": {"type": "Bearer", "credentials_file": str(token)},
        "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
    }
    config = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(rules)],
        "scrape_configs": [scrape],
    }
    path = folder / "prometheus.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
