"""A memory worth looking at, and a server over it in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from support import until

from tiered_memory import Interaction, TieredMemory, User
from tiered_memory.config import load_settings
from tiered_memory.errors import UnauthenticatedError
from tiered_memory.inspector import Options, inspector_app
from tiered_memory.inspector.series import totals
from tiered_memory.model import Kind, Provenance, Sensitivity, SourceKind, Subject
from tiered_memory.principals import LOCAL, Grant, Principal
from tiered_memory.prometheus_observer import PrometheusObserver
from tiered_memory.testing import ManualClock

T = TypeVar("T")
HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">",
    "invoice \u202egnp.exe\u202c and a bell \u0007 and {{ 7 * 7 }} and </bdi></a><b>bold</b>",
    "W" * 900,
    "\"><svg onload=alert(1)> ' onmouseover='alert(1)' javascript:alert(1) &lt;i&gt;",
)
NAMED = '<b onclick="alert(1)">mallory</b> \u202eevil/../#?%00'
ALICE = Subject("acme", "alice")
MALLORY = Subject("acme", NAMED)
TALK = (
    ("My name is Alice and I work as a paediatric nurse in Leeds.", 0.95, Kind.SEMANTIC),
    ("I am allergic to penicillin, please never forget that.", 1.0, Kind.SEMANTIC),
    ("I prefer concise answers with a code example.", 0.8, Kind.PROCEDURAL),
    ("We fly to Lisbon on the 14th of May, hotel near the river.", 0.7, Kind.EPISODIC),
    ("The database timeout came from the connection pool.", 0.6, Kind.EPISODIC),
    ("I had a sandwich for lunch.", 0.15, Kind.EPISODIC),
    ("It rained all morning.", 0.12, Kind.EPISODIC),
    ("My daughter Nora started school in September.", 0.85, Kind.SEMANTIC),
    ("Could you remind me of the dentist on Tuesday?", 0.45, Kind.EPISODIC),
    ("The deploy on Friday failed because of a missing migration.", 0.65, Kind.EPISODIC),
    ("My favourite editor is Helix.", 0.5, Kind.PROFILE),
    ("Thanks, that worked!", 0.1, Kind.EPISODIC),
)
KEYS = {
    "operator-key": Principal(name="operator", grants=frozenset({Grant.ADMIN}), roles=frozenset({"*"})),
    "reader-key": Principal(
        name="reader", grants=frozenset({Grant.READ}), tenant="acme", roles=frozenset({"agent"})
    ),
    "alice-key": Principal(
        name="alice's own", grants=frozenset({Grant.READ, Grant.RIGHTS}), tenant="acme", user="alice"
    ),
}


@dataclass
class Stage:
    """A running server, and a way to do something in its loop."""

    loop: asyncio.AbstractEventLoop
    memory: TieredMemory
    clock: ManualClock
    observer: PrometheusObserver
    app: Starlette
    url: str = ""
    revoked: set[str] = field(default_factory=set)
    open: bool = True

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something where the memory lives."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    @property
    def desk(self) -> Any:
        return self.app.state.desk

    def address(self, subject: Subject, path: str = "") -> str:
        """Return the address of a person's page."""
        return f"{self.url}/p/{self.desk.names.of('person', subject.tenant, subject.user)}{path}"

    def user(self, subject: Subject = ALICE) -> User:
        return self.memory.user(subject.user, subject.tenant)


class Daemon:
    """What the daemon's middleware does: it says who asks."""

    def __init__(self, app: ASGIApp, stage: Stage) -> None:
        self._app = app
        self._stage = stage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})["principal"] = LOCAL if self._stage.open else None
        await self._app(scope, receive, send)


@contextmanager
def serving(path: Path) -> Iterator[Stage]:
    """Yield a stage with a memory of some months and a server over it."""
    begun: list[Stage] = []
    ready, stop = threading.Event(), []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(_run(path, begun, ready, stop))
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(60)
    if failed or not begun:
        raise AssertionError("the server did not start") from (failed[0] if failed else None)
    try:
        yield begun[0]
    finally:
        begun[0].loop.call_soon_threadsafe(stop[0])
        thread.join(30)


