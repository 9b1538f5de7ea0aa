"""The daemon as it is run: what it writes to its streams, and the spans that it sends."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from support import until

pytest.importorskip("uvicorn", reason="needs the extra server")
pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

import httpx2
from otlp_collector import Collector

pytestmark = pytest.mark.anyio
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
WORD = f"mk{secrets.token_hex(9)}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


class Run:
    """A daemon on a free port, with its streams in files."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        mine = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        command = [
            sys.executable,
            "-m",
            "tiered_memory",
            "serve",
            "--data",
            str(folder / "data"),
            "--port",
            "0",
            "--json",
        ]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, env={**mine, **environ})

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.err.read_text().splitlines()]

    async def ready(self) -> str:
        """Return its address, once it serves."""
        await until(lambda: self.process.poll() is not None or '"event": "ready"' in self.err.read_text(), 60)
        return str(json.loads(self.out.read_text())["listening"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


async def test_a_daemon_s_lines_and_spans_name_the_request_and_nobody(
    tmp_path: Path, collector: Collector
) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "TIERED_MEMORY_REDIS_URL": "local"}
    with Run(tmp_path, **environ) as run:
        async with httpx2.AsyncClient(base_url=await run.ready(), timeout=60) as client:
            path = f"/v1/tenants/{WORD}/users/{WORD}/memories"
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": f"v={WORD}"}
            answer = await client.post(path, json={"content": f"{WORD} is my dentist"}, headers=headers)
            assert (answer.status_code, answer.headers["x-request-id"]) == (201, TRACE)
            assert (await client.get(f"/{WORD}?q={WORD}")).status_code == 404
        # Spans wait to be sent together: those of the last seconds leave when the daemon ends.
        run.process.send_signal(signal.SIGTERM)
        await until(lambda: run.process.poll() is not None, 30)
        assert run.process.returncode == 0
        told = [line for line in run.lines if line["logger"] == "tiered_memory.access"]
    added = next(line for line in told if line.get("op") == "memories.add")
    assert added["route"] == "/v1/tenants/{tenant}/users/{user}/memories"
    assert added["request_id"] == added["trace_id"] == TRACE
    spans = {span.name: span for span in collector.spans}
    served, call = spans["POST /v1/tenants/{tenant}/users/{user}/memories"], spans["upsert_memory"]
    assert served.parent_span_id.hex() == PARENT
    assert (call.parent_span_id, call.trace_id.hex()) == (served.span_id, TRACE)
    assert served.span_id.hex() == added["span_id"]
    assert WORD not in run.err.read_text() + run.out.read_text() + str(collector.spans)
