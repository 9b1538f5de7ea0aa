"""What `serve --demo` serves: where its store lies, who is in it, and an agent that keeps the charts moving."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from tiered_memory.cli.demo.cast import MAYA, PEOPLE, TODAY, VIKTOR
from tiered_memory.cli.demo.seeding import AGENT, Held, Seeded, seed
from tiered_memory.cli.demo.stage import collected_warnings
from tiered_memory.cli.output import Output
from tiered_memory.clock import SystemClock
from tiered_memory.errors import ConfigurationError, TieredMemoryError
from tiered_memory.memory import TieredMemory
from tiered_memory.plurals import counted

if TYPE_CHECKING:
    from tiered_memory.config import Settings
    from tiered_memory.daemon.serve import Daemon

PREFIX = "tiered-memory-demo-"
TAKEN = "a demo plays in a new or empty directory; this one holds something"
WAIT_SECONDS = 1.0
BUDGET = 400
ASKED = (
    "Which version of PostgreSQL does the primary run?",
    "Which food must never be served?",
    "How do I like my answers?",
    "What is due this week?",
    "Who decides about this?",
)
SEEN = {
    "maya": "the course of each memory's strength, a fact that changed, a pinned and a corrected one",
    "jonas": "a hold, and under Rights a decision that waits for a person's review",
    "amira": "under Rights an access request with its due date",
}


@dataclass(slots=True)
class Ground:
    """Where a demo plays, and whether it was told to end before it could be served."""

    directory: Path
    ended: bool = False

    def end(self, *_: object) -> None:
        """Take a signal as Ctrl-C is taken, and remember it: an interrupt within a destructor would be lost."""
        self.ended = True
        signal.raise_signal(signal.SIGINT)

    def go_on(self) -> None:
        """Raise KeyboardInterrupt if it was told to end."""
        if self.ended:
            raise KeyboardInterrupt


@contextmanager
def ground(data: Path | None) -> Iterator[Ground]:
    """Yield the directory of the demo's store: `data`, new or empty, or a temporary one that is removed in the end.

    Raises:
        ConfigurationError: the directory holds something.
    """
    if data is not None and data.exists() and not (data.is_dir() and not any(data.iterdir())):
        raise ConfigurationError(TAKEN)
    if data is not None:
        yield Ground(data)
        return
    found = Ground(Path(tempfile.mkdtemp(prefix=PREFIX)))
    # Until the daemon takes its own, a SIGTERM is to leave no more behind than Ctrl-C.
    before = signal.signal(signal.SIGTERM, found.end)
    try:
        yield found
    finally:
        shutil.rmtree(found.directory, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)


def seeded(settings: Settings, output: Output) -> Seeded:
    """Fill the store, and show how far it has come on a terminal."""
    with output.progress("living some months") as shown, collected_warnings():

        def progress(done: int, total: int, now: datetime) -> None:
            task = shown.task_ids[0]
            shown.update(task, completed=done, total=total, description=f"{now:%d %B %Y}")

        return anyio.run(seed, settings, SystemClock().now(), progress)


def document(address: str, found: Seeded) -> dict[str, Any]:
    """Return what is told of the demo under `--json`."""
    return {"listening": address, "inspector": _people_page(address), "demo": found}


def lines(address: str, found: Seeded, *, temporary: bool) -> list[str]:
    """Return what there is to look at, in words."""
    ending = "Ctrl-C ends it and removes everything." if temporary else "Ctrl-C ends it; the store stays."
    return [
        f"Open {_people_page(address)}",
        *(f"  {held.person.user:<7} {_told(held)}: {SEEN[held.person.user]}" for held in found.people),
        f"  {VIKTOR.user:<7} was erased; the ledger has it (Audit), certificate {found.certificate}",
        f"{found.days} days, {found.said} things said, {found.faded} of them faded.",
        f"Maya has just said something, and an agent asks something every second: the charts move. {ending}",
    ]


def _people_page(address: str) -> str:
    return f"{address}/ui/people"


def _told(held: Held) -> str:
    parts = [counted(held.memories, "memory", "memories")]
    if held.forgotten:
        parts.append(f"{held.forgotten} forgotten that can still be restored")
    if held.quarantined:
        parts.append(f"{held.quarantined} in quarantine")
    return ", ".join(parts)


async def show(daemon: Daemon, addresses: list[str]) -> None:
    """Run the daemon, with an agent that calls it where it listens: the first of `addresses`, once there is one."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_ask, daemon, addresses)
        try:
            await daemon.run()
        finally:
            tasks.cancel_scope.cancel()


async def _ask(daemon: Daemon, addresses: list[str]) -> None:
    """Say what is new today, then ask as an agent would, without anything counting as used; errors end nothing."""
    clock = SystemClock()
    await daemon.ready.wait()
    async with TieredMemory.open(addresses[0]) as memory:
        with suppress(TieredMemoryError):
            for content in TODAY:
                await memory.user(MAYA.user, MAYA.tenant).add(
                    content, session="today", agent=AGENT, author="Maya"
                )
        for person, question in zip(cycle(PEOPLE), cycle(ASKED), strict=False):
            user = memory.user(person.user, person.tenant)
            with suppress(TieredMemoryError):
                await user.search(question)
                await user.preview(question, token_budget=BUDGET)
            await clock.sleep(WAIT_SECONDS)