async def _run(
    path: Path, begun: list[Stage], ready: threading.Event, stop: list[Callable[[], None]]
) -> None:
    clock, observer = ManualClock(), PrometheusObserver()
    settings = load_settings(data_dir=path, background=False, redis_url="local")
    async with TieredMemory.open(settings, clock=clock, observer=observer) as memory:
        stage = Stage(asyncio.get_running_loop(), memory, clock, observer, Starlette())

        async def verify(key: str) -> Principal:
            if key not in KEYS:
                raise UnauthenticatedError
            return KEYS[key]

        async def recheck(principal: Principal) -> bool:
            return principal.name not in stage.revoked

        stage.app = inspector_app(
            lambda: memory,
            options=Options(
                verify=verify,
                recheck=recheck,
                samples=lambda: samples(observer),
                people=lambda: [ALICE],
                clock=clock,
            ),
        )
        await populate(stage)
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        outer = Daemon(Starlette(routes=[Mount("/ui", stage.app)]), stage)
        server = uvicorn.Server(uvicorn.Config(outer, log_level="error", lifespan="off"))
        stage.url = f"http://127.0.0.1:{bound.getsockname()[1]}/ui"
        stop.append(lambda: setattr(server, "should_exit", True))
        begun.append(stage)
        task = asyncio.create_task(server.serve([bound]))
        await until(lambda: server.started)
        ready.set()
        await task


def samples(observer: PrometheusObserver) -> Iterator[Any]:
    for family in observer.registry.collect():
        yield from family.samples


async def populate(stage: Stage) -> None:
    """Let some months pass: people talk, some is used, some fades."""
    memory, clock = stage.memory, stage.clock
    alice = stage.user()
    await alice.consent.grant("personalization", notice="privacy-2026-01", explicit=True)
    clock.advance(timedelta(days=1))
    said: list[str] = []
    for number, (content, importance, kind) in enumerate(TALK * 2):
        clock.advance(timedelta(days=4, hours=5))
        again = f" (week {number})" if number >= len(TALK) else ""
        receipt = await alice.add(
            content + again,
            session=f"session-{number // 4 + 1}",
            importance=importance,
            kind=kind,
            agent="assistant",
            sensitivity=Sensitivity.CONFIDENTIAL if "allergic" in content else Sensitivity.INTERNAL,
        )
        said.append(receipt.id)
        if number in {2, 8}:
            await alice.add(f"I tried the noodle place number {number}.", importance=0.42 + number / 100)
        if number % 3 == 2:
            await alice.used(said[:3])
    await alice.update(
        said[2], "I prefer concise answers with a code example in Rust.", reason="said so on the phone"
    )
    await alice.pin(said[1])
    await _mallory(stage)
    for name in ("bob", "carol"):
        other = memory.user(name, "acme")
        await other.consent.grant("personalization", notice="privacy-2026-01")
        await other.add(f"I am {name} and I like tea.", session="s", importance=0.5)
    await memory.user("bob", "acme").requests.open("access", channel="email", note="a copy, please")
    await alice.requests.open("rectification", channel="phone")
    await memory.drain()
    # Some fades and can be restored still, some is due now, the rest lives on.
    await memory.forget(confirmed=True)
    clock.advance(timedelta(days=5))
    await alice.add("Thanks, see you on Monday.", session="session-6", importance=0.1)
    await alice.add("The gate code is 4711 from now on.", session="session-6", importance=0.75)
    await _look_on(stage, alice)
    await alice.add("OK, bye for now.", session="session-6", importance=0.05)
    await memory.jobs.run("flush")
    await memory.jobs.pause("compact")


async def _mallory(stage: Stage) -> None:
    mallory = stage.user(MALLORY)
    await mallory.consent.grant("personalization", notice="<i>notice</i>")
    await mallory.add_many(
        [
            Interaction(
                content=text,
                session="<u>session</u>",
                author="<em>author</em>",
                metadata={"<k>": "<v onclick=x>"},
                provenance=Provenance(source=SourceKind.DOCUMENT, channel="<a>"),
                importance=0.7,
            )
            for text in HOSTILE
        ]
    )


async def _look_on(stage: Stage, alice: User) -> None:
    """Take looks at the metrics while something happens."""
    for number in range(24):
        for turn in range(number % 5 + 1):
            await alice.context("what should I never forget?", session=f"session-{turn + 1}", token_budget=60)
        stage.clock.advance(5.0)
        stage.desk.history.note(totals(samples(stage.observer), stage.clock.now()))
