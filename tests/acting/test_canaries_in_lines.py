"""No word that anybody says to the memory is in a log line or a span: whatever is called, and whatever fails."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from every_call import EVERY_ACT, fade, noting
from support import opened, seen
from test_rights_in_clear import POLICY, Scene

from tiered_memory import failpoints
from tiered_memory.errors import TieredMemoryError
from tiered_memory.logs import configure
from tiered_memory.metrics import FanOut, RecordingObserver, RequestDone
from tiered_memory.testing import ManualClock

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tiered_memory.traces import SpanObserver, TraceIds

pytestmark = pytest.mark.anyio
LIBRARIES = (
    "",
    "asyncio",
    "redis",
    "lancedb",
    "apsw",
    "mcp",
    "httpx2",
    "opentelemetry",
    "concurrent",
    "duckdb",
)


class Out:
    """What the process let out: its lines, its spans, and how its calls ended."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.ended = RecordingObserver()
        self.observer = FanOut(self.ended, SpanObserver(self.provider))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    @property
    def spans(self) -> list[str]:
        return [span.to_json() for span in self.exporter.get_finished_spans()]

    def found(self, words: Any) -> set[str]:
        return seen(words, [self.stream.getvalue().encode(), *(span.encode() for span in self.spans)])


@pytest.fixture
def out() -> Iterator[Out]:
    out = Out()
    undo = configure(json=True, level="debug", stream=out.stream, filters=[TraceIds()])
    before = {name: logging.getLogger(name).level for name in LIBRARIES}
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield out
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
    undo()
    out.provider.shutdown()


@asynccontextmanager
async def staged(data: Path, tmp_path: Path, out: Out, **parts: Any) -> AsyncIterator[Scene]:
    policy, clock = tmp_path / "policy.toml", ManualClock()
    policy.write_text(POLICY)
    settings = {"policy": str(policy), "ballast_mib": 0}
    async with opened(data, settings=settings, clock=clock, observer=out.observer, **parts) as memory:
        yield Scene(memory, tmp_path, clock)


async def test_no_word_of_any_call_is_in_a_line_or_a_span(
    data: Path, tmp_path: Path, out: Out, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    left = noting(monkeypatch)
    async with staged(data, tmp_path, out) as scene:
        await scene.memory.tenants.register(scene.words["tenant"], allowed_agents=None)
        for act in EVERY_ACT:
            await act(scene)
            spoken = {value: key for key, value in scene.words.items()}
            assert {spoken[one] for one in out.found(spoken)} == set(), act.__name__
    assert left == set(), "these calls are new: make them in every_call.py"
    printed = "".join(capfd.readouterr())
    assert seen(scene.words.values(), [printed.encode()]) == set()
    # Every call that is counted has a span, and what was refused is among both.
    assert len(out.spans) == len(out.ended.of(RequestDone)) > 100
    assert {"ok", "NotFoundError", "RestrictedError"} <= {fact.outcome for fact in out.ended.of(RequestDone)}


class Breaking:
    """Hooks that fail, with the words they were given in their errors."""

    def __init__(self) -> None:
        self.broken = 0

    async def supersession(self, new: Any, held: Any) -> Any:
        return self._break(f"{new} {held}")

    async def before_forget(self, batch: Any) -> Any:
        return self._break(str(batch))

    def _break(self, said: str) -> None:
        self.broken += 1
        raise ValueError(said)


async def test_no_word_of_a_failing_hook_is_let_out(data: Path, tmp_path: Path, out: Out) -> None:
    hooks = Breaking()
    async with staged(
        data, tmp_path, out, supersession=hooks.supersession, before_forget=hooks.before_forget
    ) as scene:
        words, alice = scene.words, scene.user("alice")
        await alice.consent.grant("advice", notice=words["notice"])
        await alice.add(f"My dentist is {words['first']}", importance=0.9)
        await alice.add(f"My dentist is {words['second']} now", importance=0.9)
        await fade(scene, alice)
    assert hooks.broken >= 2
    told = "".join(line["event"] for line in out.lines)
    assert "the supersession hook failed (ValueError)" in told
    assert "before_forget failed (ValueError)" in told
    assert out.found(words.values()) == set()


@pytest.mark.parametrize(
    "point", ["append.before", "append.after", "remove.after_mark", "erase.after_fence", "flush.before_put"]
)
async def test_no_word_of_an_engine_s_failure_is_let_out(
    data: Path, tmp_path: Path, out: Out, point: str
) -> None:
    async with staged(data, tmp_path, out) as scene:
        words, alice = scene.words, scene.user("alice")
        await alice.consent.grant("advice", notice=words["notice"])
        reached = []

        def fail(name: str) -> None:
            if name == point and not reached:
                reached.append(name)
                raise OSError(f"{words['path']}/{words['content']}")

        failpoints.arm(fail)
        try:
            for work in (
                lambda: alice.add(f"{words['content']} is here", importance=0.9),
                scene.memory.drain,
                lambda: _delete_any(alice, words["reason"]),
                lambda: alice.erase(reason=words["erased"]),
            ):
                try:
                    await work()
                except (OSError, ExceptionGroup, TieredMemoryError):
                    logging.getLogger("tiered_memory").exception("the call failed")
        finally:
            failpoints.arm(None)
    assert reached
    assert any("error" in line for line in out.lines) or any("flush" in line["event"] for line in out.lines)
    assert out.found(words.values()) == set()


async def _delete_any(user: Any, reason: str) -> None:
    for one in await user.list():
        await user.delete(one.id, reason=reason)
